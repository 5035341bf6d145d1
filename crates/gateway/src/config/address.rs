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

/// One SIP Server: `192.0.2.81:5060`. Only IP addresses: SIP is accepted from these and from nobody else, so a name that
/// somebody else answers for must not be able to open the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerAddress(
    /// Where requests go.
    pub SocketAddr,
);

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        socket_address(text, SIP_PORT).map(Self).ok_or_else(|| {
            format!(
                "expected an IP address with an optional port, for example `192.0.2.81:5060` \
                 (names are not resolved), found `{text}`"
            )
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

string_form!(ServerAddress);

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
    fn a_server_is_an_address_never_a_name() {
        assert_eq!(
            "192.0.2.81".parse::<ServerAddress>().unwrap().0.port(),
            5060
        );
        assert!(
            "sip.example.com"
                .parse::<ServerAddress>()
                .unwrap_err()
                .contains("names are not")
        );
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
