//! The IPv6 messages of RFC 5118.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use sip::{Host, Message, Request};

const ACCEPTED: [&str; 11] = [
    "ipv6-good",
    "port-ambiguous",
    "port-unambiguous",
    "via-received-param-with-delim",
    "via-received-param-no-delim",
    "ipv6-in-sdp",
    "mult-ip-in-header",
    "mult-ip-in-sdp",
    "ipv4-mapped-ipv6",
    "ipv6-bug-abnf-3-colons",
    "ipv6-correct-abnf-2-colons",
];

fn octets(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/data/rfc5118/{name}.dat",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn request(name: &str) -> Request {
    match Message::parse(&octets(name)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{name}: {other:?}"),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn accepted_messages_leave_octet_for_octet() {
    for name in ACCEPTED {
        assert!(request(name).to_bytes() == octets(name), "{name}");
        sip::fuzz::message(&octets(name));
    }
}

#[test]
fn an_address_without_brackets_is_refused() {
    let refused = Message::parse(&octets("ipv6-bad")).unwrap_err();
    assert_eq!(refused.reply().unwrap().status.as_u16(), 400);
}

#[test]
fn a_port_stands_behind_the_bracket() {
    let uri = request("port-ambiguous").uri;
    assert_eq!(
        (uri.host().and_then(Host::ip), uri.port()),
        (Some(ip("2001:db8::10:5070")), None)
    );
    let uri = request("port-unambiguous").uri;
    assert_eq!(
        (uri.host().and_then(Host::ip), uri.port()),
        (Some(ip("2001:db8::10")), Some(5070))
    );
}

#[test]
fn received_may_have_brackets_or_not() {
    for name in [
        "via-received-param-with-delim",
        "via-received-param-no-delim",
    ] {
        let via = request(name).headers.top_via().unwrap();
        assert_eq!(via.received, Some(ip("2001:db8::9:255")), "{name}");
    }
}

#[test]
fn vias_mix_the_versions() {
    let vias = request("mult-ip-in-header").headers.vias().unwrap();
    let hosts: Vec<_> = vias.iter().map(|via| via.host.ip().unwrap()).collect();
    assert_eq!(
        hosts,
        [ip("2001:db8::9:1"), ip("192.0.2.1"), ip("2001:db8::9:255")]
    );
    assert_eq!(vias[0].port, Some(6050));
    assert_eq!(vias[2].received, Some(ip("192.0.2.200")));
    let mapped = request("ipv4-mapped-ipv6").headers.top_via().unwrap();
    assert_eq!(
        (mapped.host.ip(), mapped.port),
        (Some(ip("::ffff:192.0.2.10")), Some(19823))
    );
}

#[test]
fn the_extra_colon_of_the_old_grammar_changes_nothing() {
    let (three, two) = (
        request("ipv6-bug-abnf-3-colons"),
        request("ipv6-correct-abnf-2-colons"),
    );
    assert_eq!(three.uri.host(), two.uri.host());
    assert!(three.uri.equivalent(&two.uri));
}
