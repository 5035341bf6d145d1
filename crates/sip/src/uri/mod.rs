//! URIs (RFC 3261 section 19.1, RFC 3966): taken apart where they stand, printed as they came.

mod compare;
mod host;
mod parse;

use std::fmt;

pub use host::Host;
pub use parse::UriError;
pub(crate) use parse::port as parse_port;

/// The scheme of a URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, in lower case; what follows it is kept and not looked at.
    Other(Box<str>),
}

impl Scheme {
    /// In lower case, without the colon.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(name) => name,
        }
    }
}

/// A URI that prints octet for octet as it was parsed. `==` compares the octets; the rules of RFC
/// 3261 section 19.1.4 are [`Uri::equivalent`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    text: Box<[u8]>,
    scheme: Scheme,
    user: Option<Span>,
    password: Option<Span>,
    host: Option<Host>,
    port: Option<u16>,
    params: Span,
    headers: Span,
}

/// Where a part stands in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Span {
    start: usize,
    end: usize,
}

impl Uri {
    /// `sip:user@host:port`. Octets that may not stand in a user part are escaped.
    ///
    /// # Errors
    ///
    /// When the user part makes the URI too long.
    pub fn sip(user: Option<&[u8]>, host: &Host, port: Option<u16>) -> Result<Self, UriError> {
        let mut text = b"sip:".to_vec();
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            parse::push_escaped_user(&mut text, user);
            text.push(b'@');
        }
        text.extend_from_slice(host.to_string().as_bytes());
        if let Some(port) = port {
            text.extend_from_slice(format!(":{port}").as_bytes());
        }
        Self::parse(&text)
    }

    fn part(&self, span: Span) -> &[u8] {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The user part as it is spelt (`%2321` stays `%2321`), without password; for `tel:` the
    /// number.
    #[must_use]
    pub fn user(&self) -> Option<&[u8]> {
        self.user.map(|span| self.part(span))
    }

    /// The user part with its escapes resolved.
    #[must_use]
    pub fn user_unescaped(&self) -> Option<Vec<u8>> {
        self.user().map(parse::unescape)
    }

    /// The telephone number in the user part, or the user as a whole where it is none, escapes resolved. A number may have parameters of its own
    /// behind it (RFC 3261 section 19.1.6): `0301234` of `sip:0301234;phone-context=+49@h`.
    #[must_use]
    pub fn number(&self) -> Option<Vec<u8>> {
        let user = self.user()?;
        let semicolon = user.iter().position(|octet| *octet == b';');
        let (head, _) = user.split_at(semicolon.unwrap_or(user.len()));
        let number = parse::unescape(head);
        let is_phone = self
            .param("user")
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"phone"));
        let dialled = |octet: &u8| octet.is_ascii_digit() || b"+*#-.()".contains(octet);
        if !number.is_empty() && (is_phone || number.iter().all(dialled)) {
            Some(number)
        } else {
            self.user_unescaped()
        }
    }

    /// The password behind the user, as it is spelt.
    #[must_use]
    pub fn password(&self) -> Option<&[u8]> {
        self.password.map(|span| self.part(span))
    }

    /// The host; `None` for `tel:` and unknown schemes.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The port, when one is written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Names and values of the URI parameters, as they are spelt; a flag has no value.
    pub fn params(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        pairs(self.part(self.params), b';')
    }

    /// The value of a URI parameter; empty for a flag such as `lr`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        let mut found = self
            .params()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        found.next().map(|(_, value)| value.unwrap_or_default())
    }

    /// Names and values of the URI headers (`?Replaces=...`), as they are spelt.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        pairs(self.part(self.headers), b'&').map(|(name, value)| (name, value.unwrap_or_default()))
    }

    /// The first URI header of that name with its escapes resolved.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        let mut found = self
            .headers()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        found.next().map(|(_, value)| parse::unescape(value))
    }

    /// The URI with one more parameter; a value of `None` makes a flag.
    #[must_use]
    pub fn with_param(&self, name: &str, value: Option<&[u8]>) -> Self {
        let mut text = self
            .text
            .get(..self.params.end)
            .unwrap_or(&self.text)
            .to_vec();
        text.push(b';');
        text.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            text.push(b'=');
            parse::push_escaped_param(&mut text, value);
        }
        text.extend_from_slice(self.text.get(self.params.end..).unwrap_or_default());
        Self::parse(&text).unwrap_or_else(|_| self.clone())
    }

    /// The URI with one more URI header, its value escaped (`?Replaces=...`, RFC 3261 section 19.1.1). A URI without a host has
    /// none and stays as it is.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &[u8]) -> Self {
        if self.host.is_none() {
            return self.clone();
        }
        let mut text = self.text.to_vec();
        let first = self.headers().next().is_none();
        text.push(if first { b'?' } else { b'&' });
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        parse::push_escaped_header(&mut text, value);
        Self::parse(&text).unwrap_or_else(|_| self.clone())
    }

    /// The URI as a Request-URI may carry it: without headers and without a `method` parameter
    /// (RFC 3261 section 19.1.1, table 1).
    #[must_use]
    pub fn for_request_line(&self) -> Self {
        if self.host.is_none()
            || (self.headers == Span::default() && self.param("method").is_none())
        {
            return self.clone();
        }
        let mut text = self
            .text
            .get(..self.params.start)
            .unwrap_or(&self.text)
            .to_vec();
        for (name, value) in self.params() {
            if name.eq_ignore_ascii_case(b"method") {
                continue;
            }
            text.push(b';');
            text.extend_from_slice(name);
            if let Some(value) = value {
                text.push(b'=');
                text.extend_from_slice(value);
            }
        }
        Self::parse(&text).unwrap_or_else(|_| self.clone())
    }

    /// The octets as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// A copy of the octets.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.text.to_vec()
    }
}

/// The pairs of a span that begins with its separator (or `?`).
fn pairs(text: &[u8], separator: u8) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let inner = text.get(1..).unwrap_or_default();
    let pieces = inner
        .split(move |&b| b == separator)
        .filter(|piece| !piece.is_empty());
    pieces.map(|piece| match piece.iter().position(|&b| b == b'=') {
        Some(at) => (&piece[..at], piece.get(at + 1..)),
        None => (piece, None),
    })
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(&self.text) {
            Ok(text) => f.write_str(text),
            Err(_) => self.text.escape_ascii().fmt(f),
        }
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

impl std::str::FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text.as_bytes())
    }
}

#[cfg(test)]
mod tests;
