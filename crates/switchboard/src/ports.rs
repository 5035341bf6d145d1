//! RTP port pairs of the SIP side: drawn at random, rested after use.
//!
//! A pair that was just released still receives the late packets of its former call. It rests until they have
//! stopped, so that no call ever hears another one's audio. Random order leaves an attacker nothing to aim at.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// The pool of port pairs. The RTP port is even, RTCP is the one above (RFC 3550 section 11).
#[derive(Debug)]
pub(crate) struct Ports {
    free: Vec<u16>,
    resting: VecDeque<(Instant, u16)>,
    in_use: usize,
    quarantine: Duration,
}

impl Ports {
    pub(crate) fn new(range: &RangeInclusive<u16>, quarantine: Duration) -> Self {
        let free = range
            .clone()
            .filter(|port| port % 2 == 0 && *port < *range.end())
            .collect();
        Self {
            free,
            resting: VecDeque::new(),
            in_use: 0,
            quarantine,
        }
    }

    /// Takes a random pair; `None` when all are in use or resting.
    pub(crate) fn take(&mut self, now: Instant, rng: &mut ChaCha12Rng) -> Option<u16> {
        while let Some((until, port)) = self.resting.front().copied() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.free.push(port);
        }
        if self.free.is_empty() {
            return None;
        }
        let index = rng.random_range(0..self.free.len());
        self.in_use += 1;
        Some(self.free.swap_remove(index))
    }

    /// Gives a pair back; it rests first.
    pub(crate) fn release(&mut self, now: Instant, port: u16) {
        self.in_use = self
            .in_use
            .checked_sub(1)
            .expect("every release follows a take");
        self.resting.push_back((now + self.quarantine, port));
    }

    pub(crate) const fn in_use(&self) -> usize {
        self.in_use
    }

    /// Those that may not be taken yet: what has rested is freed when somebody takes one, which may be tomorrow.
    pub(crate) fn resting(&self, now: Instant) -> usize {
        let rested = self.resting.partition_point(|(until, _)| *until <= now);
        self.resting.len() - rested
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use rand::SeedableRng;

    use super::*;

    /// A call right after another must not hear the other's late packets.
    #[test]
    fn a_released_pair_rests() {
        let now = Instant::now();
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut ports = Ports::new(&(16_384..=16_387), Duration::from_secs(30));
        let first = ports.take(now, &mut rng).unwrap();
        let second = ports.take(now, &mut rng).unwrap();
        assert_eq!([first.min(second), first.max(second)], [16_384, 16_386]);
        assert_eq!(ports.take(now, &mut rng), None);
        ports.release(now, first);
        assert_eq!(ports.take(now + Duration::from_secs(29), &mut rng), None);
        assert_eq!(
            ports.take(now + Duration::from_secs(30), &mut rng),
            Some(first)
        );
        assert_eq!((ports.in_use(), ports.resting(now)), (2, 0));
    }

    /// The last port of an odd-sized range has no RTCP port beside it.
    #[test]
    fn a_pair_is_whole() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut ports = Ports::new(&(10_001..=10_004), Duration::ZERO);
        let now = Instant::now();
        assert_eq!(ports.take(now, &mut rng), Some(10_002));
        assert_eq!(ports.take(now, &mut rng), None);
    }
}
