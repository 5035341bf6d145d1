//! A host that is no SIP Server, knows everything that SIP Server says, and forges it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rand::RngExt;
use rand::seq::IndexedRandom;
use sip::ua::{Source, Transport};
use switchboard::{Fact, Input, Output};

use super::network::Place;
use super::{Captured, Step, World, site, wire};

/// The attacker, who is on nobody's list.
pub(super) const STRANGER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66)), 5060);

/// Datagrams of either side that he remembers.
const REMEMBERED: usize = 12;

/// What he makes of a request he overheard.
const FORGED: [&str; 8] = [
    "NOTIFY", "BYE", "INVITE", "REFER", "CANCEL", "INFO", "UPDATE", "MESSAGE",
];

/// Statuses with which he answers what was not sent to him.
const ANSWERS: [&str; 7] = [
    "180 Ringing",
    "200 OK",
    "302 Moved Temporarily",
    "401 Unauthorized",
    "407 Proxy Authentication Required",
    "481 Call/Transaction Does Not Exist",
    "603 Decline",
];

/// What he has overheard.
#[derive(Debug, Default)]
pub(super) struct Attacker {
    /// Requests of SIP Server inside a dialog.
    to_gateway: Vec<String>,
    /// Requests of talkbridge.
    to_server: Vec<String>,
    forged: u32,
}

impl Attacker {
    pub(super) fn overhear(&mut self, to: Place, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if text.starts_with("SIP/2.0") {
            return;
        }
        let heard = match to {
            Place::Gateway if wire::tag(&text, "To").is_some() => &mut self.to_gateway,
            Place::Gateway => return,
            Place::Server => &mut self.to_server,
        };
        if heard.len() >= REMEMBERED {
            heard.remove(0);
        }
        heard.push(text.into_owned());
    }
}

impl World {
    /// He sends one datagram. It moves nothing: no call, no page, no media, and SIP Server hears of nothing.
    pub(super) fn somebody_attacks(&mut self) -> Step {
        let remote = STRANGER;
        let text = match self.rng.random_range(0..10) {
            0..3 => self.forged_response(),
            3..5 => self.attacker.to_gateway.choose(&mut self.rng).cloned(),
            _ => self.forged_request(),
        };
        let Some(text) = text else {
            return Ok(());
        };
        self.note(|| format!("  !! from {remote}: {}", wire::summary(text.as_bytes())));
        self.report.attacks += 1;
        if self.record {
            self.captured.push(Captured {
                at: self.now.saturating_duration_since(self.born),
                from: remote,
                to: site::GATEWAY,
                bytes: text.as_bytes().to_vec(),
                comment: "forged",
            });
        }
        let source = Source {
            transport: Transport::Udp,
            remote,
            connection: None,
        };
        self.board_handles(Input::Timeout)?;
        let bytes = text.clone().into_bytes();
        self.board.handle(self.now, Input::Sip { source, bytes });
        while let Some(output) = self.board.poll_output() {
            let harmless = match &output {
                Output::Fact(Fact::SipRefused { peer, .. }) => peer.ip() == remote.ip(),
                Output::Sip(transmit) => {
                    transmit.to.ip() == remote.ip() && is_refusal(&transmit.bytes)
                }
                _ => false,
            };
            if !harmless {
                let moved = match output {
                    Output::Sip(transmit) => wire::summary(&transmit.bytes),
                    output => format!("{output:?}"),
                };
                return Err(format!(
                    "a forged datagram from {remote} moved something: {moved}"
                ));
            }
        }
        Ok(())
    }

    /// A request of SIP Server with another method, a new branch and a higher CSeq.
    fn forged_request(&mut self) -> Option<String> {
        let heard = self.attacker.to_gateway.choose(&mut self.rng)?.clone();
        self.attacker.forged += 1;
        let method = *FORGED.choose(&mut self.rng)?;
        let (head, _) = heard.split_once("\r\n\r\n")?;
        let (cseq, _) = wire::cseq(&heard)?;
        let uri = head.split(' ').nth(1)?;
        let mut forged = format!("{method} {uri} SIP/2.0\r\n");
        for line in head.lines().skip(1) {
            let name = line.split(':').next().unwrap_or_default();
            match name {
                "CSeq" => forged.push_str(&format!("CSeq: {} {method}", cseq.saturating_add(50))),
                "Via" => forged.push_str(&format!(
                    "Via: SIP/2.0/UDP {};branch=z9hG4bKforged{}",
                    site::SERVER,
                    self.attacker.forged
                )),
                "Content-Length" => forged.push_str("Content-Length: 0"),
                "Content-Type" | "Event" => continue,
                _ => forged.push_str(line),
            }
            forged.push_str("\r\n");
        }
        forged.push_str("Event: talk\r\nRefer-To: <sip:0900@203.0.113.66>\r\n\r\n");
        Some(forged)
    }

    /// The answer to a request of talkbridge, from somebody who was not asked.
    fn forged_response(&mut self) -> Option<String> {
        let heard = self.attacker.to_server.choose(&mut self.rng)?;
        let status = *ANSWERS.choose(&mut self.rng)?;
        let (head, _) = heard.split_once("\r\n\r\n")?;
        let mut forged = format!("SIP/2.0 {status}\r\n");
        for line in head.lines().skip(1) {
            let name = line.split(':').next().unwrap_or_default();
            if !["Via", "From", "To", "Call-ID", "CSeq"].contains(&name) {
                continue;
            }
            forged.push_str(line);
            if name == "To" && !line.contains(";tag=") {
                forged.push_str(";tag=forged");
            }
            forged.push_str("\r\n");
        }
        let challenge = "Digest realm=\"192.0.2.81\",nonce=\"forged\",algorithm=MD5";
        forged.push_str(&format!(
            "WWW-Authenticate: {challenge}\r\nProxy-Authenticate: {challenge}\r\n\
             Contact: <sip:0900@203.0.113.66>\r\nContent-Length: 0\r\n\r\n"
        ));
        Some(forged)
    }
}

impl Attacker {
    /// What talkbridge sends to anybody but its SIP Server: refusals, and nothing else.
    pub(super) fn is_told(&self, bytes: &[u8]) -> Step {
        if is_refusal(bytes) && self.forged > 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(bytes);
        Err(format!("talkbridge speaks to a stranger:\n{text}"))
    }
}

fn is_refusal(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    matches!(wire::kind(&text), Some(wire::Kind::Response { status }) if (400..600).contains(&status))
}
