//! Spreads REGISTER requests over time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How far a late wake-up may be made good, so that a shell that wakes every few milliseconds still reaches the rate. Over no second of
/// time, wherever it begins, does it exceed the rate: see [`Pacer::pop`].
const CATCH_UP: Duration = Duration::from_millis(100);

/// Where the rate is higher than one in this time, those who are due in it leave together: a registrar takes ten REGISTERs at once as well as
/// one by one, and to be woken for each costs both sides more than the message.
const STEP: Duration = Duration::from_millis(20);

/// What the rate is counted over.
const SECOND: Duration = Duration::from_secs(1);

/// Who goes first when several wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// A binding is about to expire.
    Refresh,
    /// A binding is to be made.
    Start,
}

/// A queue that lets go at most so many registrations a second.
#[derive(Debug)]
pub(crate) struct Pacer<K> {
    interval: Duration,
    rate_per_s: usize,
    next: Option<Instant>,
    /// When those left that left within the last second, at most [`Self::rate_per_s`] of them.
    left: VecDeque<Instant>,
    last_place: u64,
    queue: BTreeMap<(Lane, u64), K>,
    places: BTreeMap<K, (Lane, u64)>,
}

impl<K: Ord + Clone> Pacer<K> {
    /// `rate_per_s` of nothing means one: a queue that never moves would hang silently.
    pub(crate) fn new(rate_per_s: u32) -> Self {
        let rate_per_s = rate_per_s.max(1);
        Self {
            interval: SECOND / rate_per_s,
            rate_per_s: usize::try_from(rate_per_s).unwrap_or(usize::MAX),
            next: None,
            left: VecDeque::new(),
            last_place: 0,
            queue: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Who waits already keeps the place, unless the other lane is faster.
    pub(crate) fn push(&mut self, key: K, lane: Lane) {
        if self.places.get(&key).is_some_and(|(has, _)| *has <= lane) {
            return;
        }
        self.remove(&key);
        self.last_place += 1;
        let place = (lane, self.last_place);
        self.queue.insert(place, key.clone());
        self.places.insert(key, place);
    }

    /// Forgets `key` wherever it stands in the queue.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(place) = self.places.remove(key) {
            self.queue.remove(&place);
        }
    }

    /// The next one whose turn has come: as many intervals after the last as the rate says, a late wake-up made good, and never one more
    /// within a second of those that left before than the rate says.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next_timeout(now)? > now {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        self.places.remove(&key);
        if self.left.len() == self.rate_per_s {
            self.left.pop_front();
        }
        self.left.push_back(now);
        let next = self.next.unwrap_or(now);
        let earliest = now
            .checked_sub(CATCH_UP)
            .map_or(next, |floor| next.max(floor));
        self.next = Some(earliest + self.interval);
        Some(key)
    }

    /// Who comes due behind a departure waits until then for those who leave with it: refreshes come due one by one, spread by chance.
    fn step_until(&self, now: Instant) -> Option<Instant> {
        let last = *self.left.back().filter(|_| self.interval < STEP)?;
        let goes_on = last == now && self.next.is_none_or(|next| next <= now);
        (!goes_on).then_some(last + STEP)
    }

    /// A second has had as many as it may until then.
    fn full_until(&self) -> Option<Instant> {
        let full = self.left.len() == self.rate_per_s;
        let first = self.left.front().filter(|_| full);
        first.map(|first| *first + SECOND)
    }

    /// When to call [`Self::pop`] again.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let held_back = [self.next, self.step_until(now), self.full_until()];
        let at = held_back.into_iter().flatten().fold(now, Instant::max);
        (!self.queue.is_empty()).then_some(at)
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
            pacer.push(dn, Lane::Start);
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
    fn at_a_high_rate_those_who_are_due_leave_together() {
        let start = Instant::now();
        let mut pacer = Pacer::new(500);
        for dn in 0..1_000 {
            pacer.push(dn, Lane::Start);
        }
        let mut now = start;
        let mut steps = Vec::new();
        while let Some(at) = pacer.next_timeout(now) {
            now = now.max(at);
            steps.push((now - start, std::iter::from_fn(|| pacer.pop(now)).count()));
        }
        assert_eq!(steps[0], (Duration::ZERO, 1));
        for (number, step) in steps.iter().enumerate().skip(1).take(99) {
            assert_eq!(*step, (STEP * number as u32, 10));
        }
        let last = steps.last().map(|(at, _)| *at);
        assert_eq!(last, Some(Duration::from_secs(2)));
    }

    /// Refreshes come due at any time: whoever is woken for one takes those with it that came due since the last.
    #[test]
    fn at_a_high_rate_those_who_come_due_one_by_one_leave_together() {
        let start = Instant::now();
        let mut pacer = Pacer::new(500);
        let mut steps = Vec::new();
        let mut leave = |pacer: &mut Pacer<u32>, now: Instant| {
            let count = std::iter::from_fn(|| pacer.pop(now)).count();
            if count > 0 {
                steps.push(((now - start).as_millis(), count));
            }
        };
        for dn in 0..20 {
            let due = start + Duration::from_millis(5) * dn;
            while let Some(at) = pacer.next_timeout(due).filter(|at| *at < due) {
                leave(&mut pacer, at);
            }
            pacer.push(dn, Lane::Refresh);
            leave(&mut pacer, due);
        }
        assert_eq!(steps, [(0, 1), (20, 4), (40, 4), (60, 4), (80, 4)]);
        assert!(pacer.next_timeout(start).is_some(), "three more wait");
    }

    #[test]
    fn a_late_wake_up_is_made_good_within_bounds() {
        let start = Instant::now();
        let mut pacer = Pacer::new(50);
        for dn in 0..120 {
            pacer.push(dn, Lane::Start);
        }
        assert!(pacer.pop(start).is_some());
        let late = start + Duration::from_secs(60);
        let burst = std::iter::from_fn(|| pacer.pop(late)).count();
        assert_eq!(burst, 6, "100 ms at 50 a second, and the one that is due");
    }

    /// However late it is woken, and however often: no second has more of them than the rate says.
    #[test]
    fn catching_up_never_exceeds_the_rate() {
        const RATE: usize = 250;
        let start = Instant::now();
        let mut pacer = Pacer::new(RATE as u32);
        for dn in 0..2_000 {
            pacer.push(dn, Lane::Start);
        }
        let mut now = start;
        let mut released = Vec::new();
        // Late by nothing, by some milliseconds, by more than is made good.
        for late in [0, 3, 90, 0, 7, 400, 1, 15, 60].iter().cycle() {
            let Some(at) = pacer.next_timeout(now) else {
                break;
            };
            now = now.max(at) + Duration::from_millis(*late);
            released.extend(std::iter::from_fn(|| pacer.pop(now).map(|_| now)));
        }
        assert_eq!(released.len(), 2_000);
        for window in released.windows(RATE + 1) {
            assert!(window[RATE] - window[0] >= SECOND);
        }
    }

    #[test]
    fn a_removed_dn_gives_up_its_place() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1);
        pacer.push("1001", Lane::Start);
        pacer.push("1002", Lane::Start);
        pacer.remove(&"1001");
        assert_eq!(pacer.pop(start), Some("1002"));
        assert_eq!(pacer.next_timeout(start), None);
    }

    /// Ten thousand fresh starts must not let a standing registration run out.
    #[test]
    fn a_refresh_does_not_wait_behind_the_starts() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1_000);
        for dn in 0..10 {
            pacer.push(dn, Lane::Start);
        }
        pacer.push(7, Lane::Refresh);
        pacer.push(7, Lane::Start);
        assert_eq!(pacer.pop(start), Some(7));
        let rest = std::iter::from_fn(|| pacer.pop(start + Duration::from_secs(1))).count();
        assert_eq!(rest, 9);
    }
}
