//! Taking a URI apart.

use super::{Host, Scheme, Span, Uri};
use crate::{
    limits::{PARAMS_MAX, URI_BYTES_MAX},
    wire::lex::number,
};

/// Why octets are no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Longer than [`URI_BYTES_MAX`].
    #[error("too long")]
    TooLong,
    /// No scheme and colon in front.
    #[error("no scheme")]
    Scheme,
    /// An octet that may not stand in a URI at all: a space, a control, a quote, an angle bracket.
    #[error("an octet no URI may have")]
    Octet,
    /// The part before the `@`.
    #[error("user part")]
    User,
    /// The host.
    #[error("host")]
    Host,
    /// The port.
    #[error("port")]
    Port,
    /// The parameters.
    #[error("parameters")]
    Params,
    /// The headers behind the question mark.
    #[error("headers")]
    Headers,
    /// The number of a `tel:` URI.
    #[error("telephone number")]
    Number,
}

impl Uri {
    /// A URI that fills `bytes` to the last octet.
    ///
    /// # Errors
    ///
    /// The part that is not of its grammar. Octets above 127 and printable ones that need no escape
    /// to be unambiguous are let through, since they are only carried.
    pub fn parse(bytes: &[u8]) -> Result<Self, UriError> {
        if bytes.len() > URI_BYTES_MAX {
            return Err(UriError::TooLong);
        }
        let colon = bytes
            .iter()
            .position(|&b| b == b':')
            .ok_or(UriError::Scheme)?;
        let scheme = scheme(&bytes[..colon]).ok_or(UriError::Scheme)?;
        if bytes
            .iter()
            .any(|&b| b <= b' ' || matches!(b, b'"' | b'<' | b'>' | b'\\' | 0x7f))
        {
            return Err(UriError::Octet);
        }
        let uri = Self {
            text: bytes.into(),
            scheme,
            user: None,
            password: None,
            host: None,
            port: None,
            params: Span {
                start: bytes.len(),
                end: bytes.len(),
            },
            headers: Span::default(),
        };
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => uri.sip_parts(colon + 1),
            Scheme::Tel => uri.tel_parts(colon + 1),
            Scheme::Other(_) if colon + 1 == bytes.len() => Err(UriError::Host),
            Scheme::Other(_) => Ok(uri),
        }
    }

    fn sip_parts(mut self, start: usize) -> Result<Self, UriError> {
        let text = &self.text;
        let mut host_start = start;
        if let Some(at) = text.iter().position(|&b| b == b'@') {
            let user_end = text[start..at]
                .iter()
                .position(|&b| b == b':')
                .map(|i| start + i);
            let user = Span {
                start,
                end: user_end.unwrap_or(at),
            };
            if user.start == user.end || !escapes_are_whole(&text[start..at]) {
                return Err(UriError::User);
            }
            self.user = Some(user);
            self.password = user_end.map(|colon| Span {
                start: colon + 1,
                end: at,
            });
            host_start = at + 1;
        }
        let rest = &text[host_start..];
        if rest.contains(&b'@') {
            return Err(UriError::Host);
        }
        let question = rest
            .iter()
            .position(|&b| b == b'?')
            .map_or(rest.len(), |i| i);
        let semicolon = rest[..question]
            .iter()
            .position(|&b| b == b';')
            .unwrap_or(question);
        let (host, port) = host_and_port(&rest[..semicolon])?;
        let params = Span {
            start: host_start + semicolon,
            end: host_start + question,
        };
        let headers = Span {
            start: host_start + question,
            end: text.len(),
        };
        check_params(&text[params.start..params.end])?;
        check_headers(&text[headers.start..])?;
        self.host = Some(host);
        self.port = port;
        self.params = params;
        if headers.start != headers.end {
            self.headers = headers;
        }
        Ok(self)
    }

    fn tel_parts(mut self, start: usize) -> Result<Self, UriError> {
        let text = &self.text;
        let end = text[start..]
            .iter()
            .position(|&b| b == b';')
            .map_or(text.len(), |i| start + i);
        let digits =
            |b: u8| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#' | b'-' | b'.' | b'(' | b')');
        let number = &text[start..end];
        let number = number.strip_prefix(b"+").unwrap_or(number);
        if number.is_empty() || !number.iter().copied().all(digits) {
            return Err(UriError::Number);
        }
        check_params(&text[end..])?;
        self.user = Some(Span { start, end });
        self.params = Span {
            start: end,
            end: text.len(),
        };
        Ok(self)
    }
}

fn scheme(bytes: &[u8]) -> Option<Scheme> {
    let (first, rest) = bytes.split_first()?;
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if !first.is_ascii_alphabetic() || !rest.iter().all(inner) {
        return None;
    }
    let name = str::from_utf8(bytes).ok()?.to_ascii_lowercase();
    Some(match name.as_str() {
        "sip" => Scheme::Sip,
        "sips" => Scheme::Sips,
        "tel" => Scheme::Tel,
        _ => Scheme::Other(name.into()),
    })
}

fn host_and_port(bytes: &[u8]) -> Result<(Host, Option<u16>), UriError> {
    let host_end = match bytes.first() {
        Some(b'[') => bytes
            .iter()
            .position(|&b| b == b']')
            .map_or(bytes.len(), |i| i + 1),
        _ => bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len()),
    };
    let host = Host::parse(&bytes[..host_end]).ok_or(UriError::Host)?;
    let port = match bytes[host_end..].split_first() {
        None => None,
        Some((b':', digits)) => Some(port(digits).ok_or(UriError::Port)?),
        Some(_) => return Err(UriError::Host),
    };
    Ok((host, port))
}

/// A port between 1 and 65535.
pub(crate) fn port(digits: &[u8]) -> Option<u16> {
    number(digits, u32::from(u16::MAX))
        .and_then(|n| u16::try_from(n).ok())
        .filter(|&n| n > 0)
}

/// Nothing, or `;name` and `;name=value`, none of them empty.
fn check_params(text: &[u8]) -> Result<(), UriError> {
    if text.is_empty() {
        return Ok(());
    }
    let mut count = 0;
    for piece in text[1..].split(|&b| b == b';') {
        count += 1;
        let name = piece.split(|&b| b == b'=').next().unwrap_or_default();
        if count > PARAMS_MAX || name.is_empty() || !escapes_are_whole(piece) {
            return Err(UriError::Params);
        }
        if piece.iter().any(|&b| matches!(b, b'?' | b'@' | b',')) {
            return Err(UriError::Params);
        }
    }
    Ok(())
}

/// Nothing, or `?name=value&name=value`.
fn check_headers(text: &[u8]) -> Result<(), UriError> {
    if text.is_empty() {
        return Ok(());
    }
    let mut count = 0;
    for piece in text[1..].split(|&b| b == b'&') {
        count += 1;
        let named = piece
            .iter()
            .position(|&b| b == b'=')
            .is_some_and(|at| at > 0);
        if count > PARAMS_MAX || !named || !escapes_are_whole(piece) {
            return Err(UriError::Headers);
        }
    }
    Ok(())
}

fn escapes_are_whole(text: &[u8]) -> bool {
    text.iter()
        .enumerate()
        .filter(|(_, b)| **b == b'%')
        .all(|(at, _)| {
            text.get(at + 1..at + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        })
}

/// The octets with `%hh` resolved.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%'
            && let [high, low, behind @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = behind;
        } else {
            out.push(first);
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

/// Escapes what may not stand in `user` (RFC 3261 section 25.1).
pub(super) fn push_escaped_user(out: &mut Vec<u8>, user: &[u8]) {
    push_escaped(out, user, |b| {
        matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
    });
}

/// Escapes what may not stand in the value of a URI parameter.
pub(super) fn push_escaped_param(out: &mut Vec<u8>, value: &[u8]) {
    push_escaped(out, value, |b| {
        matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$')
    });
}

/// Escapes what may not stand in the value of a URI header, and some more that would have been allowed: readers differ there.
pub(super) fn push_escaped_header(out: &mut Vec<u8>, value: &[u8]) {
    push_escaped(out, value, |_| false);
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8], also: impl Fn(u8) -> bool) {
    for &byte in text {
        if is_unreserved(byte) || also(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}
