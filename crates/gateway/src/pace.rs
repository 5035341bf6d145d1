//! How soon a loop turns again.
//!
//! To fall asleep and be woken costs more than to send a packet. Where little comes, each thing is handled at once. Where so much comes that
//! the loop would be woken several times in a millisecond, it rests for as long as it takes a handful to come, and finds them together: a sixth
//! of the processor time of a hundred relayed calls, and more of more. What comes waits for the length of a rest at worst.
#![allow(clippy::disallowed_methods)] // Rests are taken by the shell, which reads the clock.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Things are counted for as long as it takes every stream to send a packet: streams that began together come in a bunch.
const WINDOW: Duration = Duration::from_millis(20);

/// Told when turns begin, and what they find.
#[derive(Debug)]
pub struct Pace {
    together: u32,
    between: RangeInclusive<Duration>,
    apart: Duration,
    turned: Instant,
    counted_since: Instant,
    found: u32,
    crowded: bool,
}

impl Pace {
    /// A loop that rests where it finds `together` things at least after each rest, with `between` one turn and the next. Fewer, and a rest costs
    /// more than it saves: what wakes by the clock finds the processor colder than what is woken by what comes, and such a wake-up often finds
    /// several.
    #[must_use]
    pub const fn new(now: Instant, together: u32, between: RangeInclusive<Duration>) -> Self {
        Self {
            together,
            apart: *between.start(),
            between,
            turned: now,
            counted_since: now,
            found: 0,
            crowded: false,
        }
    }

    /// A turn begins.
    pub fn turns(&mut self, now: Instant) {
        self.turned = now;
        let counted = now.saturating_duration_since(self.counted_since);
        if counted >= WINDOW {
            let needed = counted * self.together;
            self.crowded = *self.between.end() * self.found >= needed;
            self.apart = (needed / self.found.max(1)).max(*self.between.start());
            self.counted_since = now;
            self.found = 0;
        }
    }

    /// Something was found.
    pub const fn finds(&mut self) {
        self.found = self.found.saturating_add(1);
    }

    /// How long the loop rests before it looks what has come; it is wanted back at `wanted` at the latest.
    #[must_use]
    pub fn rest(&self, now: Instant, wanted: Instant) -> Option<Duration> {
        let until = wanted.min(self.turned + self.apart);
        let rest = until.saturating_duration_since(now);
        (self.crowded && !rest.is_zero()).then_some(rest)
    }
}

/// The pace of a runtime whose loop is not ours: it rests before it parks.
#[derive(Debug)]
pub struct Rests(Mutex<Pace>);

impl Rests {
    /// With [`Pace::new`]'s measure, and always so far from one turn to the next.
    #[must_use]
    pub fn new(together: u32, apart: Duration) -> Self {
        Self(Mutex::new(Pace::new(
            Instant::now(),
            together,
            apart..=apart,
        )))
    }

    /// Something was found.
    pub fn finds(&self) {
        self.pace(Pace::finds);
    }

    /// The runtime's thread has nothing to do: it rests where that saves it a wake-up.
    pub fn parks(&self) {
        let now = Instant::now();
        if let Some(rest) = self.pace(|pace| pace.rest(now, now + *pace.between.end())) {
            std::thread::sleep(rest);
        }
    }

    /// The runtime's thread has something to do again.
    pub fn unparks(&self) {
        let now = Instant::now();
        self.pace(|pace| pace.turns(now));
    }

    fn pace<R>(&self, act: impl FnOnce(&mut Pace) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);
    const MS: Duration = Duration::from_millis(1);
    const FAR: Duration = Duration::from_secs(1);

    /// So many turns a millisecond apart find so many packets each and take 10 us: the rest after the last of them, where the next deadline is
    /// so far from its end.
    fn rest_after(turns: &[u32], deadline: Duration) -> Option<Duration> {
        rest_of(MS..=MS, turns, deadline)
    }

    fn rest_of(
        between: RangeInclusive<Duration>,
        turns: &[u32],
        deadline: Duration,
    ) -> Option<Duration> {
        let mut now = Instant::now();
        let mut pace = Pace::new(now, 16, between);
        let mut rest = None;
        for packets in turns {
            now += US * 990;
            pace.turns(now);
            for _ in 0..*packets {
                pace.finds();
            }
            now += US * 10;
            rest = pace.rest(now, now + deadline);
        }
        rest
    }

    #[test]
    fn few_packets_are_handled_at_once() {
        assert_eq!(rest_after(&[15; 50], FAR), None);
        assert_eq!(rest_after(&[0; 50], FAR), None);
        // Before they were counted, nobody knows.
        assert_eq!(rest_after(&[100; 20], FAR), None);
    }

    #[test]
    fn many_packets_are_handled_together() {
        assert_eq!(rest_after(&[16; 50], FAR), Some(US * 990));
        assert_eq!(rest_after(&[100; 22], FAR), Some(US * 990));
    }

    /// As long as it takes for enough to come, and no longer.
    #[test]
    fn fewer_packets_are_waited_for_longer() {
        let rest = |packets| rest_of(MS..=MS * 2, &[packets; 50], FAR);
        assert_eq!(rest(7), None);
        assert_eq!(rest(8), Some(US * 1_990));
        assert_eq!(rest(10), Some(US * 1_590));
        assert_eq!(rest(16), Some(US * 990));
        assert_eq!(rest(100), Some(US * 990));
    }

    /// And not less than a loop asks for, however much comes.
    #[test]
    fn more_packets_are_waited_for_less() {
        let rest = |packets| rest_of(US * 750..=MS * 2, &[packets; 50], FAR);
        assert_eq!(rest(16), Some(US * 990));
        assert_eq!(rest(20), Some(US * 790));
        assert_eq!(rest(22), Some(US * 740));
        assert_eq!(rest(400), Some(US * 740));
    }

    #[test]
    fn a_bunch_of_packets_is_no_crowd() {
        let mut turns = [0; 50];
        turns[10] = 128;
        turns[30] = 128;
        assert_eq!(rest_after(&turns, FAR), None);
    }

    #[test]
    fn it_ends_with_the_crowd() {
        let turns = [[100; 50], [1; 50]].concat();
        assert_eq!(rest_after(&turns, FAR), None);
    }

    #[test]
    fn what_is_due_is_not_overslept() {
        assert_eq!(rest_after(&[100; 50], US * 200), Some(US * 200));
        assert_eq!(rest_after(&[100; 50], Duration::ZERO), None);
    }
}
