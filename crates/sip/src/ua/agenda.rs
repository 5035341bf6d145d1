//! One wake-up time for each thing that waits, with the earliest at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Keys and the times at which they want to be woken.
///
/// Ordered collections: the order of expiry is the same in each run, and no peer can choose keys
/// that collide.
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Agenda<K> {
    pub(crate) fn new() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_key: BTreeMap::new(),
        }
    }

    /// Wakes `key` at `at` instead of any earlier agreement; `None` lets it sleep.
    pub(crate) fn set(&mut self, key: &K, at: Option<Instant>) {
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

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest key that is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<K> {
        if self.next_timeout()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
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
}
