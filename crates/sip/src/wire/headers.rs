//! The header fields of one message, in their order. A line that came from a peer keeps its octets:
//! spelling of the name, spacing and folding leave as they came unless the line is replaced.

use std::fmt;
use std::sync::Arc;

use super::{
    lex::{split_list, trim},
    name::HeaderName,
};
use crate::limits::LIST_VALUES_MAX;

/// An ordered list of header lines.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    lines: Vec<Line>,
    /// The datagram had no Content-Length, which UDP allows; printing it again adds none.
    pub(super) without_length: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct Line {
    name: HeaderName,
    raw: Raw,
    /// Where the trimmed value stands in `raw`.
    value: (usize, usize),
    /// The value with each fold turned into one space, when there is a fold.
    unfolded: Option<Box<[u8]>>,
}

/// Name, colon and value with inner line ends, without the last one.
#[derive(Clone)]
enum Raw {
    Own(Box<[u8]>),
    /// A piece of what was received: the lines of a message, and of its copies, share its octets.
    Received {
        octets: Arc<[u8]>,
        piece: (usize, usize),
    },
}

impl Raw {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Received { octets, piece } => octets.get(piece.0..piece.1).unwrap_or_default(),
        }
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Raw {}

impl Line {
    fn value(&self) -> &[u8] {
        match &self.unfolded {
            Some(value) => value,
            None => {
                let raw = self.raw.bytes();
                raw.get(self.value.0..self.value.1).unwrap_or_default()
            }
        }
    }

    fn new(name: HeaderName, value: &[u8]) -> Self {
        let value = trim(value);
        let mut raw = Vec::with_capacity(name.as_str().len() + 2 + value.len());
        raw.extend_from_slice(name.as_str().as_bytes());
        raw.extend_from_slice(b": ");
        let start = raw.len();
        raw.extend(
            value
                .iter()
                .map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }),
        );
        let end = raw.len();
        Self {
            name,
            raw: Raw::Own(raw.into()),
            value: (start, end),
            unfolded: None,
        }
    }
}

impl Headers {
    /// No lines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for this many lines.
    pub(super) fn with_capacity(lines: usize) -> Self {
        Self {
            lines: Vec::with_capacity(lines),
            without_length: false,
        }
    }

    /// Appends a line as it came: `piece` of what was received holds name, colon and value, folded or
    /// not, and `colon` is the place of the colon in it.
    pub(super) fn push_received(
        &mut self,
        name: HeaderName,
        octets: &Arc<[u8]>,
        piece: (usize, usize),
        colon: usize,
    ) {
        let octets = Arc::clone(octets);
        let raw = Raw::Received { octets, piece };
        let line = raw.bytes();
        let value = line.get(colon + 1..).unwrap_or_default();
        let unfolded = value.contains(&b'\r').then(|| unfold(value));
        let trimmed = trim(value);
        let lead = value
            .iter()
            .take_while(|&&b| b == b' ' || b == b'\t')
            .count();
        let start = if trimmed.is_empty() {
            line.len()
        } else {
            colon + 1 + lead
        };
        let value = (start, start + trimmed.len());
        self.lines.push(Line {
            name,
            raw,
            value,
            unfolded,
        });
    }

    /// The value of the first line of that name: without white space around it, folds turned into
    /// one space each.
    #[must_use]
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        self.lines(name).next()
    }

    /// The same as text; `None` also when the octets are not UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &HeaderName) -> Option<&str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// Whether there is a line of that name.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// The values of all lines of that name, one for each line.
    pub fn lines(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.lines
            .iter()
            .filter(move |line| line.name == *name)
            .map(Line::value)
    }

    /// All values of a list header, over all its lines, split at commas outside quotes and angle
    /// brackets. An empty value between two commas is given as empty; the count has a limit, behind
    /// which values are not given.
    pub fn list(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.lines(name).flat_map(split_list).take(LIST_VALUES_MAX)
    }

    /// Names and values in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        self.lines.iter().map(|line| (&line.name, line.value()))
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Appends a line. CR and LF in the value become spaces, so that no value can make a second
    /// line.
    pub fn push(&mut self, name: HeaderName, value: impl Into<Vec<u8>>) {
        self.lines.push(Line::new(name, &value.into()));
    }

    /// Puts a line before all others, as a new Via needs it.
    pub fn push_front(&mut self, name: HeaderName, value: impl Into<Vec<u8>>) {
        self.lines.insert(0, Line::new(name, &value.into()));
    }

    /// Replaces the first line of that name where it stands and removes the others; appends when
    /// there is none.
    pub fn set(&mut self, name: HeaderName, value: impl Into<Vec<u8>>) {
        let value = value.into();
        let Some(first) = self.lines.iter().position(|line| line.name == name) else {
            self.push(name, value);
            return;
        };
        self.keep_first(&name);
        if let Some(line) = self.lines.get_mut(first) {
            *line = Line::new(name, &value);
        }
    }

    /// Removes all lines of that name; whether there was one.
    pub fn remove(&mut self, name: &HeaderName) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| line.name != *name);
        self.lines.len() != before
    }

    /// Appends a copy of every line that `keep` chooses, octet for octet, in the order of `from`.
    pub fn copy_from(&mut self, from: &Self, keep: impl Fn(&HeaderName) -> bool) {
        self.lines
            .extend(from.lines.iter().filter(|line| keep(&line.name)).cloned());
    }

    /// The same lines for a message that goes back by another way: under the Via lines of `way`.
    #[must_use]
    pub(crate) fn by_way_of(&self, way: &Self) -> Self {
        let mut headers = Self::with_capacity(self.len());
        headers.copy_from(way, |name| *name == HeaderName::VIA);
        headers.copy_from(self, |name| *name != HeaderName::VIA);
        headers
    }

    /// Removes all lines of that name but the first.
    pub(super) fn keep_first(&mut self, name: &HeaderName) {
        let mut seen = false;
        self.lines
            .retain(|line| line.name != *name || !std::mem::replace(&mut seen, true));
    }

    /// Appends `suffix` to the value of the first line of that name, the rest of it unchanged.
    pub(super) fn append_to_first(&mut self, name: &HeaderName, suffix: &[u8]) {
        if let Some(value) = self.get(name) {
            let changed = [value, suffix].concat();
            self.replace_first(name, &changed);
        }
    }

    /// Gives the first line of that name another value; lines behind it stay.
    pub(super) fn replace_first(&mut self, name: &HeaderName, value: &[u8]) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.name == *name) {
            *line = Line::new(name.clone(), value);
        }
    }

    /// Every line with its line end.
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        for line in &self.lines {
            out.extend_from_slice(line.raw.bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The same with this Content-Length in the place of the first one, or at the end.
    pub(super) fn print_with_length(&self, out: &mut Vec<u8>, length: usize) {
        let name = HeaderName::CONTENT_LENGTH;
        let right = format!("{name}: {length}\r\n");
        let mut said = false;
        for line in &self.lines {
            if line.name != name {
                out.extend_from_slice(line.raw.bytes());
                out.extend_from_slice(b"\r\n");
            } else if !std::mem::replace(&mut said, true) {
                out.extend_from_slice(right.as_bytes());
            }
        }
        if !said {
            out.extend_from_slice(right.as_bytes());
        }
    }

    /// Octets that [`Self::print`] writes.
    pub(super) fn printed_len(&self) -> usize {
        let lines = self.lines.iter();
        lines.map(|line| line.raw.bytes().len() + 2).sum()
    }
}

/// A folded value as one line: a fold and the white space at both its sides become one space (RFC
/// 3261 section 7.3.1).
pub(super) fn unfold(value: &[u8]) -> Box<[u8]> {
    let mut text: Vec<u8> = Vec::with_capacity(value.len());
    for piece in value.split(|&b| b == b'\r') {
        let piece = trim(piece.strip_prefix(b"\n").unwrap_or(piece));
        if piece.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(piece);
    }
    text.into()
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
        f.debug_list().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn raw(lines: &[&str]) -> Headers {
        let mut headers = Headers::new();
        for line in lines {
            let colon = line.find(':').unwrap();
            let name = HeaderName::parse(trim(&line.as_bytes()[..colon])).unwrap();
            headers.push_received(name, &line.as_bytes().into(), (0, line.len()), colon);
        }
        headers
    }

    #[test]
    fn received_lines_leave_as_they_came() {
        let headers = raw(&["v :  SIP/2.0/UDP h \t", "s:", "Subject: a\r\n  b \r\n\t c"]);
        let mut out = Vec::new();
        headers.print(&mut out);
        assert_eq!(
            out,
            b"v :  SIP/2.0/UDP h \t\r\ns:\r\nSubject: a\r\n  b \r\n\t c\r\n"
        );
        assert_eq!(out.len(), headers.printed_len());
        assert_eq!(headers.get(&HeaderName::VIA).unwrap(), b"SIP/2.0/UDP h");
        let subjects: Vec<_> = headers.lines(&HeaderName::SUBJECT).collect();
        assert_eq!(subjects, [&b""[..], b"a b c"]);
    }

    #[test]
    fn lists_run_over_lines_and_respect_quotes_and_brackets() {
        let headers = raw(&[
            r#"m: "A, B" <sip:a@h;x=1,2>, <sip:b@h>"#,
            "Contact: <sip:c@h>;q=1",
        ]);
        let values: Vec<_> = headers.list(&HeaderName::CONTACT).collect();
        let want: [&[u8]; 3] = [br#""A, B" <sip:a@h;x=1,2>"#, b"<sip:b@h>", b"<sip:c@h>;q=1"];
        assert_eq!(values, want);
        assert_eq!(raw(&["k:"]).list(&HeaderName::SUPPORTED).count(), 0);
    }

    #[test]
    fn no_value_can_make_a_second_line() {
        let mut headers = Headers::new();
        headers.push(HeaderName::SUBJECT, "a\r\nX-Evil: 1");
        let mut out = Vec::new();
        headers.print(&mut out);
        assert_eq!(out, b"Subject: a  X-Evil: 1\r\n");
    }

    #[test]
    fn set_keeps_the_place_and_removes_the_others() {
        let mut headers = raw(&["To: a", "Expires: 1", "From: b", "expires: 2", "Call-ID: c"]);
        headers.set(HeaderName::EXPIRES, "3");
        let names: Vec<_> = headers
            .iter()
            .map(|(n, v)| format!("{n}={}", v.escape_ascii()))
            .collect();
        assert_eq!(names, ["To=a", "Expires=3", "From=b", "Call-ID=c"]);
        assert!(headers.remove(&HeaderName::EXPIRES));
        assert!(!headers.remove(&HeaderName::EXPIRES));
    }
}
