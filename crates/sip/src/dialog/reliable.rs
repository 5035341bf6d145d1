//! A provisional response of ours that waits for its PRACK (RFC 3262 section 3).

use std::time::{Duration, Instant};

use super::AcceptedDue as Due;
use crate::timer::Timers;
use crate::ua::Hop;
use crate::{Method, wire::RAck};

/// Repeated on every transport, as the PRACK crosses the network end to end. The interval doubles without end, other than that of a
/// 2xx.
#[derive(Debug, Clone)]
pub(crate) struct Reliable {
    pub(crate) rseq: u32,
    /// `CSeq` number of the INVITE.
    cseq: u32,
    hop: Hop,
    bytes: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Repeated {
        interval: Duration,
        next: Instant,
        deadline: Instant,
    },
    /// The final response has left. Nothing is repeated any more, but a PRACK still finds its response.
    Hushed,
    Acknowledged,
}

impl Reliable {
    pub(crate) fn new(
        now: Instant,
        timers: &Timers,
        rseq: u32,
        cseq: u32,
        hop: Hop,
        bytes: Vec<u8>,
    ) -> Self {
        Self {
            rseq,
            cseq,
            hop,
            bytes,
            state: State::Repeated {
                interval: timers.t1,
                next: now + timers.t1,
                deadline: now + timers.patience(),
            },
        }
    }

    /// Whether the PRACK is still awaited: no further reliable response may leave (section 3).
    pub(crate) fn is_unacknowledged(&self) -> bool {
        self.state != State::Acknowledged
    }

    /// Whether this PRACK is the one; the second with the same `RAck` is not.
    pub(crate) fn acknowledge(&mut self, rack: &RAck) -> bool {
        let ours = rack.rseq == self.rseq && rack.cseq == self.cseq;
        let hit = self.is_unacknowledged() && ours && rack.method == Method::Invite;
        if hit {
            self.state = State::Acknowledged;
        }
        hit
    }

    /// The final response leaves.
    pub(crate) fn hush(&mut self) {
        if self.is_unacknowledged() {
            self.state = State::Hushed;
        }
    }

    /// What is repeated, and where to.
    pub(crate) fn message(&self) -> (Hop, Vec<u8>) {
        (self.hop, self.bytes.clone())
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Repeated { next, deadline, .. } => Some(next.min(deadline)),
            State::Hushed | State::Acknowledged => None,
        }
    }

    /// What is due at `now`; call until `None`.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        let State::Repeated {
            interval,
            next,
            deadline,
        } = &mut self.state
        else {
            return None;
        };
        if *deadline <= now {
            self.state = State::Hushed;
            return Some(Due::GiveUp);
        }
        if *next > now {
            return None;
        }
        *interval = interval.saturating_mul(2);
        *next = now + *interval;
        Some(Due::Resend)
    }
}
