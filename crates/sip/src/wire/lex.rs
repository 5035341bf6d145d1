//! The few rules of RFC 3261 section 25.1 that all header values share, over unfolded octets.

use crate::limits::PARAMS_MAX;

/// Which octets a token may have: most of every message is walked through with this question.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
            | b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

/// `token` of RFC 3261 section 25.1.
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// A token of at least one octet.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

pub(crate) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Without white space at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes
        .iter()
        .position(|&b| !is_space(b))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|&b| !is_space(b))
        .map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// A decimal number of digits only, at most `max`. Leading zeros are allowed and do not overflow.
pub(crate) fn number(bytes: &[u8], max: u32) -> Option<u32> {
    if bytes.is_empty() {
        return None;
    }
    let mut value: u32 = 0;
    for &byte in bytes {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    (value <= max).then_some(value)
}

/// Like [`number`], but what is larger than fits becomes the largest value: RFC 4475 section
/// 3.1.2.4 lets an element read an overlarge `Expires` as 2^32-1.
pub(crate) fn number_saturating(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(number(bytes, u32::MAX).unwrap_or(u32::MAX))
}

/// A reading position in one unfolded value.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn skip_space(&mut self) {
        self.take_while(is_space);
    }

    pub(crate) fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|&b| !keep(b))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes `byte` if it comes next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes `byte` with white space around it, as SLASH, EQUAL, SEMI and COLON allow.
    pub(crate) fn eat_spaced(&mut self, byte: u8) -> bool {
        let mut ahead = self.clone();
        ahead.skip_space();
        if !ahead.eat(byte) {
            return false;
        }
        ahead.skip_space();
        *self = ahead;
        true
    }

    pub(crate) fn token(&mut self) -> Option<&'a [u8]> {
        let token = self.take_while(is_token_byte);
        (!token.is_empty()).then_some(token)
    }

    /// A quoted string with its quotes, closed.
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let end = quoted_end(self.rest)?;
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(taken)
    }
}

/// Where the quoted string that `bytes` begins with ends, one behind its closing quote.
pub(crate) fn quoted_end(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut escaped = false;
    for (index, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// The text of a quoted string with its escapes resolved; anything else as it is.
pub(crate) fn unquote(bytes: &[u8]) -> Vec<u8> {
    let Some(inner) = bytes
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return bytes.to_vec();
    };
    let mut text = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(&byte) = octets.next() {
        if byte == b'\\' {
            text.extend(octets.next());
        } else {
            text.push(byte);
        }
    }
    text
}

/// Appends `text` as a quoted string. CR and LF cannot stand in one (RFC 3261 section 25.1) and
/// become spaces.
pub(crate) fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\r' | b'\n' => out.push(b' '),
            0..=0x1f | 0x7f if byte != b'\t' => out.extend([b'\\', byte]),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The values of one line, split at commas outside quotes and angle brackets, without the white
/// space around them. A blank line has none; a blank value between commas is given as empty.
pub(crate) fn split_list(line: &[u8]) -> SplitList<'_> {
    SplitList {
        rest: (!trim(line).is_empty()).then_some(line),
    }
}

pub(crate) struct SplitList<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for SplitList<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.rest?;
        let end = value_end(line);
        self.rest = line.get(end + 1..);
        Some(trim(line.get(..end).unwrap_or(line)))
    }
}

/// Where the first value of a list ends: its comma, or the end of the line.
pub(crate) fn value_end(line: &[u8]) -> usize {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (index, &byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return index,
            _ => {}
        }
    }
    line.len()
}

/// An unquoted parameter value: a token, or a host with its IPv6 in brackets or, in `received`,
/// without. Octets above 127 are let through, since the field sends names in Latin-1 and UTF-8.
fn unquoted<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    if cursor.peek() != Some(b'[') {
        return Some(cursor.take_while(|b| is_token_byte(b) || b >= 0x80 || b == b':'));
    }
    let end = cursor.rest.iter().position(|&b| b == b']')? + 1;
    let (host, rest) = cursor.rest.split_at(end);
    cursor.rest = rest;
    let inner = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b'[' | b']' | b':' | b'.');
    host.iter().all(inner).then_some(host)
}

/// One `;name` or `;name=value` at the cursor; `None` when something else stands there.
pub(crate) fn parameter<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    if !cursor.eat_spaced(b';') {
        return None;
    }
    let name = cursor.token()?;
    if !cursor.eat_spaced(b'=') {
        return Some((name, None));
    }
    let value = match cursor.peek() {
        Some(b'"') => cursor.quoted()?,
        _ => unquoted(cursor)?,
    };
    (!value.is_empty()).then_some((name, Some(value)))
}

/// Whether the octets are parameters up to their end and not too many.
pub(crate) fn are_parameters(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(trim(bytes));
    for _ in 0..PARAMS_MAX {
        if cursor.is_end() {
            return true;
        }
        if parameter(&mut cursor).is_none() {
            return false;
        }
    }
    cursor.is_end()
}
