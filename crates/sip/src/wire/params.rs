//! The `;name=value` parameters behind a value, kept as they are spelt.

use std::fmt;

use super::lex::{
    Cursor, are_parameters, is_token, is_token_byte, parameter, push_quoted, trim, unquote,
};

/// Parameters of a header value. Names are compared without case (RFC 3261 section 7.3.1).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params {
    /// From the first semicolon on; always of the grammar.
    text: Vec<u8>,
}

impl Params {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Parameters from their first semicolon on; `None` when something else stands there.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        are_parameters(bytes).then(|| Self {
            text: trim(bytes).to_vec(),
        })
    }

    /// Names and raw values (with their quotes) in order; a flag has none.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut cursor = Cursor::new(&self.text);
        std::iter::from_fn(move || parameter(&mut cursor))
    }

    /// Whether there is a parameter of that name, with or without value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The raw value of the first parameter of that name, with its quotes; empty for a flag.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(Option::unwrap_or_default)
    }

    /// The value of the first parameter of that name, without quotes and escapes.
    #[must_use]
    pub fn unquoted(&self, name: &str) -> Option<Vec<u8>> {
        self.get(name).map(unquote)
    }

    fn find(&self, name: &str) -> Option<Option<&[u8]>> {
        let mut found = self
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        found.next().map(|(_, value)| value)
    }

    /// How many parameters have that name.
    pub(super) fn count(&self, name: &str) -> usize {
        self.iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .count()
    }

    /// Appends `;name=value`, quoted when the value needs it.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.push_flag(name);
        self.text.push(b'=');
        let plain = |b: u8| is_token_byte(b) || b == b':';
        if !value.is_empty() && value.iter().copied().all(plain) {
            self.text.extend_from_slice(value);
        } else {
            push_quoted(&mut self.text, value);
        }
    }

    /// Appends `;name="value"`, for parameters whose grammar demands quotes.
    pub fn push_quoted(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.push_flag(name);
        self.text.push(b'=');
        push_quoted(&mut self.text, value.as_ref());
    }

    /// Appends `;name`.
    pub fn push_flag(&mut self, name: &str) {
        debug_assert!(
            is_token(name.as_bytes()),
            "names of parameters are written in the program"
        );
        self.text.push(b';');
        self.text.extend_from_slice(name.as_bytes());
    }

    /// Removes all parameters of that name.
    pub fn remove(&mut self, name: &str) {
        self.rewrite(|found, value| {
            (!found.eq_ignore_ascii_case(name.as_bytes())).then(|| value.map(<[u8]>::to_vec))
        });
    }

    /// Gives the flags of that name a value where they stand.
    pub(super) fn fill_flag(&mut self, name: &str, filled: u16) {
        self.rewrite(|found, value| match value {
            None if found.eq_ignore_ascii_case(name.as_bytes()) => {
                Some(Some(filled.to_string().into_bytes()))
            }
            value => Some(value.map(<[u8]>::to_vec)),
        });
    }

    /// Writes every parameter again with the value that `decide` gives, or leaves it out.
    fn rewrite(&mut self, decide: impl Fn(&[u8], Option<&[u8]>) -> Option<Option<Vec<u8>>>) {
        let mut kept = Vec::with_capacity(self.text.len() + 8);
        for (name, value) in self.iter() {
            let Some(value) = decide(name, value) else {
                continue;
            };
            kept.push(b';');
            kept.extend_from_slice(name);
            if let Some(value) = value {
                kept.push(b'=');
                kept.extend_from_slice(&value);
            }
        }
        self.text = kept;
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// As it stands on the wire, from the first semicolon on.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_have_no_case_and_values_may_be_quoted() {
        let params = Params::parse(br#" ; Tag = 98asjd8 ;lr;x="a;\"b\"";m=[::1] "#).unwrap();
        assert_eq!(params.get("tag").unwrap(), b"98asjd8");
        assert_eq!(params.get("LR").unwrap(), b"");
        assert_eq!(params.unquoted("x").unwrap(), br#"a;"b""#);
        assert_eq!(params.get("m").unwrap(), b"[::1]");
        assert!(!params.has("y"));
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn separators_without_parameters_are_refused() {
        for bad in [
            ";;,;,,",
            ";",
            ";a=",
            ";a=\"b",
            "a",
            ";a b",
            ";a=b@c",
            ";=x",
            ";a=b]c",
            ";a=[b",
            ";a=[::1]x",
        ] {
            assert!(Params::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn pushed_values_are_quoted_when_needed() {
        let mut params = Params::new();
        params.push("cause", "16");
        params.push("text", "a \"b\"\r\n");
        params.push_flag("lr");
        assert_eq!(params.as_bytes(), br#";cause=16;text="a \"b\"  ";lr"#);
        params.remove("TEXT");
        assert_eq!(params.as_bytes(), b";cause=16;lr");
    }
}
