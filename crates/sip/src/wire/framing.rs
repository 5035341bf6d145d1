//! Messages out of a byte stream (RFC 3261 section 18.3, RFC 5626 section 3.5.1).
//!
//! A stream has no second chance: when the end of a message is not known, nothing behind it is, so
//! every error is final and the connection has to be closed.

use super::{
    HeaderName,
    headers::unfold,
    lex::{number, trim},
    parse::{folded_end, may_start},
};
use crate::limits::{BODY_BYTES_MAX, MESSAGE_BYTES_MAX, START_LINE_BYTES_MAX};

/// One unit of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The octets of one whole message, for [`super::Message::parse`].
    Message(Vec<u8>),
    /// A double CRLF between messages, which is answered with a single one (RFC 5626 section
    /// 3.5.1).
    KeepAlive,
}

/// Why the stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Headers and body exceed [`MESSAGE_BYTES_MAX`] or [`BODY_BYTES_MAX`].
    #[error("message is too large")]
    TooLarge,
    /// What comes is no SIP.
    #[error("start line is malformed")]
    StartLine,
    /// No Content-Length, which a stream needs (RFC 3261 section 20.14).
    #[error("no Content-Length")]
    NoLength,
    /// Content-Length is no number or stands there twice.
    #[error("Content-Length is malformed or repeated")]
    BadLength,
}

/// Cuts a stream into messages. Holds at most one message; the octets behind it wait until it is
/// taken, and [`StreamFramer::buffered`] tells the shell when to stop reading.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// Where the unread octets begin in `buffer`.
    start: usize,
    /// Up to where the line ends of the head were looked for, from `start`.
    scanned: usize,
    /// Length of the head and of the whole message, once the head is complete.
    message_len: Option<usize>,
    failed: Option<FramingError>,
}

impl StreamFramer {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read. After an error it is dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Octets that wait in the buffer.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether a message has begun and not ended: a connection that stays so is stalled.
    #[must_use]
    pub fn is_inside_message(&self) -> bool {
        self.unread().iter().any(|b| !matches!(b, b'\r' | b'\n'))
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.scanned = 0;
        self.message_len = None;
    }

    fn fail(&mut self, error: FramingError) -> FramingError {
        self.failed = Some(error);
        self.buffer = Vec::new();
        self.start = 0;
        error
    }

    /// The next frame; `None` until more octets come. After an error always that error.
    #[allow(clippy::should_implement_trait)] // more may come after `None`
    pub fn next(&mut self) -> Option<Result<Frame, FramingError>> {
        if let Some(error) = self.failed {
            return Some(Err(error));
        }
        match self.advance() {
            Ok(frame) => frame.map(Ok),
            Err(error) => Some(Err(self.fail(error))),
        }
    }

    fn advance(&mut self) -> Result<Option<Frame>, FramingError> {
        if let Some(frame) = self.blank_lines() {
            return Ok(Some(frame));
        }
        if b"\r\n\r\n".starts_with(self.unread()) {
            return Ok(None);
        }
        if self.message_len.is_none() {
            self.message_len = self.head()?;
        }
        let Some(length) = self.message_len else {
            return Ok(None);
        };
        let Some(message) = self.unread().get(..length) else {
            return Ok(None);
        };
        let frame = Frame::Message(message.to_vec());
        self.consume(length);
        Ok(Some(frame))
    }

    /// Takes line ends between messages. Two in a row are a keep-alive; one alone is the answer to
    /// ours and says nothing more.
    fn blank_lines(&mut self) -> Option<Frame> {
        while self.unread().starts_with(b"\r\n") {
            let double = self.unread().starts_with(b"\r\n\r\n");
            let count = if double { 4 } else { 2 };
            // Half a keep-alive may be under way: wait for what follows the first line end.
            if !double && b"\r\n\r\n".starts_with(self.unread()) {
                return None;
            }
            self.consume(count);
            if double {
                return Some(Frame::KeepAlive);
            }
        }
        None
    }

    /// Length of the message, once its head is there.
    fn head(&mut self) -> Result<Option<usize>, FramingError> {
        let unread = self.buffer.get(self.start..).unwrap_or_default();
        let from = self.scanned.saturating_sub(3);
        let end = unread
            .get(from..)
            .unwrap_or_default()
            .windows(4)
            .position(|w| w == b"\r\n\r\n");
        self.scanned = unread.len();
        let Some(head_len) = end.map(|at| from + at + 4) else {
            check_partial_head(unread)?;
            return Ok(None);
        };
        let head = unread.get(..head_len).unwrap_or_default();
        check_partial_head(head)?;
        let body_len = content_length(head)?;
        if body_len > BODY_BYTES_MAX || head_len + body_len > MESSAGE_BYTES_MAX {
            return Err(FramingError::TooLarge);
        }
        Ok(Some(head_len + body_len))
    }
}

/// Bounds that hold for the part of a head that is already there.
fn check_partial_head(head: &[u8]) -> Result<(), FramingError> {
    if head.len() > MESSAGE_BYTES_MAX {
        return Err(FramingError::TooLarge);
    }
    let line_end = head
        .iter()
        .take(START_LINE_BYTES_MAX + 1)
        .position(|&b| b == b'\r' || b == b'\n');
    match line_end {
        Some(end) if head.get(end) == Some(&b'\n') => Err(FramingError::StartLine),
        Some(end) if !may_start(head.get(..end).unwrap_or_default()) => {
            Err(FramingError::StartLine)
        }
        None if head.len() > START_LINE_BYTES_MAX => Err(FramingError::StartLine),
        _ => Ok(()),
    }
}

/// The one Content-Length of a complete head. Lines that are no headers are passed over: the message
/// around them can still be cut out and refused with a 400.
fn content_length(head: &[u8]) -> Result<usize, FramingError> {
    let mut found = None;
    let mut rest = head;
    while let Some(end) = folded_end(rest) {
        let (line, behind) = rest.split_at(end);
        rest = behind.get(2..).unwrap_or_default();
        let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if HeaderName::parse(trim(name)) != Some(HeaderName::CONTENT_LENGTH) {
            continue;
        }
        let value = unfold(value.get(1..).unwrap_or_default());
        let length = number(&value, u32::MAX).and_then(|n| usize::try_from(n).ok());
        if found
            .replace(length.ok_or(FramingError::BadLength)?)
            .is_some()
        {
            return Err(FramingError::BadLength);
        }
    }
    found.ok_or(FramingError::NoLength)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nl: 3\r\n\r\nabc";

    fn drain(framer: &mut StreamFramer) -> Vec<Result<Frame, FramingError>> {
        let mut frames = Vec::new();
        while let Some(frame) = framer.next() {
            let failed = frame.is_err();
            frames.push(frame);
            if failed {
                break;
            }
        }
        frames
    }

    #[test]
    fn every_cut_of_the_stream_gives_the_same_frames() {
        let stream = [b"\r\n", OPTIONS, b"\r\n\r\n", OPTIONS, OPTIONS].concat();
        let message = || Ok(Frame::Message(OPTIONS.to_vec()));
        let want = [message(), Ok(Frame::KeepAlive), message(), message()];
        for size in 1..=stream.len() {
            let mut framer = StreamFramer::new();
            let mut got = Vec::new();
            for piece in stream.chunks(size) {
                framer.push(piece);
                got.extend(drain(&mut framer));
            }
            assert_eq!(got, want, "pieces of {size}");
            assert_eq!(framer.buffered(), 0);
        }
    }

    #[test]
    fn a_stream_that_is_no_sip_ends() {
        for (stream, error) in [
            (&b"GET / HTTP/1.1\nHost: a\n\n"[..], FramingError::StartLine),
            (b"\x16\x03\x01\x02\x00\x01\x00\r\n", FramingError::StartLine),
            (
                b"OPTIONS sip:a@h SIP/2.0\r\nVia: x\r\n\r\n",
                FramingError::NoLength,
            ),
            (
                b"OPTIONS sip:a@h SIP/2.0\r\nl: -1\r\n\r\n",
                FramingError::BadLength,
            ),
            (
                b"OPTIONS sip:a@h SIP/2.0\r\nl: 1\r\nContent-Length : 1\r\n\r\n",
                FramingError::BadLength,
            ),
            (
                b"OPTIONS sip:a@h SIP/2.0\r\nl: 4294967295\r\n\r\n",
                FramingError::TooLarge,
            ),
            (
                b"OPTIONS sip:a@h SIP/2.0\r\nl: 99999999999\r\n\r\n",
                FramingError::BadLength,
            ),
        ] {
            let mut framer = StreamFramer::new();
            framer.push(stream);
            assert_eq!(framer.next(), Some(Err(error)), "{}", stream.escape_ascii());
            framer.push(OPTIONS);
            assert_eq!(framer.next(), Some(Err(error)), "an error is final");
            assert_eq!(framer.buffered(), 0);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut framer = StreamFramer::new();
        framer.push(b"OPTIONS sip:a@h SIP/2.0\r\n");
        let mut pushed = 0;
        while framer.next().is_none() {
            framer.push(b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
            pushed += 1;
            assert!(pushed < 2000, "the head has a limit");
        }
        assert_eq!(framer.next(), Some(Err(FramingError::TooLarge)));
        let mut framer = StreamFramer::new();
        framer.push(&[b'A'; START_LINE_BYTES_MAX + 1]);
        assert_eq!(framer.next(), Some(Err(FramingError::StartLine)));
    }

    /// A connection that only keeps itself alive for a day is not cut.
    #[test]
    fn keep_alives_have_no_end() {
        let mut framer = StreamFramer::new();
        for _ in 0..10_000 {
            framer.push(b"\r\n\r\n");
            assert_eq!(framer.next(), Some(Ok(Frame::KeepAlive)));
            assert_eq!(framer.next(), None);
        }
        assert!(!framer.is_inside_message());
        framer.push(b"O");
        assert_eq!(framer.next(), None);
        assert!(framer.is_inside_message());
    }

    #[test]
    fn a_lone_cr_is_no_message() {
        let mut framer = StreamFramer::new();
        framer.push(b"\r\n\r");
        assert_eq!(framer.next(), None);
        framer.push(b"X");
        assert_eq!(framer.next(), Some(Err(FramingError::StartLine)));
    }

    #[test]
    fn content_length_may_be_folded_and_the_body_may_look_like_one() {
        let stream = b"OPTIONS sip:a@h SIP/2.0\r\nX: y\r\nContent-Length:\r\n 6\r\n\r\nl: 9\r\n";
        let mut framer = StreamFramer::new();
        framer.push(stream);
        assert_eq!(framer.next(), Some(Ok(Frame::Message(stream.to_vec()))));
    }
}
