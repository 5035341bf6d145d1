//! What is refused without the application: strangers, malformed and unknown requests.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::HeaderName;
use sip::ua::Refusal;
use support::{Call, OFFER, STRANGER, World, config, invite, tcp, udp};

fn request(method: &str, branch: &str, lines: &str) -> String {
    format!(
        "{method} sip:1002@192.0.2.10 SIP/2.0\nFrom: sip:1003@192.0.2.81;tag=1\n\
         To: sip:1002@192.0.2.81\nCall-ID: {branch}@192.0.2.81\nCSeq: 1 {method}\n\
         Via: SIP/2.0/UDP 192.0.2.81:5060;branch=z9hG4bK{branch}\n{lines}Content-Length: 0\n\n"
    )
}

/// Only SIP Server may speak SIP to us.
#[test]
fn strangers_get_nothing_or_403() {
    let mut world = World::new();
    world.receive_from(
        &udp(STRANGER),
        &invite("a", "sip:x@y;tag=1", "z9hG4bK1", OFFER),
    );
    world.receive_from(&udp(STRANGER), "nonsense\n\n");
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Refused Source", "Refused Source"]);

    let mut config = config();
    config.refusal = Refusal::Forbidden;
    let mut world = World::with(config);
    let text = invite("a", "sip:x@y;tag=1", "z9hG4bK1", OFFER);
    world.receive_from(&udp(STRANGER), &text);
    let first = world.only("403 INVITE");
    assert_eq!(first.transmit.to.to_string(), STRANGER);
    world.receive_from(&udp(STRANGER), &text);
    assert_eq!(
        world.only("403 INVITE").to_tag(),
        first.to_tag(),
        "RFC 3261 section 8.2.7"
    );
    world.receive_from(&udp(STRANGER), &request("ACK", "2", ""));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(
        world.ua.counts().transactions,
        0,
        "strangers cost no memory"
    );
}

/// The status of each method and header we do not take.
#[test]
fn what_is_not_understood_is_refused_by_the_book() {
    for (text, label, told) in [
        (
            request("REGISTER", "1", ""),
            "405 REGISTER",
            "Refused Method",
        ),
        (request("PUBLISH", "1", ""), "405 PUBLISH", "Refused Method"),
        (request("PRACK", "1", ""), "481 PRACK", "Refused NoDialog"),
        (request("DANCE", "1", ""), "501 DANCE", "Refused Method"),
        (request("BYE", "1", ""), "481 BYE", "Refused NoDialog"),
        (request("INFO", "1", ""), "481 INFO", "Refused NoDialog"),
        (request("UPDATE", "1", ""), "481 UPDATE", "Refused NoDialog"),
        (
            request("OPTIONS", "1", "Require: 100rel, precondition, timer\n"),
            "420 OPTIONS",
            "Refused Extension",
        ),
        (
            request("OPTIONS", "1", "").replace("SIP/2.0\nF", "SIP/3.0\nF"),
            "505 OPTIONS",
            "Refused Parse",
        ),
        (
            request("OPTIONS", "1", "").replace("sip:1002@192.0.2.10 ", "http:x "),
            "416 OPTIONS",
            "Refused Parse",
        ),
        (
            request("OPTIONS", "1", "Content-Length: 3\n"),
            "400 OPTIONS",
            "Refused Parse",
        ),
    ] {
        let mut world = World::new();
        world.receive(&text);
        let refused = world.only(label);
        assert_eq!(world.told(), [told]);
        assert!(refused.message.headers().to().unwrap().tag().is_some());
        if label.starts_with("405") || label.starts_with("501") {
            assert!(
                refused
                    .header(&HeaderName::ALLOW)
                    .unwrap()
                    .contains("INVITE")
            );
        }
        if label.starts_with("420") {
            assert_eq!(
                refused.header(&HeaderName::UNSUPPORTED).unwrap(),
                "precondition"
            );
        }
        world.assert_quiet();
    }
}

/// Keep-alives are no messages.
#[test]
fn keep_alives_are_silent() {
    let mut world = World::new();
    world.receive("\n\n");
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), [""; 0]);
}

/// Out of dialog the application answers; repetitions get its answer again.
#[test]
fn options_is_answered_by_the_application() {
    let mut world = World::new();
    world.receive(&request("OPTIONS", "1", ""));
    let events = world.events();
    let [sip::ua::Event::OutOfDialog { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let transaction = *transaction;
    world.act(|ua, now| ua.respond(now, transaction, sip::StatusCode::OK, &[], None));
    let ok = world.only("200 OPTIONS");
    for name in [
        HeaderName::ALLOW,
        HeaderName::ALLOW_EVENTS,
        HeaderName::ACCEPT,
    ] {
        assert!(ok.header(&name).is_some(), "{name}");
    }
    world.receive(&request("OPTIONS", "1", ""));
    assert_eq!(world.only("200 OPTIONS").text(), ok.text());
    assert_eq!(world.told(), [""; 0]);
}

/// The same INVITE by two ways (RFC 3261 section 8.2.2.2): one call rings, the other gets 482.
#[test]
fn a_merged_request_gets_482() {
    let mut world = World::new();
    let call = Call::ringing(&mut world, OFFER);
    world.receive(&invite(
        &call.call_id,
        &call.from,
        "z9hG4bK-other-way",
        OFFER,
    ));
    world.only("482 INVITE");
    assert_eq!(world.told(), ["Refused Merged"]);
    assert_eq!(world.ua.counts().dialogs, 1);
}

/// The machine stood still until the transaction of a call was over, and reads the repetitions of its INVITE only now, or SIP
/// Server began the transaction anew: the agent who talks does not hear her own call ring.
#[test]
fn a_call_that_is_up_does_not_ring_again() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    world.advance_s(40);
    assert_eq!(world.ua.counts().transactions, 0);
    for branch in [&call.invite_branch, "z9hG4bK-begun-anew"] {
        world.receive(&invite(&call.call_id, &call.from, branch, OFFER));
        world.only("482 INVITE");
        assert_eq!(world.told(), ["Refused Merged"]);
        // Nobody acknowledges the refusal, and it is repeated.
        world.advance_s(40);
        world.sent();
    }
    call.request(&mut world, "BYE", "", "");
    world.only("200 BYE");
    assert_eq!(world.told(), ["Bye", "Terminated"]);
    // Nobody is on that call any more: this is a new one.
    let branch = world.branch();
    world.receive(&invite(&call.call_id, &call.from, &branch, OFFER));
    world.only("100 INVITE");
    assert_eq!(world.told(), ["Invite"]);
}

/// The call ended before its transaction did: repetitions find the transaction, and nothing is left when both are over.
#[test]
fn nothing_is_remembered_of_a_call_that_is_over() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    call.request(&mut world, "BYE", "", "");
    world.only("200 BYE");
    world.receive(&invite(
        &call.call_id,
        &call.from,
        "z9hG4bK-begun-anew",
        OFFER,
    ));
    world.only("482 INVITE");
    world.assert_quiet();
    world.sent();
    world.told();

    let mut call = Call::up(&mut world);
    world.advance_s(40);
    call.request(&mut world, "BYE", "", "");
    world.only("200 BYE");
    world.assert_quiet();
}

/// An INVITE that nobody can answer: no Contact to send requests to.
#[test]
fn an_invite_without_contact_gets_400() {
    let mut world = World::new();
    let text = invite("a", "sip:x@y;tag=1", "z9hG4bK1", OFFER);
    world.receive(&text.replace("Contact: <sip:1003@192.0.2.81:5060>\n", ""));
    world.only("400 INVITE");
    assert_eq!(world.ua.counts().dialogs, 0);
}

/// What the application is told of an INVITE that is refused without it: status, reason and fault.
fn lost(lines: &str, change: impl Fn(String) -> String) -> (u16, String, Option<String>) {
    let mut world = World::new();
    let text = invite("a", "sip:x@y;tag=1", "z9hG4bK1", OFFER);
    let text = text.replace("\nContact", &format!("\n{lines}Contact"));
    world.receive(&change(text));
    let events = world.events();
    let [
        sip::ua::Event::InviteRefused { invite },
        sip::ua::Event::Refused { .. },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    let uri = invite.uri.as_ref().and_then(sip::Uri::user);
    assert_eq!(uri, Some(&b"1002"[..]), "whom it was for");
    assert!(invite.headers.from().is_ok(), "who called");
    let status = invite.status.as_u16();
    world.only(&format!("{status} INVITE"));
    (status, format!("{:?}", invite.reason), invite.fault.clone())
}

/// A call that SIP Server lost by its own message is told with what was wrong, so that somebody finds it.
#[test]
fn an_invite_that_is_refused_here_is_told_as_a_lost_call() {
    let same = |text: String| text;
    assert_eq!(
        lost("Require: teleport, timer\n", same),
        (420, "Extension".into(), Some("Require: teleport".into()))
    );
    let offerless = |text: String| text.replace("application/sdp", "text/plain");
    assert_eq!(
        lost("Require: 100rel\n", offerless),
        (420, "Extension".into(), Some("Require: 100rel".into()))
    );
    let nowhere = |text: String| text.replace("Contact: <sip:1003@192.0.2.81:5060>\n", "");
    assert_eq!(
        lost("", nowhere),
        (400, "Parse".into(), Some("Contact is missing".into()))
    );
    assert_eq!(
        lost("", |text| text
            .replace("Max-Forwards: 70", "Max-Forwards: many")),
        (
            400,
            "Parse".into(),
            Some("Max-Forwards is malformed".into())
        )
    );
}

/// What is no call, or comes again as one: a second copy, a session timer that is asked for anew, a change of a call that is up.
#[test]
fn a_refusal_that_costs_no_call_is_told_as_none() {
    let mut world = World::new();
    let text = invite("a", "sip:x@y;tag=1", "z9hG4bK1", OFFER);
    world.receive(&text.replace("Session-Expires: 1800", "Session-Expires: 30"));
    world.only("422 INVITE");
    assert_eq!(world.told(), ["Refused SessionInterval"]);
    let gone = text.replace("To: ", "To: <sip:1002@192.0.2.10>;tag=gone\nX: ");
    world.receive(&gone.replace("z9hG4bK1", "z9hG4bK2"));
    world.only("481 INVITE");
    assert_eq!(world.told(), ["Refused NoDialog"]);
}

/// Responses go to the port of Via, with `received` and `rport` only as RFC 3261 section 18.2 and
/// RFC 3581 say.
#[test]
fn responses_go_where_via_says() {
    for (via, from, to, shown) in [
        (
            "192.0.2.81:5060;branch=z9hG4bK1",
            "192.0.2.81:5060",
            "192.0.2.81:5060",
            "192.0.2.81:5060;branch=z9hG4bK1",
        ),
        (
            "192.0.2.81:5070;branch=z9hG4bK1",
            "192.0.2.81:40000",
            "192.0.2.81:5070",
            "192.0.2.81:5070;branch=z9hG4bK1",
        ),
        (
            "192.0.2.81;branch=z9hG4bK1",
            "192.0.2.81:40000",
            "192.0.2.81:5060",
            "192.0.2.81;branch=z9hG4bK1",
        ),
        (
            "sip.example;branch=z9hG4bK1",
            "192.0.2.81:40000",
            "192.0.2.81:5060",
            "sip.example;branch=z9hG4bK1;received=192.0.2.81",
        ),
        (
            "192.0.2.81:5070;rport;branch=z9hG4bK1",
            "192.0.2.81:40000",
            "192.0.2.81:40000",
            "192.0.2.81:5070;rport=40000;branch=z9hG4bK1;received=192.0.2.81",
        ),
        (
            "192.0.2.81:5060;maddr=203.0.113.66;branch=z9hG4bK1",
            "192.0.2.81:5060",
            "192.0.2.81:5060",
            "192.0.2.81:5060;maddr=203.0.113.66;branch=z9hG4bK1",
        ),
    ] {
        let mut world = World::new();
        let text = request("PUBLISH", "1", "");
        let text = text.replace("192.0.2.81:5060;branch=z9hG4bK1", via);
        world.receive_from(&udp(from), &text);
        let refused = world.only("405 PUBLISH");
        assert_eq!(refused.transmit.to.to_string(), to, "{via}");
        assert_eq!(
            refused.header(&HeaderName::VIA).unwrap(),
            format!("SIP/2.0/UDP {shown}")
        );
    }
}

/// On a stream a response goes back on its connection; the address is for when that is gone.
#[test]
fn responses_go_back_on_their_connection() {
    let mut world = World::new();
    let source = tcp("192.0.2.81:40000", 9);
    world.receive_from(
        &source,
        &request("PUBLISH", "1", "").replace("SIP/2.0/UDP", "SIP/2.0/TCP"),
    );
    let refused = world.only("405 PUBLISH");
    assert_eq!(refused.transmit.connection, source.connection);
    assert_eq!(refused.transmit.to.to_string(), "192.0.2.81:5060");
    // Timer J, on a stream too: the connection may go with the response.
    world.advance(Duration::from_millis(31_999));
    assert_eq!(world.ua.counts().transactions, 1);
    world.advance_ms(1);
    assert_eq!(world.ua.counts().transactions, 0);
}

/// A request that the application never answers does not stay for ever.
#[test]
fn a_forgotten_request_is_let_go() {
    let mut world = World::new();
    world.receive(&request("OPTIONS", "1", ""));
    world.assert_quiet();
}
