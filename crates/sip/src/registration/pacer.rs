//! Spreads the start of many registrations over time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far a late wake-up may be made good: the rate holds over each second, but a shell that
/// wakes every few milliseconds still reaches it.
const CATCH_UP: Duration = Duration::from_millis(100);

/// A queue that lets go at most so many DNs a second.
#[derive(Debug)]
pub(crate) struct Pacer {
    interval: Duration,
    next: Option<Instant>,
    queue: VecDeque<String>,
}

impl Pacer {
    /// `rate_per_s` of nothing means one: a queue that never moves would hang silently.
    pub(crate) fn new(rate_per_s: u32) -> Self {
        let interval = Duration::from_secs(1) / rate_per_s.max(1);
        Self {
            interval,
            next: None,
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, dn: String) {
        self.queue.push_back(dn);
    }

    /// Forgets `dn` wherever it stands in the queue.
    pub(crate) fn remove(&mut self, dn: &str) {
        self.queue.retain(|queued| queued != dn);
    }

    /// The next DN whose turn has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<String> {
        let next = self.next.unwrap_or(now);
        if next > now {
            return None;
        }
        let dn = self.queue.pop_front()?;
        let earliest = now
            .checked_sub(CATCH_UP)
            .map_or(next, |floor| next.max(floor));
        self.next = Some(earliest + self.interval);
        Some(dn)
    }

    /// When to call [`Self::pop`] again.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        (!self.queue.is_empty()).then(|| self.next.unwrap_or(now))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn one_second_lets_go_of_no_more_than_the_rate() {
        let start = Instant::now();
        let mut pacer = Pacer::new(50);
        for dn in 0..120 {
            pacer.push(dn.to_string());
        }
        let mut released = Vec::new();
        let mut now = start;
        while let Some(at) = pacer.next_timeout(now) {
            now = now.max(at);
            while pacer.pop(now).is_some() {
                released.push(now - start);
            }
        }
        assert_eq!(released.len(), 120);
        for (index, at) in released.iter().enumerate() {
            let window = released.iter().skip(index);
            assert!(
                window
                    .take_while(|t| **t < *at + Duration::from_secs(1))
                    .count()
                    <= 50
            );
        }
        assert_eq!(
            released.last().copied(),
            Some(Duration::from_millis(20 * 119))
        );
    }

    #[test]
    fn a_late_wake_up_is_made_good_within_bounds() {
        let start = Instant::now();
        let mut pacer = Pacer::new(50);
        for dn in 0..120 {
            pacer.push(dn.to_string());
        }
        assert!(pacer.pop(start).is_some());
        let late = start + Duration::from_secs(60);
        let burst = std::iter::from_fn(|| pacer.pop(late)).count();
        assert_eq!(burst, 6, "100 ms at 50 a second, and the one that is due");
    }

    #[test]
    fn a_removed_dn_gives_up_its_place() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1);
        pacer.push("1001".to_owned());
        pacer.push("1002".to_owned());
        pacer.remove("1001");
        assert_eq!(pacer.pop(start).as_deref(), Some("1002"));
        assert_eq!(pacer.next_timeout(start), None);
    }
}
