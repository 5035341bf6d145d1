//! Addresses and port ranges as they are written in the configuration.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives a type that is written as a string its conversions and its schema.
macro_rules! string_form {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

/// The port of SIP where none is written (RFC 3261 section 19.1.2).
const SIP_PORT: u16 = 5060;

/// The port of SIP over TLS where none is written (RFC 3261 section 19.1.2).
const SIPS_PORT: u16 = 5061;

/// How SIP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SipTransport {
    /// Datagrams: what SIP Server uses unless told otherwise.
    Udp,
    /// A stream without encryption.
    Tcp,
    /// A stream inside TLS.
    Tls,
}

impl SipTransport {
    /// The word used in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// One listening address of the SIP side: `udp:192.0.2.10:5060`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SipListen {
    /// The transport to listen on.
    pub transport: SipTransport,
    /// The address and port to bind.
    pub address: SocketAddr,
}

impl FromStr for SipListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || {
            format!(
                "expected `udp:`, `tcp:` or `tls:` and IP:port, for example `udp:192.0.2.10:5060`, found `{text}`"
            )
        };
        let (transport, address) = text.split_once(':').ok_or_else(expected)?;
        let transport = match transport {
            "udp" => SipTransport::Udp,
            "tcp" => SipTransport::Tcp,
            "tls" => SipTransport::Tls,
            _ => return Err(expected()),
        };
        let default = if transport == SipTransport::Tls {
            SIPS_PORT
        } else {
            SIP_PORT
        };
        let address = socket_address(address, default).ok_or_else(expected)?;
        Ok(Self { transport, address })
    }
}

impl fmt::Display for SipListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.as_str(), self.address)
    }
}

string_form!(SipListen);

/// One entry of a list of SIP Servers: `192.0.2.81:5060`, `tserver-1.example.com:5060`, or `example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServerAddress {
    /// Where requests go.
    Address(SocketAddr),
    /// To be found in DNS.
    Name(ServerName),
}

/// A name that DNS knows SIP Servers by (RFC 3263).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName {
    /// The name, in lower case and without a final dot.
    pub host: String,
    /// With a port it is the name of a host; without, one of a domain.
    pub port: Option<u16>,
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Longest name in DNS, and longest part between two dots (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

impl ServerName {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0)?)),
            None => (text, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let label = |label: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=LABEL_MAX).contains(&label.len()) && label.chars().all(known)
        };
        // A last label of digits is an address with a typing error (RFC 3696 section 2).
        let last = host.rsplit('.').next()?;
        let named = last.chars().any(|c| !c.is_ascii_digit());
        (named && host.len() <= NAME_MAX && host.split('.').all(label))
            .then_some(Self { host, port })
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix("sip:").unwrap_or(text);
        if let Some(address) = socket_address(bare, SIP_PORT) {
            return Ok(Self::Address(address));
        }
        ServerName::parse(bare).map(Self::Name).ok_or_else(|| {
            format!(
                "expected an IP address or a name, with an optional port, for example `192.0.2.81:5060` or \
                 `tserver.example.com`, found `{text}`"
            )
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

string_form!(ServerAddress);

/// The port of DNS where none is written.
const DNS_PORT: u16 = 53;

/// One DNS server: `192.0.2.53`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsServer(
    /// Where questions go.
    pub SocketAddr,
);

impl FromStr for DnsServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        socket_address(text, DNS_PORT).map(Self).ok_or_else(|| {
            format!("expected an IP address with an optional port, for example `192.0.2.53`, found `{text}`")
        })
    }
}

impl fmt::Display for DnsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

string_form!(DnsServer);

/// An inclusive range of UDP ports: `16384-32767`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port, itself included.
    pub last: u16,
}

impl PortRange {
    /// How many calls fit: each takes an even port for RTP and the odd one above it for RTCP (RFC 3550 section 11).
    #[must_use]
    pub fn pairs(self) -> usize {
        let first_even = u32::from(self.first).next_multiple_of(2);
        let after_last = u32::from(self.last) + 1;
        (after_last.saturating_sub(first_even) / 2) as usize
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = |why: &str| {
            format!("expected a range of ports, for example `16384-32767`{why}, found `{text}`")
        };
        let (first, last) = text.split_once('-').ok_or_else(|| expected(""))?;
        let parse = |port: &str| port.trim().parse::<u16>().map_err(|_| expected(""));
        let (first, last) = (parse(first)?, parse(last)?);
        if first < 1024 {
            return Err(expected(" above the privileged ports (1024 and up)"));
        }
        if first > last {
            return Err(expected(", lower port first"));
        }
        let range = Self { first, last };
        if range.pairs() == 0 {
            return Err(expected(
                " with room for at least one even port and the odd one above it",
            ));
        }
        Ok(range)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

string_form!(PortRange);

fn socket_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>()
        .ok()
        .map(|ip| SocketAddr::new(ip, default_port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn listen_addresses_name_their_transport() {
        let listen: SipListen = "tcp:192.0.2.10:5070".parse().unwrap();
        assert_eq!(listen.transport, SipTransport::Tcp);
        assert_eq!(listen.to_string(), "tcp:192.0.2.10:5070");
        assert_eq!(
            "tls:192.0.2.10"
                .parse::<SipListen>()
                .unwrap()
                .address
                .port(),
            5061
        );
        assert_eq!(
            "udp:[2001:db8::1]:5060"
                .parse::<SipListen>()
                .unwrap()
                .address
                .port(),
            5060
        );
        assert!("192.0.2.10:5060".parse::<SipListen>().is_err());
        assert!("ws:192.0.2.10:5060".parse::<SipListen>().is_err());
    }

    #[test]
    fn a_server_is_an_address_a_host_or_a_domain() {
        let parse = |text: &str| text.parse::<ServerAddress>();
        let address = |text: &str| ServerAddress::Address(text.parse().unwrap());
        let name = |host: &str, port| {
            let host = host.to_owned();
            ServerAddress::Name(ServerName { host, port })
        };
        assert_eq!(parse("192.0.2.81"), Ok(address("192.0.2.81:5060")));
        assert_eq!(parse("sip:192.0.2.81:5070"), Ok(address("192.0.2.81:5070")));
        assert_eq!(
            parse("TServer.example.com."),
            Ok(name("tserver.example.com", None))
        );
        assert_eq!(parse("sip:tserver:5070"), Ok(name("tserver", Some(5070))));
        for wrong in [
            "",
            "192.0.2.811",
            "192.0.2",
            "a..b",
            "a b",
            "tserver:",
            "tserver:0",
            "x:5060;transport=tcp",
            "sips:x",
            "1002@x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn port_ranges_count_even_odd_pairs() {
        let pairs = |text: &str| text.parse::<PortRange>().map(PortRange::pairs);
        assert_eq!(pairs("16384-16387"), Ok(2));
        assert_eq!(pairs("16385-16388"), Ok(1));
        assert_eq!(pairs("65534-65535"), Ok(1));
        assert!(pairs("16385-16385").is_err());
        assert!(pairs("20000-10000").is_err());
        assert!(pairs("80-90").is_err());
        assert!(pairs("16384-70000").is_err());
    }
}
