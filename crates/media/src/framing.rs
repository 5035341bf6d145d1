//! Datagrams on a stream: each behind its length in two octets (RFC 4571 section 2).

use thiserror::Error;

use crate::limits::DATAGRAM_MAX;

/// Octets of a length.
const LENGTH: usize = 2;

/// The other end means a datagram that no browser sends; where the next one begins is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a frame of more than {DATAGRAM_MAX} octets")]
pub struct TooLong;

/// What has come on one stream and is not looked at yet: at most one frame, and what was read behind it.
#[derive(Debug, Default)]
pub struct Deframer {
    held: Vec<u8>,
    at: usize,
}

impl Deframer {
    /// Takes octets as they were read. Whoever takes every whole frame before the next ones are read holds one frame of memory.
    pub fn push(&mut self, octets: &[u8]) {
        self.held.drain(..self.at);
        self.at = 0;
        self.held.extend_from_slice(octets);
    }

    /// The next whole frame; `None` until more has come.
    ///
    /// # Errors
    /// When it is longer than any that is looked at; the stream is to be closed.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let rest = self.held.get(self.at..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > DATAGRAM_MAX {
            return Err(TooLong);
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        self.at += LENGTH + length;
        Ok(Some(frame))
    }
}

/// Puts a datagram behind what waits to be written. `false` when it is too long for its length.
pub fn frame(datagram: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(datagram.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(datagram);
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn all(deframer: &mut Deframer) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = deframer.next_frame().unwrap() {
            frames.push(frame.to_vec());
        }
        frames
    }

    /// Streams cut and join datagrams anywhere: what comes out is what went in.
    #[test]
    fn frames_survive_every_cut() {
        let sent: Vec<Vec<u8>> = [0, 1, 2, 172, DATAGRAM_MAX]
            .map(|n| vec![n as u8; n])
            .into();
        let mut stream = Vec::new();
        for datagram in &sent {
            assert!(frame(datagram, &mut stream));
        }
        for step in [1, 2, 3, 170, 5_000] {
            let mut deframer = Deframer::default();
            let mut heard = Vec::new();
            for octets in stream.chunks(step) {
                deframer.push(octets);
                heard.extend(all(&mut deframer));
                assert!(deframer.held.len() - deframer.at < LENGTH + DATAGRAM_MAX);
            }
            assert_eq!(heard, sent);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_ends_the_stream() {
        let mut deframer = Deframer::default();
        let length = u16::try_from(DATAGRAM_MAX + 1).unwrap();
        deframer.push(&length.to_be_bytes());
        assert_eq!(deframer.next_frame(), Err(TooLong));
        assert!(!frame(&vec![0; 70_000], &mut Vec::new()));
    }
}
