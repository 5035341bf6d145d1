//! The Via header (RFC 3261 section 20.42, RFC 3581).

use std::net::IpAddr;

use super::{
    lex::{Cursor, trim},
    params::Params,
};
use crate::{
    ids::Branch,
    limits::IDENTIFIER_BYTES_MAX,
    uri::{Host, parse_port},
};

/// One hop a request took: where its response has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The transport as it is spelt: `UDP`, `TCP`, `TLS`, `WSS` or any other token.
    pub transport: Box<str>,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, when one is written.
    pub port: Option<u16>,
    /// Names the transaction.
    pub branch: Option<Branch>,
    /// Where the request really came from, as the next hop saw it.
    pub received: Option<IpAddr>,
    /// RFC 3581: `Some(None)` asks for the port, `Some(Some(port))` tells it.
    pub rport: Option<Option<u16>>,
    /// All parameters, the above included, as they are spelt.
    pub params: Params,
}

impl Via {
    /// A hop of ours: `SIP/2.0/<transport> <host>:<port>;branch=<branch>`, with an empty `rport`
    /// when `ask_port` is set.
    #[must_use]
    pub fn new(
        transport: &str,
        host: Host,
        port: Option<u16>,
        branch: Branch,
        ask_port: bool,
    ) -> Self {
        let mut params = Params::new();
        params.push("branch", &branch);
        if ask_port {
            params.push_flag("rport");
        }
        Self {
            transport: transport.into(),
            host,
            port,
            branch: Some(branch),
            received: None,
            rport: ask_port.then_some(None),
            params,
        }
    }

    /// One value, unfolded. Any protocol version is read, so that a request of another one can be
    /// answered 505.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(trim(value));
        cursor.token()?;
        cursor.eat_spaced(b'/').then(|| cursor.token())??;
        let transport = cursor.eat_spaced(b'/').then(|| cursor.token())??;
        let before = cursor.rest().len();
        cursor.skip_space();
        if cursor.rest().len() == before {
            return None;
        }
        let (host, port) = sent_by(&mut cursor)?;
        let params = Params::parse(cursor.rest())?;
        let branch = params.get("branch");
        let branch_fits = branch.is_none_or(|branch| {
            !branch.is_empty()
                && branch.len() <= IDENTIFIER_BYTES_MAX
                && params.count("branch") == 1
        });
        if !branch_fits {
            return None;
        }
        let rport = match params.get("rport") {
            None => None,
            Some(b"") => Some(None),
            Some(digits) => Some(Some(parse_port(digits)?)),
        };
        Some(Self {
            transport: str::from_utf8(transport).ok()?.into(),
            host,
            port,
            branch: branch.map(Branch::new),
            received: params.get("received").and_then(address),
            rport,
            params,
        })
    }

    /// As it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("SIP/2.0/{} {}", self.transport, self.host).into_bytes();
        if let Some(port) = self.port {
            out.extend_from_slice(format!(":{port}").as_bytes());
        }
        out.extend_from_slice(self.params.as_bytes());
        out
    }
}

fn sent_by(cursor: &mut Cursor<'_>) -> Option<(Host, Option<u16>)> {
    let host = if cursor.peek() == Some(b'[') {
        let rest = cursor.rest();
        let end = rest.iter().position(|&b| b == b']')? + 1;
        cursor.take_while(|b| b != b']');
        cursor.eat(b']');
        rest.get(..end)?
    } else {
        cursor.take_while(|b| !matches!(b, b':' | b';' | b' ' | b'\t'))
    };
    let host = Host::parse(host)?;
    if !cursor.eat_spaced(b':') {
        return Some((host, None));
    }
    let port = parse_port(cursor.take_while(|b| b.is_ascii_digit()))?;
    Some((host, Some(port)))
}

/// An address with or without brackets: RFC 3261 writes IPv6 without them here, many stacks with.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(bytes).ok()?;
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parts() {
        let via = Via::parse(
            b"SIP/2.0/UDP 192.0.2.81:5060;branch=z9hG4bKF9D1-149;received=192.0.2.81;rport=5062;x",
        );
        let via = via.unwrap();
        assert_eq!(&*via.transport, "UDP");
        assert_eq!(via.host.to_string(), "192.0.2.81");
        assert_eq!(via.port, Some(5060));
        assert_eq!(via.branch.unwrap(), Branch::new("z9hG4bKF9D1-149"));
        assert_eq!(via.received.unwrap().to_string(), "192.0.2.81");
        assert_eq!(via.rport, Some(Some(5062)));
    }

    #[test]
    fn empty_rport_is_a_question() {
        let via = Via::parse(b"SIP/2.0/UDP 198.51.100.54:5061;rport;branch=z9hG4bKPj").unwrap();
        assert_eq!(via.rport, Some(None));
    }

    #[test]
    fn spaces_and_ipv6() {
        let via =
            Via::parse(b"SIP  /   2.0 /UDP    first.example.com: 4000;ttl=16 ;branch=a").unwrap();
        assert_eq!(
            (via.host.to_string().as_str(), via.port),
            ("first.example.com", Some(4000))
        );
        let via = Via::parse(b"SIP/2.0/TLS [2001:db8::9:1]:5061;received=2001:db8::9:255;branch=b")
            .unwrap();
        assert_eq!(via.host.to_string(), "[2001:db8::9:1]");
        assert_eq!(via.received.unwrap().to_string(), "2001:db8::9:255");
        let via = Via::parse(b"SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255]").unwrap();
        assert_eq!(via.received.unwrap().to_string(), "2001:db8::9:255");
    }

    #[test]
    fn own_hops_print_and_parse_back() {
        let host = Host::parse(b"[2001:db8::1]").unwrap();
        let via = Via::new("TCP", host, Some(5060), Branch::new("z9hG4bK1"), true);
        assert_eq!(
            via.to_bytes(),
            b"SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bK1;rport"
        );
        assert_eq!(Via::parse(&via.to_bytes()).unwrap(), via);
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in [
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/2.0/UDP",
            "SIP/2.0 192.0.2.15",
            "SIP/2.0/UDPhost",
            "SIP/2.0/UDP ;branch=a",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP h;branch=",
            "SIP/2.0/UDP h;branch=a;branch=b",
            "SIP/2.0/UDP h;rport=x",
            "SIP/2.0/UDP [::1;branch=a",
            "",
        ] {
            assert!(Via::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
