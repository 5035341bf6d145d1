//! What a SIP stream has said so far, cut into messages.

use sip::StreamFramer;
use sip::wire::Frame;
use tokio::time::Instant;

use super::sip_admission::Times;
use crate::limits::SIP_STREAM_READ_OCTETS;

/// What has been read of a stream, and how long the next step may take.
pub(super) struct Reading {
    pub(super) buffer: Box<[u8]>,
    framer: StreamFramer,
    times: Times,
    /// Until when the next step must be done.
    pub(super) deadline: Instant,
    heard: bool,
    /// Octets of a message whose rest is to come.
    half: bool,
}

impl Reading {
    pub(super) fn new(times: Times) -> Self {
        Self {
            times,
            buffer: vec![0; SIP_STREAM_READ_OCTETS].into_boxed_slice(),
            framer: StreamFramer::new(),
            deadline: Instant::now() + times.first_message,
            heard: false,
            half: false,
        }
    }

    /// The whole messages that `length` fresh octets of the buffer complete.
    pub(super) fn frames(&mut self, length: usize) -> Result<Vec<Frame>, String> {
        self.framer.push(&self.buffer[..length]);
        let mut frames = Vec::new();
        while let Some(frame) = self.framer.next() {
            frames.push(frame.map_err(|error| error.to_string())?);
        }
        let was_half = self.half && frames.is_empty();
        self.half = self.framer.is_inside_message();
        self.heard |= frames
            .iter()
            .any(|frame| matches!(frame, Frame::Message(_)));
        if self.half {
            // Counted from the message's first octet: more octets of it buy no time.
            if !was_half {
                let limit = Instant::now() + self.times.half_message;
                self.deadline = if self.heard {
                    limit
                } else {
                    limit.min(self.deadline)
                };
            }
        } else if self.heard {
            self.deadline = Instant::now() + self.times.idle;
        }
        Ok(frames)
    }

    pub(super) fn overdue(&self) -> &'static str {
        match (self.half, self.heard) {
            (true, _) => "half a message, and no more",
            (false, false) => "no message came",
            (false, true) => "idle",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MESSAGE: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    fn read(reading: &mut Reading, bytes: &[u8]) -> usize {
        reading.buffer[..bytes.len()].copy_from_slice(bytes);
        reading.frames(bytes.len()).unwrap().len()
    }

    /// One octet a second must not keep a connection for ever.
    #[test]
    fn more_octets_of_the_same_message_buy_no_time() {
        let mut reading = Reading::new(Times::default());
        let first = reading.deadline;
        assert_eq!(read(&mut reading, &MESSAGE[..10]), 0);
        let begun = reading.deadline;
        assert!(begun <= first);
        for octet in MESSAGE[10..MESSAGE.len() - 1].chunks(1) {
            assert_eq!(read(&mut reading, octet), 0);
            assert_eq!(reading.deadline, begun);
        }
        assert_eq!(reading.overdue(), "half a message, and no more");
        assert_eq!(read(&mut reading, b"\n"), 1);
        assert!(reading.deadline > begun);
        assert_eq!(reading.overdue(), "idle");
    }

    /// Keep-alives alone are no SIP.
    #[test]
    fn a_stream_that_only_keeps_alive_is_not_kept() {
        let mut reading = Reading::new(Times::default());
        let first = reading.deadline;
        assert_eq!(read(&mut reading, b"\r\n\r\n"), 1);
        assert_eq!(reading.deadline, first);
        assert_eq!(reading.overdue(), "no message came");
    }
}
