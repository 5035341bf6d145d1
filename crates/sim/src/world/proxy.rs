//! SIP Proxy: instances of one name in front of SIP Server. None of them remembers anything, so that any may carry the next request of a dialog,
//! and one that is gone takes nothing with it but what was on its way.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rand::seq::IndexedRandom;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use super::network::Place;
use super::servers::ServerId;
use super::wire::{self, Kind};
use super::{World, storm};
use crate::tserver::{Transmit, Transport};

/// One seed in so many has a proxy before its SIP Server.
const EVERY: u64 = 16;
/// Which of them.
const CHOSEN: u64 = 9;
/// One in so many of all seeds is a storm behind a proxy, and which.
const STORMS: (u64, u64) = (256, 7);
/// What is drawn for a proxy.
const SALT: u64 = 0x9120_71e5_0000_0b0b;

/// The instances, the preferred one first.
pub(super) const INSTANCES: [SocketAddr; 2] = [instance(85), instance(86)];
/// The address that stands for the name of all of them where SIP Server is told its outbound proxy.
pub(super) const NAMED: SocketAddr = instance(87);
/// In one of two of the seeds with a proxy talkbridge has connections to it, by turns of so many seeds.
const BY_STREAM: u64 = 256;

/// Begins the branch of what an instance passes on: the rest is that of the message, so that a repetition is one at the next hop too.
const BRANCH: &str = "z9hG4bKproxy-";

const fn instance(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 5060)
}

/// Whether a proxy stands before the SIP Server of this seed.
pub(super) const fn stands_before(seed: u64) -> bool {
    storm::further(seed).is_none() && (seed % EVERY == CHOSEN || seed % STORMS.0 == STORMS.1)
}

/// Whether talkbridge has connections to the proxy of this seed.
pub(super) const fn is_by_stream(seed: u64) -> bool {
    stands_before(seed) && (seed / BY_STREAM) % 2 == 1
}

/// What SIP Server knows of its proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    rng: ChaCha12Rng,
    /// The instance of each transaction of SIP Server, by branch: a repetition goes where the request went.
    ways: BTreeMap<String, ServerId>,
}

impl Proxy {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha12Rng::seed_from_u64(seed ^ SALT),
            ways: BTreeMap::new(),
        }
    }
}

impl World {
    /// What the instance at a host makes of a message to one side.
    pub(super) fn passed_on(&self, host: ServerId, to: Place, bytes: &[u8]) -> Option<Vec<u8>> {
        passed_on(self.server(host).address, self.site.spoken(), to, bytes)
    }

    /// The instance by which a message of SIP Server leaves: an answer by the one that brought the request, a request by any that is there.
    pub(super) fn instance_for(&mut self, transmit: &Transmit) -> Option<ServerId> {
        let text = String::from_utf8_lossy(&transmit.bytes);
        if let Some(Kind::Response { .. }) = wire::kind(&text) {
            return self.server_at(transmit.to);
        }
        let there: Vec<ServerId> = self
            .servers
            .iter()
            .filter(|server| !server.health.away)
            .map(|server| server.id)
            .collect();
        let all: Vec<ServerId> = self.server_ids().collect();
        let proxy = self.proxy.as_mut()?;
        let branch = wire::branch(&text)?;
        if let Some(known) = proxy.ways.get(branch) {
            return Some(*known);
        }
        let chosen = there.choose(&mut proxy.rng).or_else(|| all.first());
        let chosen = chosen.copied()?;
        proxy.ways.insert(branch.to_owned(), chosen);
        Some(chosen)
    }
}

/// What stays in every dialog: how talkbridge comes back.
fn recorded(by: Transport) -> String {
    format!("<sip:proxy.example.com{};lr>", by.uri_param())
}

/// What an instance at `own`, with which talkbridge speaks `by`, makes of a message to one side; `None` of a response that is not for it
/// (RFC 3261 section 16.11, a proxy without a memory). It has UDP with SIP Server.
fn passed_on(own: SocketAddr, by: Transport, to: Place, bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines: Vec<String> = head.lines().map(str::to_owned).collect();
    let first = lines.iter().position(|line| line.starts_with("Via:"))?;
    match wire::kind(&text)? {
        Kind::Response { .. } => {
            let via = lines.remove(first);
            if !via.contains(&format!(" {own};")) {
                return None;
            }
        }
        Kind::Request { method } => {
            let branch = wire::branch(&text)?;
            let onwards = match to {
                Place::Gateway => by,
                Place::Server => Transport::Udp,
            };
            let via = format!("SIP/2.0/{} {own}", onwards.via_name());
            lines.insert(first, format!("Via: {via};branch={BRANCH}{branch}"));
            lines.retain(|line| !line.starts_with("Route:"));
            if matches!(method, "INVITE" | "REFER" | "SUBSCRIBE") {
                lines.push(format!("Record-Route: {}", recorded(by)));
            }
        }
    }
    Some(format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes())
}

/// A request in a dialog goes by the name that the proxy has recorded.
pub(super) fn is_on_its_route(text: &str, by: Transport) -> Result<(), String> {
    let Some(Kind::Request { method }) = wire::kind(text) else {
        return Ok(());
    };
    let inside = wire::tag(text, "To").is_some() && !matches!(method, "ACK" | "CANCEL");
    if inside && wire::header(text, "Route") != Some(&recorded(by)) {
        return Err(format!("a request in a dialog has lost its route:\n{text}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const OWN: SocketAddr = INSTANCES[0];

    fn passed(own: SocketAddr, text: &str) -> Option<String> {
        let passed = passed_on(
            own,
            Transport::Udp,
            Place::Gateway,
            text.replace('\n', "\r\n").as_bytes(),
        )?;
        Some(String::from_utf8(passed).unwrap().replace("\r\n", "\n"))
    }

    /// Whoever answers finds back by the same instance, and whoever asks next by any.
    #[test]
    fn an_instance_is_on_the_way_and_in_the_route() {
        let invite = "INVITE sip:a@b SIP/2.0\nRoute: <sip:x;lr>\nVia: SIP/2.0/UDP c:1;branch=z9hG4bK1\n\nbody";
        let passed_on = passed(OWN, invite).unwrap();
        assert_eq!(
            passed_on,
            format!(
                "INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP {OWN};branch={BRANCH}z9hG4bK1\n\
                 Via: SIP/2.0/UDP c:1;branch=z9hG4bK1\nRecord-Route: <sip:proxy.example.com;lr>\n\nbody"
            )
        );
        let answer = passed_on.replace("INVITE sip:a@b SIP/2.0", "SIP/2.0 200 OK");
        assert_eq!(passed(INSTANCES[1], &answer), None);
        let back = passed(OWN, &answer).unwrap();
        assert!(back.starts_with("SIP/2.0 200 OK\nVia: SIP/2.0/UDP c:1;branch=z9hG4bK1\n"));
    }

    /// Whoever came by a connection answers by it and comes back by one; what goes on to SIP Server goes by datagrams.
    #[test]
    fn an_instance_says_how_it_is_reached() {
        let invite = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c:1;branch=z9hG4bK1\r\n\r\n";
        for (to, via) in [(Place::Gateway, "TLS"), (Place::Server, "UDP")] {
            let passed_on = passed_on(OWN, Transport::Tls, to, invite).unwrap();
            let text = String::from_utf8(passed_on).unwrap();
            assert!(
                text.contains(&format!("\r\nVia: SIP/2.0/{via} {OWN};")),
                "{text}"
            );
            let route = "Record-Route: <sip:proxy.example.com;transport=tls;lr>\r\n";
            assert!(text.contains(route), "{text}");
        }
    }
}
