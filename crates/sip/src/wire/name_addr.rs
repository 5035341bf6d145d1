//! `name-addr` and `addr-spec` with header parameters, as From, To, Contact and Route have them.

use super::{
    lex::{Cursor, push_quoted, trim, unquote},
    params::Params,
};
use crate::{ids::Tag, limits::IDENTIFIER_BYTES_MAX, uri::Uri};

/// A display name, a URI and header parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The name without quotes and escapes.
    pub display: Option<Vec<u8>>,
    /// The URI.
    pub uri: Uri,
    /// The parameters behind it. Of a bare `addr-spec` all parameters are header parameters (RFC
    /// 3261 section 20.10).
    pub params: Params,
}

impl NameAddr {
    /// The URI alone.
    #[must_use]
    pub fn new(uri: Uri) -> Self {
        Self {
            display: None,
            uri,
            params: Params::new(),
        }
    }

    /// One value, unfolded. `None` when it is not of the grammar, has two tags or an empty one.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = trim(value);
        let first = value.iter().find(|b| matches!(b, b'"' | b'<' | b';'));
        let parsed = match first {
            Some(b'"') => Self::quoted(value),
            Some(b'<') => Self::bracketed(value),
            _ => Self::bare(value),
        }?;
        let tag_fits = parsed.params.get("tag").is_none_or(|tag| {
            !tag.is_empty() && tag.len() <= IDENTIFIER_BYTES_MAX && parsed.params.count("tag") == 1
        });
        tag_fits.then_some(parsed)
    }

    fn quoted(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        let display = unquote(cursor.quoted()?);
        cursor.skip_space();
        Self::behind_display(Some(display), cursor)
    }

    fn bracketed(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        let display = trim(cursor.take_while(|b| b != b'<'));
        let printable =
            |&b: &u8| (b >= b' ' || b == b'\t') && !matches!(b, b',' | b'>' | b'\\' | 0x7f);
        if !display.iter().all(printable) {
            return None;
        }
        let display = (!display.is_empty()).then(|| display.to_vec());
        Self::behind_display(display, cursor)
    }

    fn behind_display(display: Option<Vec<u8>>, mut cursor: Cursor<'_>) -> Option<Self> {
        if !cursor.eat(b'<') {
            return None;
        }
        let uri = Uri::parse(cursor.take_while(|b| b != b'>')).ok()?;
        if !cursor.eat(b'>') {
            return None;
        }
        Some(Self {
            display,
            uri,
            params: Params::parse(cursor.rest())?,
        })
    }

    /// A URI without brackets ends at the first semicolon, and may have neither comma nor question
    /// mark (RFC 3261 section 20).
    fn bare(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        let uri = trim(cursor.take_while(|b| b != b';'));
        if uri.iter().any(|b| matches!(b, b',' | b'?')) {
            return None;
        }
        let uri = Uri::parse(uri).ok()?;
        Some(Self {
            display: None,
            uri,
            params: Params::parse(cursor.rest())?,
        })
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.params.get("tag").map(Tag::new)
    }

    /// The same with this tag instead of any other.
    #[must_use]
    pub fn with_tag(mut self, tag: &Tag) -> Self {
        self.params.remove("tag");
        self.params.push("tag", tag);
        self
    }

    /// With brackets round the URI in every case, so that no parameter changes its owner.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(display) = &self.display {
            push_quoted(&mut out, display);
            out.push(b' ');
        }
        out.push(b'<');
        out.extend_from_slice(self.uri.as_bytes());
        out.push(b'>');
        out.extend_from_slice(self.params.as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parameters_of_a_bare_address_belong_to_the_header() {
        let from = NameAddr::parse(b"sip:1003@192.0.2.81:5060;tag=88170A6B-256").unwrap();
        assert_eq!(from.tag().unwrap(), Tag::new("88170A6B-256"));
        assert_eq!(from.uri.param("tag"), None);
        assert_eq!(
            from.to_bytes(),
            b"<sip:1003@192.0.2.81:5060>;tag=88170A6B-256"
        );
    }

    #[test]
    fn parameters_inside_brackets_belong_to_the_uri() {
        let it = NameAddr::parse(b"<sip:a@h;lr;x=1>;q=0.5").unwrap();
        assert_eq!(it.uri.param("lr").unwrap(), b"");
        assert!(!it.params.has("x"));
        assert_eq!(it.params.get("q").unwrap(), b"0.5");
    }

    #[test]
    fn display_names() {
        for (value, display) in [
            (
                &br#""J Rosenberg \\\"" <sip:a@h>"#[..],
                &br#"J Rosenberg \""#[..],
            ),
            (b"caller<sip:caller@example.com>;tag=323", b"caller"),
            (b"Bob  Smith <sip:a@h>", b"Bob  Smith"),
            (b"\"M\xfcller, A.\" <sip:a@h>", b"M\xfcller, A."),
            (b"M\xc3\xbcller <sip:a@h>", b"M\xc3\xbcller"),
            (br#""a<b" <sip:a@h>"#, b"a<b"),
            (br#""" <sip:a@h>"#, b""),
        ] {
            assert_eq!(NameAddr::parse(value).unwrap().display.unwrap(), display);
        }
        assert_eq!(NameAddr::parse(b"<sip:a@h>").unwrap().display, None);
    }

    #[test]
    fn printing_keeps_the_meaning() {
        let it = NameAddr::parse(br#""J \"x\" Doe" <tel:+49;phone-context=h>;tag=1"#).unwrap();
        assert_eq!(NameAddr::parse(&it.to_bytes()).unwrap(), it);
        let tagged = it.with_tag(&Tag::new("2"));
        assert_eq!(tagged.params.as_bytes(), b";tag=2");
    }

    #[test]
    fn what_the_rfc_calls_malformed_is_refused() {
        for bad in [
            &br#""Mr. J. User <sip:j.user@example.com>"#[..],
            br#""Watson, Thomas" < sip:t.watson@example.org >"#,
            b"Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            b"sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            br#""Joe" <sip:joe@example.org>;;;;"#,
            b"<sip:a@h",
            b"<sip:a@h>x",
            b"sip:a@h;tag=1;tag=2",
            b"sip:a@h;tag=",
            b"sip:a@h;tag",
            b"",
        ] {
            assert!(NameAddr::parse(bad).is_none(), "{}", bad.escape_ascii());
        }
    }
}
