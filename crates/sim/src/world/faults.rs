//! What the network does to datagrams.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::wire::{self, Kind};

/// The longest detour on a network that is not out of the common.
const DETOUR_MAX: Duration = Duration::from_millis(400);

/// Messages that the network has it in for: too large for a tunnel, or kept by a firewall that takes an interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlucky {
    /// Of which transactions.
    pub method: &'static str,
    /// The request, its provisional responses or its final ones.
    pub part: Part,
    /// They are overtaken, and not lost.
    pub late: bool,
}

/// A part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The request.
    Request,
    /// 100 to 199.
    Provisional,
    /// 200 and above.
    Final,
}

impl Unlucky {
    /// Whether it is one of them.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        let part = match wire::kind(&text) {
            Some(Kind::Request { .. }) => Part::Request,
            Some(Kind::Response { status: ..200 }) => Part::Provisional,
            Some(Kind::Response { .. }) => Part::Final,
            None => return false,
        };
        part == self.part && wire::cseq(&text).is_some_and(|(_, method)| method == self.method)
    }
}

/// Faults of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplicate: f64,
    /// Share of datagrams that are overtaken by later ones.
    pub reorder: f64,
    /// What is lost or overtaken far more often than the rest.
    pub unlucky: [Option<Unlucky>; 2],
    /// How much longer the way of one that is overtaken takes, at most.
    pub detour_max: Duration,
    /// Shortest way.
    pub delay_min: Duration,
    /// Longest way of a datagram that is not overtaken.
    pub delay_max: Duration,
    /// How long nothing passes at all, once, in the middle.
    pub partition: Duration,
}

impl Faults {
    /// A perfect network.
    pub const NONE: Self = Self {
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        unlucky: [None; 2],
        detour_max: DETOUR_MAX,
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(1),
        partition: Duration::ZERO,
    };

    /// One run in eight has a perfect network, so that the others have something to be compared with.
    pub(super) fn draw(rng: &mut ChaCha12Rng) -> Self {
        if rng.random_range(0..8) == 0 {
            return Self::NONE;
        }
        let delay_min = Duration::from_micros(rng.random_range(100..20_000));
        Self {
            loss: match rng.random_range(0..4) {
                0 => rng.random_range(0.0..0.3),
                _ => rng.random_range(0.0..0.15),
            },
            duplicate: rng.random_range(0.0..0.3),
            reorder: rng.random_range(0.0..0.3),
            unlucky: [None; 2],
            detour_max: DETOUR_MAX,
            delay_min,
            delay_max: delay_min + Duration::from_micros(rng.random_range(0..30_000)),
            partition: match rng.random_range(0..4) {
                0 => Duration::from_millis(rng.random_range(100..8_000)),
                _ => Duration::ZERO,
            },
        }
    }
}
