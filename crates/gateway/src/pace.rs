//! How soon a worker's loop turns again.
//!
//! To fall asleep and be woken costs more than to send a packet. Where there are few packets each is handled at once. Where there are so many
//! that the loop would be woken several times in a millisecond, it rests for the remainder of it and finds them together: a sixth of the
//! processor time of two hundred relayed calls, and more. A packet waits for the length of a rest at worst, a twentieth of what it stands for.

use std::time::{Duration, Instant};

/// From one turn to the next while there are many packets.
const APART: Duration = Duration::from_millis(1);

/// So many packets at least are found together, or resting costs more than it saves: what wakes by the clock finds the processor colder than
/// what is woken by a packet, and a wake-up by a packet often finds several.
const TOGETHER: u32 = 16;

/// Packets are counted for as long as it takes every stream to send one: streams that began together come in a bunch.
const WINDOW: Duration = Duration::from_millis(20);

/// Told when turns begin, and what they find.
#[derive(Debug)]
pub(super) struct Pace {
    turned: Instant,
    counted_since: Instant,
    packets: u32,
    crowded: bool,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            turned: now,
            counted_since: now,
            packets: 0,
            crowded: false,
        }
    }

    /// A turn begins.
    pub(super) fn turns(&mut self, now: Instant) {
        self.turned = now;
        let counted = now.saturating_duration_since(self.counted_since);
        if counted >= WINDOW {
            self.crowded = APART * self.packets >= counted * TOGETHER;
            self.counted_since = now;
            self.packets = 0;
        }
    }

    /// A packet was found.
    pub(super) const fn finds(&mut self) {
        self.packets = self.packets.saturating_add(1);
    }

    /// How long the loop rests before it looks what has come; it is wanted back at `wanted` at the latest.
    pub(super) fn rest(&self, now: Instant, wanted: Instant) -> Option<Duration> {
        let until = wanted.min(self.turned + APART);
        let rest = until.saturating_duration_since(now);
        (self.crowded && !rest.is_zero()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);
    const FAR: Duration = Duration::from_secs(1);

    /// So many turns a millisecond apart find so many packets each and take 10 us: the rest after the last of them, where the next deadline is
    /// so far from its end.
    fn rest_after(turns: &[u32], deadline: Duration) -> Option<Duration> {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
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
