//! The host of a URI or of a Via: a name, an IPv4 or an IPv6 address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A host. Names are compared without case.
#[derive(Clone, Debug)]
pub enum Host {
    /// A domain name.
    Name(Box<str>),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; it is written in square brackets.
    V6(Ipv6Addr),
}

impl Host {
    /// Longest domain name, octets (RFC 1035 section 2.3.4).
    const NAME_BYTES_MAX: usize = 255;

    /// A host as it stands in a URI: IPv6 in brackets. Underscores are let through, since real host
    /// names have them.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        if let Some(inner) = text.strip_prefix('[') {
            return ipv6(inner.strip_suffix(']')?).map(Self::V6);
        }
        if let Ok(address) = text.parse() {
            return Some(Self::V4(address));
        }
        let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let good = !text.is_empty()
            && text.len() <= Self::NAME_BYTES_MAX
            && text.bytes().all(name)
            && !text.starts_with(['.', '-']);
        good.then(|| Self::Name(text.into()))
    }

    /// The address, when it is not a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

/// RFC 5118 section 4.10: the grammar of RFC 3261 makes three colons before an embedded IPv4 address
/// out of two, and both have to be read.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    match text.split_once(":::") {
        None => text.parse().ok(),
        Some((head, tail)) => {
            tail.parse::<Ipv4Addr>().ok()?;
            format!("{head}::{tail}").parse().ok()
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Self::V4(b)) => a == b,
            (Self::V6(a), Self::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host {}

impl std::hash::Hash for Host {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Name(name) => {
                for byte in name.bytes() {
                    state.write_u8(byte.to_ascii_lowercase());
                }
            }
            Self::V4(address) => address.hash(state),
            Self::V6(address) => address.hash(state),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}
