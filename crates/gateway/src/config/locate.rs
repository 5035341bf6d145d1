//! From a key's path to its line, so that an error about a value's meaning names the line as precisely as a syntax error.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// One step into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// The key of a table.
    Key(&'a str),
    /// The element of an array, counted from 0.
    Index(usize),
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The 1-based line of the value at `path`, or of the deepest ancestor that is written in `text`.
#[must_use]
pub(super) fn line_of(text: &str, path: &[Step<'_>]) -> usize {
    line_at(text, find(text, path).0.start)
}

/// Whether there is a value at `path`.
#[must_use]
pub(super) fn is_written(text: &str, path: &[Step<'_>]) -> bool {
    find(text, path).1
}

/// Where the value at `path` is, or the deepest ancestor that is written, and whether it is the value.
fn find(text: &str, path: &[Step<'_>]) -> (Range<usize>, bool) {
    let mut span: Range<usize> = 0..0;
    let Ok(document) = DeTable::parse(text) else {
        return (span, false);
    };
    let mut table = Some(document.get_ref());
    let mut array = None;
    for step in path {
        let next = match step {
            Step::Key(key) => {
                let found = table.and_then(|t| t.iter().find(|(name, _)| name.get_ref() == key));
                let Some((name, value)) = found else {
                    return (span, false);
                };
                // The key, not the value: the value of a table header is somewhere below it.
                span = name.span();
                value
            }
            Step::Index(index) => {
                let Some(value) = array.and_then(|a: &toml::de::DeArray<'_>| a.get(*index)) else {
                    return (span, false);
                };
                span = value.span();
                value
            }
        };
        (table, array) = match next.get_ref() {
            DeValue::Table(t) => (Some(t), None),
            DeValue::Array(a) => (None, Some(a)),
            _ => (None, None),
        };
    }
    (span, true)
}

/// The 1-based line that holds the octet at `offset`.
#[must_use]
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[sip]\nlisten = [\n  \"a\",\n  \"b\",\n]\n\n[[agents]]\ndn = \"1\"\n\n[[agents]]\ndn = \"2\"\n";

    #[test]
    fn a_path_leads_to_its_line() {
        assert_eq!(line_of(TEXT, &["sip".into(), "listen".into()]), 2);
        assert_eq!(line_of(TEXT, &["sip".into(), "listen".into(), 1.into()]), 4);
        assert_eq!(line_of(TEXT, &["agents".into(), 1.into(), "dn".into()]), 11);
    }

    #[test]
    fn a_missing_key_leads_to_its_table() {
        assert_eq!(
            line_of(TEXT, &["agents".into(), 0.into(), "password".into()]),
            7
        );
        assert_eq!(line_of(TEXT, &["admin".into(), "token".into()]), 1);
    }

    #[test]
    fn a_key_is_written_or_not() {
        assert!(is_written(TEXT, &["sip".into(), "listen".into()]));
        assert!(!is_written(TEXT, &["sip".into(), "advertise".into()]));
        assert!(!is_written(TEXT, &["admin".into()]));
    }
}
