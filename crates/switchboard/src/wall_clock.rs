//! The time of day, which is shown to people and written into credentials and records. Nothing waits by it: it may be wrong, and it jumps.

use std::time::{Duration, Instant};

use crate::Switchboard;
use crate::fact::Fact;
use crate::limits::CLOCK_STEP_MIN;

/// Ties the monotonic clock to the calendar: at birth, and again whenever [`crate::Input::Clock`] says that the calendar has jumped.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// An instant.
    pub at: Instant,
    /// The same instant in milliseconds since the epoch.
    pub epoch_ms: u64,
}

impl WallClock {
    /// The time of day of an instant, also of one before [`Self::at`].
    pub(crate) fn ms(&self, instant: Instant) -> u64 {
        let later = instant.saturating_duration_since(self.at);
        let earlier = self.at.saturating_duration_since(instant);
        self.epoch_ms
            .saturating_add(milliseconds(later))
            .saturating_sub(milliseconds(earlier))
    }

    /// Whether the calendar has jumped against the monotonic clock.
    fn is_off(&self, now: Instant, epoch_ms: u64) -> bool {
        self.ms(now).abs_diff(epoch_ms) >= milliseconds(CLOCK_STEP_MIN)
    }
}

impl Switchboard {
    /// The time of day of an instant, milliseconds since the epoch.
    #[must_use]
    pub fn time_of_day_ms(&self, instant: Instant) -> u64 {
        self.clock.ms(instant)
    }

    /// Whether [`crate::Input::Clock`] with this time would change anything.
    #[must_use]
    pub fn is_clock_off(&self, now: Instant, epoch_ms: u64) -> bool {
        self.clock.is_off(now, epoch_ms)
    }

    /// Somebody has set the clock, or the machine slept. All times of a call are told by the new one, so that a record does not begin by one clock
    /// and end by the other. Credentials whose end has come nearer by it are made anew in time.
    pub(crate) fn on_clock(&mut self, now: Instant, epoch_ms: u64) {
        if !self.clock.is_off(now, epoch_ms) {
            return;
        }
        let was_ms = self.clock.ms(now);
        let clock = WallClock { at: now, epoch_ms };
        self.clock = clock;
        self.fact(Fact::ClockJumped {
            was_ms,
            is_ms: epoch_ms,
        });
        let ids: Vec<_> = self.calls.keys().copied().collect();
        for id in ids {
            if let Some(call) = self.calls.get_mut(&id) {
                call.created_ms = clock.ms(call.created);
                if let Some((at, at_ms)) = &mut call.talking {
                    *at_ms = clock.ms(*at);
                }
            }
            self.show(id);
        }
        let forward = Duration::from_millis(epoch_ms.saturating_sub(was_ms));
        self.age_turn(now, forward);
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
