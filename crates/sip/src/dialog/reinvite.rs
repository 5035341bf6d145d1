//! Our own re-INVITEs of one dialog: one at a time, tried again after 491.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::ids::IdSource;
use crate::ua::limits::{QUEUED_REINVITES_MAX, REINVITE_RETRIES_MAX};

/// A re-INVITE that waits for its turn or for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reinvite {
    /// The offer, or none.
    pub(crate) sdp: Option<Vec<u8>>,
    /// Only keeps the session timer alive: the application is not told.
    pub(crate) refresh: bool,
    /// The session changed since the offer was made.
    stale: bool,
    tries: u32,
}

impl Reinvite {
    pub(crate) fn new(sdp: Option<Vec<u8>>, refresh: bool) -> Self {
        Self {
            sdp,
            refresh,
            stale: false,
            tries: 0,
        }
    }

    /// An offer that was made before the session changed has an old version in its `o=` line and
    /// must not be sent (RFC 3264 section 8).
    pub(crate) fn is_stale(&self) -> bool {
        self.stale && self.sdp.is_some()
    }
}

/// The queue and the back-off of RFC 3261 section 14.1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reinvites {
    queue: VecDeque<Reinvite>,
    wait_until: Option<Instant>,
}

impl Reinvites {
    /// Whether there was room.
    pub(crate) fn push(&mut self, reinvite: Reinvite) -> bool {
        let room = self.queue.len() < QUEUED_REINVITES_MAX;
        if room {
            self.queue.push_back(reinvite);
        }
        room
    }

    /// Ends a back-off that is over. Afterwards [`Self::next_timeout`] is not in the past, even
    /// when no INVITE may go out yet.
    pub(crate) fn watch(&mut self, now: Instant) {
        self.wait_until = self.wait_until.filter(|until| *until > now);
    }

    /// The next one, unless the back-off still runs.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Reinvite> {
        self.watch(now);
        match self.wait_until {
            Some(_) => None,
            None => self.queue.pop_front(),
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.wait_until
    }

    /// Waits and tries again, or gives the re-INVITE back when it was tried often enough.
    pub(crate) fn back_off(
        &mut self,
        now: Instant,
        mut reinvite: Reinvite,
        owns_call_id: bool,
        ids: &mut IdSource,
    ) -> Result<(), Reinvite> {
        if reinvite.tries >= REINVITE_RETRIES_MAX {
            return Err(reinvite);
        }
        reinvite.tries += 1;
        self.wait_until = Some(now + glare_wait(owns_call_id, ids));
        self.queue.push_front(reinvite);
        Ok(())
    }

    /// The session has just changed by the peer's doing.
    pub(crate) fn session_changed(&mut self) {
        for reinvite in &mut self.queue {
            reinvite.stale = true;
        }
    }
}

/// The owner of the Call-ID waits 2.1 to 4 s, the other side 0 to 2 s, in steps of 10 ms.
fn glare_wait(owns_call_id: bool, ids: &mut IdSource) -> Duration {
    let steps: RangeInclusive<u64> = if owns_call_id { 210..=400 } else { 0..=200 };
    let width = steps.end() - steps.start() + 1;
    Duration::from_millis((steps.start() + ids.next_u64() % width) * 10)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_the_call_id_waits_longer_in_steps_of_ten_milliseconds() {
        let mut ids = IdSource::new([1; 32]);
        for _ in 0..500 {
            let owner = glare_wait(true, &mut ids).as_millis();
            assert!((2100..=4000).contains(&owner) && owner.is_multiple_of(10));
            let other = glare_wait(false, &mut ids).as_millis();
            assert!(other <= 2000 && other.is_multiple_of(10));
        }
    }

    #[test]
    fn retries_are_bounded_and_the_queue_too() {
        let now = Instant::now();
        let mut ids = IdSource::new([2; 32]);
        let mut reinvites = Reinvites::default();
        let mut reinvite = Reinvite::new(None, false);
        for _ in 0..REINVITE_RETRIES_MAX {
            assert!(reinvites.back_off(now, reinvite, true, &mut ids).is_ok());
            assert_eq!(reinvites.pop(now), None, "the back-off runs");
            let at = reinvites.next_timeout().expect("the back-off runs");
            reinvite = reinvites.pop(at).expect("it is queued again");
        }
        assert!(reinvites.back_off(now, reinvite, true, &mut ids).is_err());
        for _ in 0..QUEUED_REINVITES_MAX {
            assert!(reinvites.push(Reinvite::new(None, false)));
        }
        assert!(!reinvites.push(Reinvite::new(None, false)));
    }

    #[test]
    fn only_an_offer_can_be_stale() {
        let mut reinvites = Reinvites::default();
        reinvites.push(Reinvite::new(Some(b"v=0".to_vec()), false));
        reinvites.push(Reinvite::new(None, false));
        reinvites.session_changed();
        let now = Instant::now();
        assert!(reinvites.pop(now).is_some_and(|r| r.is_stale()));
        assert!(reinvites.pop(now).is_some_and(|r| !r.is_stale()));
    }
}
