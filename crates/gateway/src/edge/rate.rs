//! A bucket of permits that fills at a steady rate.

use tokio::time::Instant;

/// How often something may happen: `per_s` in the long run, a burst of some seconds' worth at once.
#[derive(Debug)]
pub struct Rate {
    per_s: f64,
    capacity: f64,
    permits: f64,
    filled: Instant,
}

impl Rate {
    /// A full bucket of `burst_factor` seconds' worth.
    #[must_use]
    pub fn new(per_s: u32, burst_factor: u32, now: Instant) -> Self {
        let capacity = f64::from(per_s) * f64::from(burst_factor);
        Self {
            per_s: f64::from(per_s),
            capacity,
            permits: capacity,
            filled: now,
        }
    }

    /// Takes one permit, or says that there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed_s = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.permits = elapsed_s
            .mul_add(self.per_s, self.permits)
            .min(self.capacity);
        if self.permits < 1.0 {
            return false;
        }
        self.permits -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_the_rate_holds_after_it() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 2, start);
        assert_eq!((0..30).filter(|_| rate.take(start)).count(), 20);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..30).filter(|_| rate.take(later)).count(), 5);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..30).filter(|_| rate.take(much_later)).count(), 20);
    }
}
