//! The timers of RFC 3261 section 17 and RFC 6026, and a small table that holds the running ones.
//!
//! Nothing here reads a clock: callers say what time it is and ask when to come back.

use std::time::{Duration, Instant};

/// The three base values every other timer is made of (RFC 3261 section 17.1.1.1, table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of the round trip; first retransmission interval.
    pub t1: Duration,
    /// Longest retransmission interval of non-INVITE requests and of responses to INVITE.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
}

impl Timers {
    /// 64 * T1: how long one end waits for the other before it gives up (32 s by default).
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// The interval after `interval` of a retransmission that doubles up to T2.
    #[must_use]
    pub fn next_interval(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

/// A transaction timer, named by its letter. C is missing on purpose: it belongs to proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// INVITE request retransmission, doubling without an upper bound; unreliable transport only.
    A,
    /// INVITE transaction timeout, 64*T1.
    B,
    /// Wait for repeated 300-699 responses to INVITE, so that each is acknowledged.
    D,
    /// Non-INVITE request retransmission, doubling up to T2; unreliable transport only.
    E,
    /// Non-INVITE transaction timeout, 64*T1.
    F,
    /// Retransmission of a 300-699 response to INVITE, doubling up to T2; unreliable only.
    G,
    /// Wait for the ACK of a 300-699 response, 64*T1.
    H,
    /// Wait for repeated ACKs of a 300-699 response, T4; nothing on a reliable transport.
    I,
    /// Wait for repeated non-INVITE requests, 64*T1. On a reliable transport as well: after a connection has gone SIP Server repeats on the next one.
    J,
    /// Wait for repeated responses to a non-INVITE request, T4; nothing on reliable transport.
    K,
    /// Wait for repeated INVITEs after a 2xx was sent, 64*T1 (RFC 6026 section 7.1).
    L,
    /// Wait for further 2xx responses, forked or repeated, 64*T1 (RFC 6026 section 7.2), and for late ones to an INVITE that was given up.
    M,
}

impl Timer {
    /// Every timer, in the order of the alphabet.
    pub const ALL: [Self; 12] = [
        Self::A,
        Self::B,
        Self::D,
        Self::E,
        Self::F,
        Self::G,
        Self::H,
        Self::I,
        Self::J,
        Self::K,
        Self::L,
        Self::M,
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// The running timers of one transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimerTable {
    deadlines: [Option<Instant>; Timer::ALL.len()],
}

impl TimerTable {
    /// Starts `timer`, or moves it when it already runs.
    pub fn start(&mut self, timer: Timer, at: Instant) {
        if let Some(slot) = self.deadlines.get_mut(timer.index()) {
            *slot = Some(at);
        }
    }

    /// Stops `timer`; stopping one that does not run is no error.
    pub fn stop(&mut self, timer: Timer) {
        if let Some(slot) = self.deadlines.get_mut(timer.index()) {
            *slot = None;
        }
    }

    /// Stops every timer.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// When `timer` fires, if it runs.
    #[must_use]
    pub fn get(&self, timer: Timer) -> Option<Instant> {
        self.deadlines.get(timer.index()).copied().flatten()
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// Takes the earliest timer that is due at `now`, which stops it. Call until `None`.
    ///
    /// A repetition that has become due together with the end of waiting, as on a machine that stood still, is not made up for: nobody waits for it
    /// any more, and it could overtake what is sent next.
    pub fn expire(&mut self, now: Instant) -> Option<Timer> {
        let ends = [
            (Timer::A, Timer::B),
            (Timer::E, Timer::F),
            (Timer::G, Timer::H),
        ];
        for (repetition, end) in ends {
            if self.get(end).is_some_and(|at| at <= now) {
                self.stop(repetition);
            }
        }
        let due = Timer::ALL
            .into_iter()
            .filter_map(|timer| Some((self.get(timer)?, timer)))
            .filter(|(at, _)| *at <= now)
            .min()
            .map(|(_, timer)| timer)?;
        self.stop(due);
        Some(due)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn the_next_timeout_is_the_minimum_and_expiry_goes_in_order_of_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut table = TimerTable::default();
        table.start(Timer::B, at(300));
        table.start(Timer::A, at(500));
        table.start(Timer::M, at(100));
        assert_eq!(table.next_timeout(), Some(at(100)));
        assert_eq!(table.expire(at(99)), None);
        assert_eq!(table.expire(at(400)), Some(Timer::M));
        assert_eq!(table.expire(at(400)), Some(Timer::B));
        assert_eq!(table.expire(at(400)), None);
        table.stop(Timer::A);
        assert_eq!(table.next_timeout(), None);
    }

    /// After a standstill everything is due at once: what is given up is not sent once more.
    #[test]
    fn nothing_is_repeated_at_the_end() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut table = TimerTable::default();
        table.start(Timer::E, at(31_500));
        table.start(Timer::F, at(32_000));
        let mut late = table;
        assert_eq!(table.expire(at(31_999)), Some(Timer::E));
        assert_eq!(late.expire(at(60_000)), Some(Timer::F));
        assert_eq!(late.expire(at(60_000)), None);
    }

    #[test]
    fn each_timer_has_a_slot_of_its_own() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer.index(), index);
        }
    }
}
