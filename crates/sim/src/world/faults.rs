//! What the network does to datagrams.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// Faults of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplicate: f64,
    /// Share of datagrams that are overtaken by later ones.
    pub reorder: f64,
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
            delay_min,
            delay_max: delay_min + Duration::from_micros(rng.random_range(0..30_000)),
            partition: match rng.random_range(0..4) {
                0 => Duration::from_millis(rng.random_range(100..8_000)),
                _ => Duration::ZERO,
            },
        }
    }
}
