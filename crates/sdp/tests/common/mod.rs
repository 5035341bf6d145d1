//! Bodies and ends that the tests share.
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;

use sdp::{Codec, LocalMedia, Negotiation};

/// What a soft phone offers through SIP Server.
pub const CALLER_OFFER: &str = include_str!("../bodies/caller_offer.sdp");
/// What it answers to an offer of ours.
pub const CALLER_ANSWER: &str = include_str!("../bodies/caller_answer.sdp");
/// What SIP Server puts into an ACK when it gives up: no address, telephone events first.
pub const BLACK_HOLE: &str = include_str!("../bodies/black_hole.sdp");
/// What a browser offers: nothing for a SIP side without keys.
pub const BROWSER_OFFER: &str = include_str!("../bodies/browser_offer.sdp");
/// Four media lines, the third of which can be used.
pub const MANY_LINES: &str = include_str!("../bodies/many_lines.sdp");

/// The bodies above, with names.
pub const BODIES: [(&str, &str); 5] = [
    ("caller_offer", CALLER_OFFER),
    ("caller_answer", CALLER_ANSWER),
    ("black_hole", BLACK_HOLE),
    ("browser_offer", BROWSER_OFFER),
    ("many_lines", MANY_LINES),
];

/// With the line ends that go over the wire.
pub fn wire(body: &str) -> Vec<u8> {
    body.replace('\n', "\r\n").into_bytes()
}

pub fn local() -> LocalMedia {
    LocalMedia {
        address: "198.51.100.3".parse().unwrap(),
        port: 16_384,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: true,
    }
}

pub fn negotiation() -> Negotiation {
    Negotiation::new(7, local())
}

pub fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

/// A description of ours as text.
pub fn text(description: Vec<u8>) -> String {
    String::from_utf8(description).unwrap()
}

/// The version in `o=`.
pub fn version(description: &[u8]) -> u64 {
    let text = String::from_utf8(description.to_vec()).unwrap();
    let origin = text.lines().find(|line| line.starts_with("o=")).unwrap();
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}
