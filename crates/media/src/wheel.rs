//! A coarse timer wheel: many deadlines, one wake-up.
//!
//! Media needs no finer time than a few milliseconds, and a deadline that moves with every packet must cost next to
//! nothing. An entry may fire early (beyond the horizon) or be stale (its owner has moved on): the owner compares the
//! tick with the one it armed and, if its deadline lies ahead, arms again.

use std::time::{Duration, Instant};

/// Length of one slot: a quarter of a packet interval.
pub const TICK: Duration = Duration::from_millis(5);

/// Slots of the wheel; the horizon is 5.12 s, beyond the longest regular interval.
const SLOTS: usize = 1_024;

/// A number of ticks since the wheel was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

/// The wheel.
#[derive(Debug)]
pub struct Wheel<K> {
    origin: Instant,
    /// The next tick that has not fired.
    cursor: u64,
    slots: Vec<Vec<K>>,
    /// One bit per slot that holds something.
    occupied: [u64; SLOTS / 64],
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let slots = std::iter::repeat_with(Vec::new).take(SLOTS).collect();
        Self {
            origin: now,
            cursor: 0,
            slots,
            occupied: [0; SLOTS / 64],
        }
    }

    /// The tick at which a deadline fires: never before it, unless it lies beyond the horizon.
    #[must_use]
    pub fn tick_of(&self, at: Instant) -> Tick {
        let passed = at.saturating_duration_since(self.origin).as_nanos();
        let tick = u64::try_from(passed.div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX);
        Tick(tick.clamp(self.cursor, self.cursor + SLOTS as u64 - 1))
    }

    /// Arms `key` for a tick of [`Wheel::tick_of`].
    pub fn arm(&mut self, tick: Tick, key: K) {
        let tick = tick.0.clamp(self.cursor, self.cursor + SLOTS as u64 - 1);
        let slot = (tick % SLOTS as u64) as usize;
        self.slots[slot].push(key);
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Takes the entries of the next tick that is due by `now`; `None` when nothing is due. `out` is cleared first.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<K>) -> Option<Tick> {
        out.clear();
        let passed = now.saturating_duration_since(self.origin).as_nanos() / TICK.as_nanos();
        let due = u64::try_from(passed).unwrap_or(u64::MAX);
        let next = self.next_occupied()?;
        if next > due {
            return None;
        }
        self.cursor = next + 1;
        let slot = (next % SLOTS as u64) as usize;
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        out.append(&mut self.slots[slot]);
        Some(Tick(next))
    }

    /// When the next entry fires.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let tick = self.next_occupied()?;
        Some(self.origin + Duration::from_nanos(tick.saturating_mul(TICK.as_nanos() as u64)))
    }

    /// Moves an idle wheel on, so that new deadlines are measured from now. Called once per turn of the owner's loop,
    /// after everything due has fired.
    pub fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.origin).as_nanos() / TICK.as_nanos();
        let due = u64::try_from(passed).unwrap_or(u64::MAX);
        let limit = self.next_occupied().unwrap_or(u64::MAX);
        self.cursor = self.cursor.max(due.min(limit));
    }

    fn next_occupied(&self) -> Option<u64> {
        let start = (self.cursor % SLOTS as u64) as usize;
        let words = self.occupied.len();
        for turn in 0..=words {
            let word = (start / 64 + turn) % words;
            let mut bits = self.occupied[word];
            if turn == 0 {
                bits &= u64::MAX << (start % 64);
            } else if turn == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - start) % SLOTS;
                return Some(self.cursor + ahead as u64);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fires_in_order_and_never_early() {
        let now = Instant::now();
        let mut wheel = Wheel::new(now);
        let mut fired = Vec::new();
        for ms in [7, 3, 4_000, 20] {
            let tick = wheel.tick_of(now + Duration::from_millis(ms));
            wheel.arm(tick, ms);
        }
        assert_eq!(wheel.next(), Some(now + TICK));
        assert_eq!(
            wheel.expire(now + Duration::from_millis(4), &mut fired),
            None
        );
        let mut order = Vec::new();
        while wheel
            .expire(now + Duration::from_secs(5), &mut fired)
            .is_some()
        {
            order.append(&mut fired);
        }
        assert_eq!(order, [3, 7, 20, 4_000]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn beyond_the_horizon_it_fires_early_for_the_owner_to_arm_again() {
        let now = Instant::now();
        let mut wheel = Wheel::new(now);
        let mut fired = Vec::new();
        wheel.arm(wheel.tick_of(now + Duration::from_secs(60)), 1);
        assert_eq!(wheel.expire(now + Duration::from_secs(5), &mut fired), None);
        assert!(
            wheel
                .expire(now + Duration::from_secs(6), &mut fired)
                .is_some()
        );
        assert_eq!(fired, [1]);
    }

    proptest! {
        /// However time moves, what was armed fires once, not before its time, and at most a tick late.
        #[test]
        fn everything_fires(steps in proptest::collection::vec((0_u64..4_000, 0_u64..900), 1..80)) {
            let start = Instant::now();
            let mut now = start;
            let mut wheel = Wheel::new(now);
            let mut armed = std::collections::BTreeMap::new();
            let mut fired = Vec::new();
            for (id, (ahead, step)) in steps.into_iter().enumerate() {
                let at = now + Duration::from_millis(ahead);
                wheel.arm(wheel.tick_of(at), id);
                armed.insert(id, at);
                now += Duration::from_millis(step);
                while wheel.expire(now, &mut fired).is_some() {
                    for id in &fired {
                        let at = armed.remove(id).unwrap();
                        prop_assert!(at <= now);
                    }
                }
                wheel.advance(now);
                for at in armed.values() {
                    prop_assert!(*at + TICK > now);
                }
            }
        }
    }
}
