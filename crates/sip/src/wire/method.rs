//! Request methods: the fourteen of the registry and any other token, kept as it is spelt.

use std::fmt;

use super::lex::is_token;
use crate::limits::METHOD_BYTES_MAX;

/// A request method. Methods are case-sensitive (RFC 3261 section 7.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// RFC 3261.
    Invite,
    /// RFC 3261.
    Ack,
    /// RFC 3261.
    Bye,
    /// RFC 3261.
    Cancel,
    /// RFC 3261.
    Register,
    /// RFC 3261.
    Options,
    /// RFC 6665.
    Notify,
    /// RFC 6086.
    Info,
    /// RFC 3311.
    Update,
    /// RFC 3262.
    Prack,
    /// RFC 3515.
    Refer,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 3903.
    Publish,
    /// Any other token.
    Other(Box<str>),
}

impl Method {
    const KNOWN: [Self; 14] = [
        Self::Invite,
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Register,
        Self::Options,
        Self::Notify,
        Self::Info,
        Self::Update,
        Self::Prack,
        Self::Refer,
        Self::Message,
        Self::Subscribe,
        Self::Publish,
    ];

    /// The method of these octets; `None` when they are no token or too many.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if let Some(known) = Self::KNOWN.iter().find(|m| m.as_str().as_bytes() == bytes) {
            return Some(known.clone());
        }
        if bytes.len() > METHOD_BYTES_MAX || !is_token(bytes) {
            return None;
        }
        Some(Self::Other(str::from_utf8(bytes).ok()?.into()))
    }

    /// As it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
            Self::Notify => "NOTIFY",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Refer => "REFER",
            Self::Message => "MESSAGE",
            Self::Subscribe => "SUBSCRIBE",
            Self::Publish => "PUBLISH",
            Self::Other(name) => name,
        }
    }

    /// Whether the registry of methods knows it; an unknown one is answered 501 rather than 405.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_tokens() {
        assert_eq!(Method::parse(b"INVITE"), Some(Method::Invite));
        assert_eq!(
            Method::parse(b"Invite"),
            Some(Method::Other("Invite".into()))
        );
        assert_eq!(Method::parse(b"IN VITE"), None);
        assert_eq!(Method::parse(b""), None);
        assert_eq!(Method::parse(&[b'A'; 1728]), None);
    }

    #[test]
    fn every_known_method_parses_back() {
        for method in Method::KNOWN {
            assert_eq!(Method::parse(method.as_str().as_bytes()), Some(method));
        }
    }
}
