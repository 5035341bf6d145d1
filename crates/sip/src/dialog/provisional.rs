//! An 18x of ours, said again while nobody has answered the call.

use std::time::{Duration, Instant};

use crate::StatusCode;
use crate::ua::limits::{PROVISIONAL_REPEAT, PROVISIONAL_REPEAT_FIRST};

/// The last 18x, and when it is said again.
#[derive(Debug)]
pub(crate) struct Provisional {
    status: StatusCode,
    at: Instant,
    pause: Duration,
}

impl Provisional {
    /// It has been said now. One that may be lost on its way, unknown to anybody, is soon said again.
    pub(crate) fn new(now: Instant, status: StatusCode, may_be_lost: bool) -> Self {
        let pause = match may_be_lost {
            true => PROVISIONAL_REPEAT_FIRST,
            false => PROVISIONAL_REPEAT,
        };
        let at = now + pause;
        Self { status, at, pause }
    }

    /// What is to be said now, if anything; the next time is twice as far away.
    pub(crate) fn due(&mut self, now: Instant) -> Option<StatusCode> {
        if now < self.at {
            return None;
        }
        self.pause = (self.pause * 2).min(PROVISIONAL_REPEAT);
        self.at = now + self.pause;
        Some(self.status)
    }

    pub(crate) fn next_timeout(&self) -> Instant {
        self.at
    }
}
