//! Where what was said stands in what was heard: the delay of each moment, by correlation, because a playout delay changes.

use media::codec::Rate;

/// Both are compared at 2 kHz.
const COARSE_PER_MS: usize = 2;
const BLOCK: usize = 240 * COARSE_PER_MS;
const HOP: usize = BLOCK / 2;

/// As far from the block before it is looked first, and when that fails.
const NEAR: i64 = 20 * COARSE_PER_MS as i64;
const FAR: i64 = 200 * COARSE_PER_MS as i64;

/// Good enough not to look further.
const FOUND: f32 = 0.6;

/// What a millisecond of another delay must bring: a voice is like itself one period later as well.
const PENALTY: f32 = 0.005;

/// Blocks below this mean amplitude are silence, and have the delay of the block before.
const QUIET: f32 = 60.0;

#[derive(Debug)]
pub struct Alignment {
    /// In samples at 2 kHz, one per hop.
    lags: Vec<i64>,
    rate: Rate,
}

fn coarse(samples: &[i16], rate: Rate) -> Vec<f32> {
    let step = rate.per_ms() / COARSE_PER_MS;
    // Smoothed, so that half a step of delay does not matter.
    samples
        .windows(4 * step)
        .step_by(step)
        .map(|around| around.iter().map(|s| f32::from(*s)).sum::<f32>() / (4 * step) as f32)
        .collect()
}

fn alike(block: &[f32], heard: &[f32], at: i64) -> f32 {
    let Ok(at) = usize::try_from(at) else {
        return -1.0;
    };
    let Some(other) = heard.get(at..at + block.len()) else {
        return -1.0;
    };
    let (mut cross, mut one, mut two) = (0.0, 1.0, 1.0);
    for (a, b) in block.iter().zip(other) {
        cross += a * b;
        one += a * a;
        two += b * b;
    }
    cross / (one * two).sqrt()
}

impl Alignment {
    pub fn of(said: &[i16], heard: &[i16], rate: Rate) -> Self {
        let (said, heard) = (coarse(said, rate), coarse(heard, rate));
        let mut lags = Vec::new();
        let mut lag = 60 * COARSE_PER_MS as i64;
        for (n, block) in said.windows(BLOCK).step_by(HOP).enumerate() {
            let from = (n * HOP) as i64;
            let mean = block.iter().map(|s| s.abs()).sum::<f32>() / BLOCK as f32;
            if mean > QUIET {
                let best = |range: i64, stride: usize| {
                    (lag - range..=lag + range)
                        .step_by(stride)
                        .filter(|other| *other >= 0)
                        .map(|other| {
                            let moved = (other - lag).abs() as f32 / COARSE_PER_MS as f32;
                            (alike(block, &heard, from + other) - PENALTY * moved, other)
                        })
                        .max_by(|one, two| one.0.total_cmp(&two.0))
                };
                let near = best(NEAR, 1);
                let found = near.filter(|(value, _)| *value >= FOUND);
                if let Some((value, at)) = found.or_else(|| best(FAR, 1))
                    && value > 0.0
                {
                    lag = at;
                }
            }
            lags.push(lag);
        }
        Self { lags, rate }
    }

    /// How many samples later the sample at `position` was heard.
    pub fn lag(&self, position: usize) -> usize {
        let step = self.rate.per_ms() / COARSE_PER_MS;
        let block = (position / step).saturating_sub(HOP / 2) / HOP;
        let lag = self.lags.get(block).or(self.lags.last());
        lag.map_or(0, |lag| *lag as usize * step)
    }

    /// The mean delay in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        let sum: i64 = self.lags.iter().sum();
        sum as f64 / self.lags.len().max(1) as f64 / COARSE_PER_MS as f64
    }
}
