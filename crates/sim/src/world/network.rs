//! The wire between talkbridge and SIP Server.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::faults::Faults;

/// An end of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Gateway,
    Server,
}

/// How much longer than usual a datagram takes at least that is overtaken, milliseconds.
const DETOUR_MIN_MS: u64 = 5;

/// Share of the messages that the network has it in for and that are lost or overtaken.
const BAD_LUCK: f64 = 0.7;

/// A network with faults, from a seed of its own: what people do does not change with it.
#[derive(Debug)]
pub(super) struct Network {
    faults: Faults,
    rng: ChaCha12Rng,
    /// When the partition began; it begins with the first datagram of the second half.
    partition: Option<Instant>,
    cut: bool,
    /// Nothing reaches this end until then.
    one_way: Option<(Place, Instant)>,
    carried: usize,
    injected: usize,
}

impl Network {
    pub(super) const fn new(faults: Faults, rng: ChaCha12Rng) -> Self {
        Self {
            faults,
            rng,
            partition: None,
            cut: false,
            one_way: None,
            carried: 0,
            injected: 0,
        }
    }

    pub(super) const fn faults(&self) -> Faults {
        self.faults
    }

    pub(super) const fn injected(&self) -> usize {
        self.injected
    }

    /// Something befell what it carries.
    pub(super) const fn inject(&mut self) {
        self.injected += 1;
    }

    /// Nothing befalls what it carries.
    pub(super) fn is_perfect(&self) -> bool {
        self.faults == Faults::NONE
    }

    /// Nothing arrives any more.
    pub(super) const fn is_unplugged(&self) -> bool {
        self.faults.loss >= 1.0
    }

    /// From now on everything arrives, once, in order.
    pub(super) const fn heal(&mut self) {
        self.faults = Faults::NONE;
        self.one_way = None;
    }

    /// From now on nothing arrives.
    pub(super) const fn unplug(&mut self) {
        self.faults = Faults {
            loss: 1.0,
            ..Faults::NONE
        };
    }

    /// From now on nothing passes, or as before.
    pub(super) const fn cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// Nothing reaches one end until then, and the other way is free: a route that is missing, or a firewall that forgets.
    pub(super) const fn stop(&mut self, at: Place, until: Instant) {
        self.one_way = Some((at, until));
    }

    /// How long each copy of a datagram takes; none when it is lost.
    pub(super) fn carry(&mut self, now: Instant, to: Place, bytes: &[u8]) -> Vec<Duration> {
        self.carried += 1;
        let mut unlucky = self.faults.unlucky.into_iter().flatten();
        let unlucky = unlucky.find(|these| these.is(bytes));
        if let Some(these) = unlucky.filter(|_| self.chance(BAD_LUCK)) {
            self.injected += 1;
            return if these.late {
                vec![self.delay() + self.detour()]
            } else {
                Vec::new()
            };
        }
        if self
            .one_way
            .is_some_and(|(at, until)| at == to && now < until)
        {
            self.injected += 1;
            return Vec::new();
        }
        if self.cut {
            return Vec::new();
        }
        if self.is_partitioned(now) || self.chance(self.faults.loss) {
            self.injected += 1;
            return Vec::new();
        }
        let mut copies = vec![self.delay()];
        if self.chance(self.faults.duplicate) {
            self.injected += 1;
            copies.push(self.delay());
        }
        copies
    }

    fn is_partitioned(&mut self, now: Instant) -> bool {
        if self.faults.partition.is_zero() || self.carried < 100 {
            return false;
        }
        let began = *self.partition.get_or_insert(now);
        now < began + self.faults.partition
    }

    fn delay(&mut self) -> Duration {
        let span = self.faults.delay_max - self.faults.delay_min;
        let share: f64 = self.rng.random();
        let usual = self.faults.delay_min + span.mul_f64(share);
        if self.chance(self.faults.reorder) {
            self.injected += 1;
            return usual + self.detour();
        }
        usual
    }

    fn detour(&mut self) -> Duration {
        let longest_ms = self.faults.detour_max.as_millis() as u64;
        Duration::from_millis(self.rng.random_range(DETOUR_MIN_MS..longest_ms))
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.random_bool(share)
    }
}
