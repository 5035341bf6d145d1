//! Messages are read with `rsip`, a parser that has nothing in common with the one under test.
//!
//! Its known faults are worked around before it sees a byte: the Request-URI is taken out (it cannot
//! read IPv6 hosts, `tel:` or URI headers), compact names are spelt out, folded lines are joined,
//! bytes that are not UTF-8 are taken as Latin-1, and the body is cut by Content-Length here.

use rsip::headers::ToTypedHeader;
use rsip::message::{HasHeaders, HeadersExt};

use super::limits::MAX_MESSAGE_BYTES;
use super::text;

/// Why a message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It exceeds the largest datagram.
    #[error("longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    /// No start line, or one of neither form.
    #[error("bad start line")]
    StartLine,
    /// A line without a colon.
    #[error("bad header line")]
    HeaderLine,
    /// `rsip` refuses it.
    #[error("{0}")]
    Grammar(String),
    /// A mandatory header is missing.
    #[error("no {0} header")]
    Missing(&'static str),
    /// The body is shorter than Content-Length, or there are two lengths.
    #[error("bad Content-Length")]
    Length,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Request { method: String, uri: String },
    Response { status: u16 },
}

/// A message as read.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) start: Start,
    headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) cseq: u32,
    pub(super) cseq_method: String,
}

impl Incoming {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(Unreadable::TooLong);
        }
        let (head, rest) = split_head(bytes);
        let lines = unfold(&decode(head));
        let (first, lines) = lines.split_first().ok_or(Unreadable::StartLine)?;
        let (start, neutral) = start_line(first)?;
        let mut prepared = neutral;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(Unreadable::HeaderLine)?;
            prepared.push_str(text::long_name(name.trim_end()));
            prepared.push_str(": ");
            prepared.push_str(value.trim());
            prepared.push_str("\r\n");
        }
        prepared.push_str("\r\n");
        let message = rsip::SipMessage::try_from(prepared.as_str())
            .map_err(|error| Unreadable::Grammar(error.to_string()))?;
        let cseq = message
            .cseq_header()
            .and_then(ToTypedHeader::typed)
            .map_err(|_| Unreadable::Missing("CSeq"))?;
        let headers: Vec<(String, String)> = message
            .headers()
            .iter()
            .filter_map(|header| {
                let line = header.to_string();
                let (name, value) = line.split_once(':')?;
                Some((name.to_owned(), value.trim().to_owned()))
            })
            .collect();
        let mut read = Self {
            start,
            headers,
            body: String::new(),
            cseq: cseq.seq,
            cseq_method: cseq.method.to_string(),
        };
        for name in ["Via", "From", "To", "Call-ID"] {
            if read.get(name).is_none() {
                return Err(Unreadable::Missing(name));
            }
        }
        read.body = decode(read.cut_body(rest)?);
        Ok(read)
    }

    fn cut_body<'a>(&self, rest: &'a [u8]) -> Result<&'a [u8], Unreadable> {
        let mut lengths = self.all("Content-Length");
        let Some(length) = lengths.next() else {
            // RFC 3261 section 18.3: without a length the body ends with the datagram.
            return Ok(rest);
        };
        if lengths.next().is_some() {
            return Err(Unreadable::Length);
        }
        let length: usize = length.parse().map_err(|_| Unreadable::Length)?;
        rest.get(..length).ok_or(Unreadable::Length)
    }

    /// First value of a header, in any case of its name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every line of a header.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The header lines in their order.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    pub(super) fn from(&self) -> &str {
        self.get("From").unwrap_or_default()
    }

    pub(super) fn to(&self) -> &str {
        self.get("To").unwrap_or_default()
    }

    pub(super) fn call_id(&self) -> &str {
        self.get("Call-ID").unwrap_or_default()
    }

    pub(super) fn tag_of_from(&self) -> Option<&str> {
        text::header_param(self.from(), "tag")
    }

    pub(super) fn to_tag(&self) -> Option<&str> {
        text::header_param(self.to(), "tag")
    }

    /// The topmost Via value.
    pub(super) fn via(&self) -> &str {
        let line = self.get("Via").unwrap_or_default();
        line.split(',').next().unwrap_or(line).trim()
    }

    pub(super) fn branch(&self) -> &str {
        text::header_param(self.via(), "branch").unwrap_or_default()
    }

    /// The sent-by of the topmost Via, if it is an address.
    pub(super) fn sent_by(&self) -> Option<std::net::SocketAddr> {
        let via = self.via();
        let sent_by = via.split_whitespace().nth(1)?;
        text::address(sent_by.split(';').next()?)
    }

    /// The body, if it is a session description.
    pub(super) fn sdp(&self) -> Option<&str> {
        let kind = self.get("Content-Type")?;
        let kind = kind.split(';').next().unwrap_or(kind).trim();
        (kind.eq_ignore_ascii_case("application/sdp") && !self.body.is_empty())
            .then_some(self.body.as_str())
    }
}

fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or((bytes, &[]), |at| (&bytes[..at], &bytes[at + 4..]))
}

fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

fn unfold(head: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ if line.is_empty() => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// The start line, and the same with a Request-URI that `rsip` can read.
fn start_line(line: &str) -> Result<(Start, String), Unreadable> {
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        let status = rest
            .get(..3)
            .and_then(|digits| digits.parse().ok())
            .ok_or(Unreadable::StartLine)?;
        // The reason phrase may hold anything; the model has no use for it.
        return Ok((
            Start::Response { status },
            format!("SIP/2.0 {status} Reason\r\n"),
        ));
    }
    let (method, rest) = line.split_once(' ').ok_or(Unreadable::StartLine)?;
    let uri = rest.strip_suffix(" SIP/2.0").ok_or(Unreadable::StartLine)?;
    Ok((
        Start::Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
        },
        format!("{method} sip:model.invalid SIP/2.0\r\n"),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REGISTER: &str = "REGISTER sip:[2001:db8::1]?x=y SIP/2.0\r\n\
        v: SIP/2.0/UDP 198.51.100.54:5061;rport;branch=z9hG4bK1\r\n\
        f: \"J\u{fc}rgen\" <sip:alice.smith@192.0.2.81>;tag=1\r\n\
        t: <sip:1002@192.0.2.81>\r\n\
        i: a@b\r\n\
        CSeq: 7\r\n \tREGISTER\r\n\
        Content-Length:  3\r\n\r\nabcdef";

    #[test]
    fn what_rsip_cannot_read_is_prepared_for_it() {
        let message = Incoming::read(REGISTER.as_bytes()).unwrap();
        assert_eq!(
            message.start,
            Start::Request {
                method: "REGISTER".to_owned(),
                uri: "sip:[2001:db8::1]?x=y".to_owned()
            }
        );
        assert_eq!((message.cseq, message.body.as_str()), (7, "abc"));
        assert_eq!(message.branch(), "z9hG4bK1");
        assert_eq!(message.tag_of_from(), Some("1"));
        assert_eq!(
            message.sent_by(),
            Some("198.51.100.54:5061".parse().unwrap())
        );
    }

    #[test]
    fn latin_1_does_not_refuse_a_message() {
        let bytes: Vec<u8> = REGISTER.chars().map(|c| c as u8).collect();
        let message = Incoming::read(&bytes).unwrap();
        assert!(message.from().contains('\u{fc}'));
    }

    #[test]
    fn two_lengths_or_a_short_body_are_refused() {
        let twice = REGISTER.replace("CSeq", "l: 3\r\nCSeq");
        assert_eq!(
            Incoming::read(twice.as_bytes()).unwrap_err(),
            Unreadable::Length
        );
        let short = REGISTER.replace("abcdef", "ab");
        assert_eq!(
            Incoming::read(short.as_bytes()).unwrap_err(),
            Unreadable::Length
        );
        assert!(Incoming::read(b"\r\n\r\n").is_err());
        assert!(Incoming::read(b"NONSENSE").is_err());
    }
}
