//! A 2xx of ours that waits for its ACK (RFC 3261 section 13.3.1.4).

use std::time::{Duration, Instant};

use crate::timer::Timers;
use crate::ua::Hop;

/// The dialog, not the transaction, repeats a 2xx, and does so on every transport: the ACK crosses
/// the network end to end. SIP Server withholds it until the dialled party answers.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// `CSeq` number of the INVITE, which the ACK repeats.
    pub(crate) cseq: u32,
    /// Whether it answers the INVITE that opened the dialog.
    pub(crate) opens_dialog: bool,
    /// Whether the 2xx carries the offer, so that the ACK carries the answer.
    pub(crate) carries_offer: bool,
    pub(crate) hop: Hop,
    pub(crate) bytes: Vec<u8>,
    interval: Duration,
    next: Instant,
    deadline: Instant,
}

/// What an [`Accepted`] wants at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Resend,
    GiveUp,
}

impl Accepted {
    pub(crate) fn new(now: Instant, timers: &Timers, cseq: u32, hop: Hop, bytes: Vec<u8>) -> Self {
        Self {
            cseq,
            opens_dialog: false,
            carries_offer: false,
            hop,
            bytes,
            interval: timers.t1,
            next: now + timers.t1,
            deadline: now + timers.patience(),
        }
    }

    /// It is sent again now, whenever the next time would have been.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.next = now;
    }

    pub(crate) fn next_timeout(&self) -> Instant {
        self.next.min(self.deadline)
    }

    /// What is due at `now`; call until `None`.
    pub(crate) fn due(&mut self, now: Instant, timers: &Timers) -> Option<Due> {
        if self.deadline <= now {
            return Some(Due::GiveUp);
        }
        if self.next > now {
            return None;
        }
        self.interval = timers.next_interval(self.interval);
        // From now and not from the last time: after a pause of the machine one copy is enough.
        self.next = now + self.interval;
        Some(Due::Resend)
    }
}
