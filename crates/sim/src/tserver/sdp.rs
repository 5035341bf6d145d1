//! Session descriptions as SIP Server handles them: it rewrites the `o=` line and passes the rest.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The `o=` line that SIP Server owns towards one endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// Seconds since 1970 at the birth of the dialog, as traced.
    pub(super) id: u64,
    /// Counts the descriptions sent.
    pub(super) version: u32,
    /// SIP Server's own address.
    pub(super) address: IpAddr,
}

impl Origin {
    pub(super) fn new(id: u64, address: IpAddr) -> Self {
        Self {
            id,
            version: 0,
            address,
        }
    }

    fn next(&mut self) -> String {
        self.version = self.version.saturating_add(1);
        let family = family(self.address);
        format!(
            "o=Genesys {} {} IN {family} {}",
            self.id, self.version, self.address
        )
    }

    /// The other end's description under our `o=` line.
    pub(super) fn pass(&mut self, sdp: &str) -> String {
        let origin = self.next();
        let mut out = String::with_capacity(sdp.len() + 16);
        for line in sdp.lines() {
            out.push_str(if line.starts_with("o=") {
                &origin
            } else {
                line
            });
            out.push_str("\r\n");
        }
        out
    }

    /// The same in the words of RFC 3264 (`sip-hold-rfc3264`): nothing goes either way.
    pub(super) fn inactive(&mut self) -> String {
        let family = family(self.address);
        let address = self.address;
        let origin = self.next();
        format!(
            "v=0\r\n{origin}\r\ns=3pcc Hold\r\nc=IN {family} {address}\r\nt=0 0\r\n\
             m=audio 10000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=inactive\r\n"
        )
    }

    /// The description that makes an endpoint send nowhere.
    pub(super) fn black_hole(&mut self) -> String {
        self.version = self.version.saturating_add(1);
        format!(
            "v=0\r\no=Genesys {} {} IN IP4 0.0.0.0\r\ns=3pcc Make Call\r\nc=IN IP4 0.0.0.0\r\n\
             t=0 0\r\nm=audio 10000 RTP/AVP 101 8 0 4 18 3\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:4 G723/8000\r\na=rtpmap:18 G729/8000\r\na=rtpmap:3 GSM/8000\r\n",
            self.id, self.version
        )
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

/// May the describing side send, and does it receive?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    /// What the other side answers.
    pub(super) fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            other => other,
        }
    }

    fn attribute(self) -> Option<&'static str> {
        match self {
            Self::SendRecv => None,
            Self::SendOnly => Some("a=sendonly"),
            Self::RecvOnly => Some("a=recvonly"),
            Self::Inactive => Some("a=inactive"),
        }
    }
}

/// The first audio stream of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Audio {
    /// `None` for 0.0.0.0, port 0 or a name instead of an address.
    pub(super) address: Option<SocketAddr>,
    /// Payload types in order of preference.
    pub(super) formats: Vec<u8>,
    /// Payload type of `telephone-event/8000`.
    pub(super) telephone_event: Option<u8>,
    pub(super) direction: Direction,
}

impl Audio {
    pub(super) fn read(sdp: &str) -> Option<Self> {
        let mut session_address = None;
        let mut audio: Option<(u16, Vec<u8>, Option<IpAddr>)> = None;
        let mut other_media = false;
        let mut telephone_event = None;
        let mut direction = Direction::SendRecv;
        for line in sdp.lines() {
            let Some((kind, value)) = line.split_once('=') else {
                continue;
            };
            if kind == "m" {
                if audio.is_some() {
                    break;
                }
                let mut words = value.split_whitespace();
                other_media = words.next() != Some("audio");
                if !other_media {
                    let port = words.next()?.parse().ok()?;
                    let formats = words.skip(1).filter_map(|f| f.parse().ok()).collect();
                    audio = Some((port, formats, None));
                }
                continue;
            }
            if other_media {
                continue;
            }
            match (kind, &mut audio) {
                ("c", Some((_, _, own))) => *own = connection(value),
                ("c", None) => session_address = connection(value),
                ("a", _) => attribute(value, &mut direction, &mut telephone_event),
                _ => {}
            }
        }
        let (port, formats, own) = audio?;
        let address = own
            .or(session_address)
            .filter(|ip| !ip.is_unspecified() && port != 0)
            .map(|ip| SocketAddr::new(ip, port));
        Some(Self {
            address,
            formats,
            telephone_event,
            direction,
        })
    }

    /// Media may go both ways.
    pub(super) fn is_two_way(&self) -> bool {
        self.address.is_some() && self.direction == Direction::SendRecv
    }

    /// RFC 3264 section 8.4 and its 0.0.0.0 forerunner: does the describing side hold?
    pub(super) fn holds(&self) -> bool {
        self.address.is_none()
            || matches!(self.direction, Direction::SendOnly | Direction::Inactive)
    }
}

fn attribute(value: &str, direction: &mut Direction, telephone_event: &mut Option<u8>) {
    match value {
        "sendrecv" => *direction = Direction::SendRecv,
        "sendonly" => *direction = Direction::SendOnly,
        "recvonly" => *direction = Direction::RecvOnly,
        "inactive" => *direction = Direction::Inactive,
        _ => {}
    }
    let Some((number, name)) = value
        .strip_prefix("rtpmap:")
        .and_then(|map| map.split_once(' '))
    else {
        return;
    };
    if name
        .to_ascii_lowercase()
        .starts_with("telephone-event/8000")
    {
        *telephone_event = number.parse().ok();
    }
}

fn connection(value: &str) -> Option<IpAddr> {
    let address = value.split_whitespace().nth(2)?;
    address.split('/').next()?.parse().ok()
}

/// A model customer's description. Encoding names are in lower case, as live endpoints write them.
pub(super) fn customer(
    local: SocketAddr,
    formats: &[u8],
    telephone_event: Option<u8>,
    direction: Direction,
) -> String {
    let family = family(local.ip());
    let mut list: Vec<String> = formats.iter().map(ToString::to_string).collect();
    list.extend(telephone_event.map(|number| number.to_string()));
    let mut text = format!(
        "v=0\r\no=- 1 1 IN {family} {0}\r\ns=customer\r\nc=IN {family} {0}\r\nt=0 0\r\n\
         m=audio {1} RTP/AVP {2}\r\n",
        local.ip(),
        local.port(),
        list.join(" ")
    );
    for format in formats {
        let name = match format {
            0 => "pcmu",
            8 => "pcma",
            _ => continue,
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "a=rtpmap:{format} {name}/8000\r\n");
    }
    if let Some(number) = telephone_event {
        let _ = write!(
            text,
            "a=rtpmap:{number} telephone-event/8000\r\na=fmtp:{number} 0-15\r\n"
        );
    }
    if let Some(attribute) = direction.attribute() {
        text.push_str(attribute);
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_origin_line_is_rewritten_and_counted() {
        let mut origin = Origin::new(1_769_469_826, "192.0.2.81".parse().unwrap());
        let sdp = "v=0\r\no=x 1 1 IN IP4 198.51.100.3\r\ns=y\r\n";
        assert_eq!(
            origin.pass(sdp),
            "v=0\r\no=Genesys 1769469826 1 IN IP4 192.0.2.81\r\ns=y\r\n"
        );
        assert!(origin.pass(sdp).contains("1769469826 2 IN"));
    }

    #[test]
    fn the_black_hole_has_the_traced_length() {
        let mut origin = Origin::new(1_770_020_797, "192.0.2.81".parse().unwrap());
        let sdp = origin.black_hole();
        assert_eq!(sdp.len(), 270);
        let audio = Audio::read(&sdp).unwrap();
        assert_eq!(audio.address, None);
        assert!(audio.holds());
        assert_eq!(audio.formats[0], 101);
    }

    #[test]
    fn audio_is_read_past_other_media() {
        let sdp = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=video 9 RTP/AVP 96\r\na=inactive\r\n\
                   c=IN IP4 192.0.2.9\r\nm=audio 8000 RTP/AVP 0 101\r\n\
                   a=rtpmap:101 Telephone-Event/8000\r\na=sendonly\r\nm=audio 9 RTP/AVP 8\r\n";
        let audio = Audio::read(sdp).unwrap();
        assert_eq!(audio.address, Some("192.0.2.1:8000".parse().unwrap()));
        assert_eq!(audio.formats, [0, 101]);
        assert_eq!(audio.telephone_event, Some(101));
        assert_eq!(audio.direction, Direction::SendOnly);
        assert!(audio.holds());
        assert!(Audio::read("v=0\r\nm=audio x RTP/AVP 0\r\n").is_none());
    }
}
