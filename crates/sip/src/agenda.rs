//! One wake-up time for each thing that waits, with the earliest at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Instant;

use crate::limits::{WAKE_PAUSE_MIN, WAKES_A_ROUND_MAX};

/// Keys and the times at which they want to be woken.
///
/// Ordered collections: the order of expiry is the same in each run, and no peer can choose keys
/// that collide.
///
/// Whoever is woken does what is due, or it would be due for ever and nobody else would have a turn. That is looked after here, for all: see
/// [`Agenda::expire`].
#[derive(Debug)]
pub struct Agenda<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
    /// How often each was woken since somebody last found nothing due.
    woken: BTreeMap<K, u32>,
}

impl<K: Ord + Clone + Debug> Agenda<K> {
    /// Nobody waits yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_key: BTreeMap::new(),
            woken: BTreeMap::new(),
        }
    }

    /// Wakes `key` at `at` instead of any earlier agreement; `None` lets it sleep.
    pub fn set(&mut self, key: &K, at: Option<Instant>) {
        let before = self.by_key.get(key).copied();
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, key.clone()));
            self.by_key.remove(key);
        }
        if let Some(at) = at {
            self.by_time.insert((at, key.clone()));
            self.by_key.insert(key.clone(), at);
        }
    }

    /// When the first of them wants to be woken.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest key that is due. Call until `None`: that is one round.
    ///
    /// One that is due again and again within a round sleeps for [`WAKE_PAUSE_MIN`]: its timer is wrong, which a debug build says, and costs a
    /// call and not the gateway.
    pub fn expire(&mut self, now: Instant) -> Option<K> {
        while self.next_timeout().is_some_and(|at| at <= now) {
            let (_, key) = self.by_time.pop_first()?;
            self.by_key.remove(&key);
            let woken = self.woken.entry(key.clone()).or_default();
            *woken += 1;
            if *woken <= WAKES_A_ROUND_MAX {
                return Some(key);
            }
            self.set(&key, Some(now + WAKE_PAUSE_MIN));
            debug_assert!(false, "{key:?} would be due for ever");
        }
        self.woken.clear();
        None
    }
}

impl<K: Ord + Clone + Debug> Default for Agenda<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moved_and_cancelled_entries_fire_once_and_in_order() {
        let start = Instant::now();
        let at = |s| Some(start + Duration::from_secs(s));
        let mut agenda = Agenda::new();
        agenda.set(&"late", at(9));
        agenda.set(&"early", at(5));
        agenda.set(&"late", at(3));
        agenda.set(&"never", at(1));
        agenda.set(&"never", None);
        assert_eq!(agenda.next_timeout(), at(3));
        let end = start + Duration::from_secs(10);
        assert_eq!(agenda.expire(end), Some("late"));
        assert_eq!(agenda.expire(end), Some("early"));
        assert_eq!(agenda.expire(end), None);
        assert_eq!(agenda.next_timeout(), None);
    }

    /// What was due is not done, and is due again at once: the others have their turn all the same, and it has the next one a moment later.
    #[test]
    fn a_timer_that_is_due_for_ever_stops_nobody() {
        let start = Instant::now();
        let mut agenda = Agenda::new();
        agenda.set(&"for ever", Some(start));
        agenda.set(&"once", Some(start));
        let mut woken = Vec::new();
        let round = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while let Some(key) = agenda.expire(start) {
                woken.push(key);
                assert!(woken.len() < 100, "it goes on and on");
                if key == "for ever" {
                    agenda.set(&key, Some(start));
                }
            }
        }));
        assert_eq!(
            round.is_err(),
            cfg!(debug_assertions),
            "a debug build says so"
        );
        // A debug build has stopped in the middle of the round.
        woken.extend(std::iter::from_fn(|| agenda.expire(start)));
        assert_eq!(woken.iter().filter(|key| **key == "once").count(), 1);
        assert_eq!(woken.len(), 1 + WAKES_A_ROUND_MAX as usize);
        assert_eq!(agenda.next_timeout(), Some(start + WAKE_PAUSE_MIN));
        assert_eq!(agenda.expire(start + WAKE_PAUSE_MIN), Some("for ever"));
    }

    /// Two that wake each other are no better.
    #[test]
    fn two_that_wake_each_other_stop_nobody() {
        let start = Instant::now();
        let mut agenda = Agenda::new();
        agenda.set(&"hen", Some(start));
        let mut woken = 0;
        let round = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while let Some(key) = agenda.expire(start) {
                woken += 1;
                assert!(woken < 100, "it goes on and on");
                agenda.set(if key == "hen" { &"egg" } else { &"hen" }, Some(start));
            }
        }));
        assert_eq!(
            round.is_err(),
            cfg!(debug_assertions),
            "a debug build says so"
        );
        assert_eq!(agenda.expire(start), None);
        assert_eq!(agenda.next_timeout(), Some(start + WAKE_PAUSE_MIN));
    }
}
