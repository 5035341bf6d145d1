//! Lines, levels and bytes of a description (RFC 8866 section 5).

use std::fmt;

use crate::codec::decimal;
use crate::error::ParseError;
use crate::limits;

/// One `<letter>=<value>` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The letter before `=`.
    pub kind: u8,
    /// Everything after it, unchanged. No NUL, CR or LF.
    pub value: Vec<u8>,
}

/// A description as it was written: every line is kept in its order, understood or not.
///
/// The reader takes CRLF or LF, a last line without line end, lines in another order than RFC 8866 gives,
/// and a description without `s=` or `t=`; all of these are met in the field. It refuses what could be read
/// in two ways, and everything past [`limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    /// Lines of the session level, `v=0` first.
    pub lines: Vec<Line>,
    /// Media descriptions in their order, which has a meaning (RFC 3264 section 6).
    pub media: Vec<MediaDescription>,
}

/// One `m=` line and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaDescription {
    /// `audio`, `video` ...
    pub media: Vec<u8>,
    /// Port; 0 means that the stream is not wanted.
    pub port: u16,
    /// The number behind the port in `m=audio 49170/2 ...`.
    pub port_count: Option<u16>,
    /// `RTP/AVP` ...
    pub protocol: Vec<u8>,
    /// Formats in order of preference; numbers up to 127 where the protocol is an RTP profile.
    pub formats: Vec<Vec<u8>>,
    /// The lines up to the next `m=`.
    pub lines: Vec<Line>,
}

impl SessionDescription {
    /// Reads a description.
    ///
    /// # Errors
    /// Says what is wrong and in which line.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > limits::MAX_BYTES {
            return Err(ParseError::TooLong);
        }
        let mut parsed = Self {
            lines: Vec::new(),
            media: Vec::new(),
        };
        // Line ends after the last line are no lines: some stacks end a body with an empty one.
        let bytes = without_final_newlines(bytes);
        if bytes.is_empty() {
            return Err(ParseError::Empty);
        }
        for (index, raw) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            if number > limits::MAX_LINES {
                return Err(ParseError::TooManyLines);
            }
            let line = Line::parse(raw.strip_suffix(b"\r").unwrap_or(raw), number)?;
            if number == 1 && (line.kind != b'v' || line.value.trim_ascii() != b"0") {
                return Err(ParseError::Version);
            }
            match (line.kind, parsed.media.last_mut()) {
                (b'm', _) => {
                    if parsed.media.len() == limits::MAX_MEDIA {
                        return Err(ParseError::TooManyMedia { line: number });
                    }
                    parsed
                        .media
                        .push(MediaDescription::parse(&line.value, number)?);
                }
                (_, Some(media)) => media.lines.push(line),
                (_, None) => parsed.lines.push(line),
            }
        }
        Ok(parsed)
    }

    /// The description in its printed form, every line ended by CRLF.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for line in &self.lines {
            line.print(&mut out);
        }
        for media in &self.media {
            media.print(&mut out);
        }
        out
    }

    /// Value of the first line of this kind at session level.
    #[must_use]
    pub fn first(&self, kind: u8) -> Option<&[u8]> {
        first(&self.lines, kind)
    }

    /// Value of a session-level attribute; empty for one without a value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.lines.iter().find_map(|line| line.attribute(name))
    }
}

impl fmt::Display for SessionDescription {
    /// For people: octets that are not UTF-8 are replaced. [`SessionDescription::to_bytes`] is exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl MediaDescription {
    fn parse(value: &[u8], line: usize) -> Result<Self, ParseError> {
        let mut words = value
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty());
        let bad = ParseError::Media { line };
        let media = words.next().filter(|word| is_token(word)).ok_or(bad)?;
        let mut ports = words.next().ok_or(bad)?.splitn(2, |byte| *byte == b'/');
        let port = ports.next().and_then(decimal).ok_or(bad)?;
        let port_count = match ports.next() {
            Some(text) => Some(decimal(text).ok_or(bad)?),
            None => None,
        };
        let protocol = words.next().filter(|word| is_token(word)).ok_or(bad)?;
        let mut formats = Vec::new();
        for word in words {
            if formats.len() == limits::MAX_FORMATS {
                return Err(ParseError::TooManyFormats { line });
            }
            if is_rtp(protocol) && decimal::<u8>(word).is_none_or(|number| number > 127) {
                return Err(ParseError::PayloadType { line });
            }
            if !is_token(word) {
                return Err(bad);
            }
            formats.push(word.to_vec());
        }
        // The grammar wants a format always; a stream that is switched off is often written without.
        if formats.is_empty() && port != 0 {
            return Err(bad);
        }
        Ok(Self {
            media: media.to_vec(),
            port,
            port_count,
            protocol: protocol.to_vec(),
            formats,
            lines: Vec::new(),
        })
    }

    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"m=");
        out.extend_from_slice(&self.media);
        out.extend_from_slice(format!(" {}", self.port).as_bytes());
        if let Some(count) = self.port_count {
            out.extend_from_slice(format!("/{count}").as_bytes());
        }
        out.push(b' ');
        out.extend_from_slice(&self.protocol);
        for format in &self.formats {
            out.push(b' ');
            out.extend_from_slice(format);
        }
        out.extend_from_slice(b"\r\n");
        for line in &self.lines {
            line.print(out);
        }
    }

    /// Whether this is `m=audio`.
    #[must_use]
    pub fn is_audio(&self) -> bool {
        self.media.eq_ignore_ascii_case(b"audio")
    }

    /// Value of the first line of this kind in this media description.
    #[must_use]
    pub fn first(&self, kind: u8) -> Option<&[u8]> {
        first(&self.lines, kind)
    }

    /// Values of an attribute in this media description, in order; empty for one without a value.
    pub fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines
            .iter()
            .filter_map(move |line| line.attribute(name))
    }

    /// Value of the first attribute of that name in this media description.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.lines.iter().find_map(|line| line.attribute(name))
    }
}

impl Line {
    fn parse(raw: &[u8], line: usize) -> Result<Self, ParseError> {
        if raw.len() > limits::MAX_LINE_BYTES {
            return Err(ParseError::LineTooLong { line });
        }
        if raw.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(ParseError::Octet { line });
        }
        match raw {
            [kind, b'=', value @ ..] if kind.is_ascii_lowercase() => Ok(Self {
                kind: *kind,
                value: value.to_vec(),
            }),
            _ => Err(ParseError::Shape { line }),
        }
    }

    /// Value of this line when it is `a=<name>:<value>` (empty for `a=<name>`).
    fn attribute(&self, name: &str) -> Option<&[u8]> {
        if self.kind != b'a' {
            return None;
        }
        match self.value.strip_prefix(name.as_bytes())? {
            [] => Some(&[]),
            [b':', value @ ..] => Some(value),
            _ => None,
        }
    }

    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind, b'=']);
        out.extend_from_slice(&self.value);
        out.extend_from_slice(b"\r\n");
    }
}

/// Any profile of RTP, whose formats are payload types.
fn is_rtp(protocol: &[u8]) -> bool {
    protocol
        .split(|byte| *byte == b'/')
        .any(|part| part.eq_ignore_ascii_case(b"RTP"))
}

/// What an answer may repeat: printable ASCII of a length that a token has.
fn is_token(word: &[u8]) -> bool {
    word.len() <= limits::MAX_TOKEN_BYTES && word.iter().all(u8::is_ascii_graphic)
}

fn first(lines: &[Line], kind: u8) -> Option<&[u8]> {
    lines
        .iter()
        .find(|line| line.kind == kind)
        .map(|line| line.value.as_slice())
}

/// Without the line ends after the last line.
fn without_final_newlines(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|byte| !matches!(byte, b'\r' | b'\n'))
        .map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}
