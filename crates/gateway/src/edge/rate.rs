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

/// Lines that anybody outside can cause: so many a second, and how many were left out since the last.
#[derive(Debug)]
pub struct RatedLines {
    rate: Rate,
    unsaid: u64,
}

impl RatedLines {
    /// As many lines as `rate` has permits.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self { rate, unsaid: 0 }
    }

    /// Whether a line is written now; if so, how many were left out before it.
    pub fn line(&mut self, now: Instant) -> Option<u64> {
        if !self.rate.take(now) {
            self.unsaid = self.unsaid.saturating_add(1);
            return None;
        }
        Some(std::mem::take(&mut self.unsaid))
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

    #[test]
    fn a_line_tells_how_many_were_left_out_before_it() {
        let start = Instant::now();
        let mut lines = RatedLines::new(Rate::new(1, 2, start));
        assert_eq!((lines.line(start), lines.line(start)), (Some(0), Some(0)));
        for _ in 0..7 {
            assert_eq!(lines.line(start), None);
        }
        let later = start + Duration::from_secs(1);
        assert_eq!((lines.line(later), lines.line(later)), (Some(7), None));
    }
}
