//! Log lines that anybody outside can cause: one in an interval, and how many were left out since the last.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits::SPARING_LINE_EVERY;

/// The turnstile of one kind of line.
#[derive(Debug, Default)]
pub struct Sparing {
    /// When the last line was written, and what has happened unsaid since.
    last: Mutex<(Option<Instant>, u64)>,
}

impl Sparing {
    /// Whether a line is written now; if so, how many were left out before it.
    #[must_use]
    pub fn line(&self, now: Instant) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, unsaid) = &mut *last;
        if written.is_some_and(|at| now.saturating_duration_since(at) < SPARING_LINE_EVERY) {
            *unsaid = unsaid.saturating_add(1);
            return None;
        }
        *written = Some(now);
        Some(std::mem::take(unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_an_interval_tells_of_those_before_it() {
        let start = Instant::now();
        let lines = Sparing::default();
        assert_eq!(lines.line(start), Some(0));
        for _ in 0..500 {
            assert_eq!(lines.line(start + SPARING_LINE_EVERY / 2), None);
        }
        assert_eq!(lines.line(start + SPARING_LINE_EVERY), Some(500));
        assert_eq!(lines.line(start + SPARING_LINE_EVERY), None);
        assert_eq!(lines.line(start + SPARING_LINE_EVERY * 3), Some(1));
    }
}
