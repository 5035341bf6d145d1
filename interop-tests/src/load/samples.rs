//! Durations of one kind, and what they amount to.

use std::time::Duration;

use serde::Serialize;

/// Durations, kept in full: a percentile that nobody can argue with.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// Nanoseconds; 4.29 s and more are one.
    nanoseconds: Vec<u32>,
}

/// The percentiles that are shown, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of all were as short as this.
    pub p50_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// How many there were.
    pub count: usize,
}

impl Samples {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.add_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds one given in nanoseconds.
    pub fn add_ns(&mut self, nanoseconds: u64) {
        self.nanoseconds
            .push(u32::try_from(nanoseconds).unwrap_or(u32::MAX));
    }

    /// Adds all of another's.
    pub fn join(&mut self, other: &Self) {
        self.nanoseconds.extend(&other.nanoseconds);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nanoseconds.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nanoseconds.is_empty()
    }

    /// What they amount to; `None` when there is none.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted = self.nanoseconds.clone();
        sorted.sort_unstable();
        let last = *sorted.last()?;
        // Nearest rank: the smallest that is not below the wanted share of all.
        let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100) - 1];
        let ms = |nanoseconds: u32| f64::from(nanoseconds) / 1e6;
        Some(Percentiles {
            p50_ms: ms(rank(50)),
            p99_ms: ms(rank(99)),
            max_ms: ms(last),
            count: sorted.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        assert_eq!(Samples::default().percentiles(), None);
        let mut samples = Samples::default();
        for ms in (1..=200).rev() {
            samples.add(Duration::from_millis(ms));
        }
        let found = samples.percentiles().unwrap();
        assert_eq!(
            (found.p50_ms, found.p99_ms, found.max_ms),
            (100.0, 198.0, 200.0)
        );
        assert_eq!(found.count, 200);
    }
}
