//! How busy a worker is, and how late: by this the control side decides who gets further calls.

use std::time::{Duration, Instant};

use switchboard::{MediaEvent, WorkerId, WorkerLoad};

/// How often a worker tells. A wake-up a second costs nothing, and is soon enough to refuse the calls that would be too many.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A packet that waits for longer than the next one is due is late: browsers and telephones keep a packet or two in hand, not more.
const LATE_AFTER: Duration = Duration::from_millis(20);

/// Adds up what a worker's loop does with its time. It is told when the loop begins to wait and when it has waited.
#[derive(Debug)]
pub(super) struct LoadMeter {
    worker: WorkerId,
    since: Instant,
    woke: Instant,
    busy: Duration,
    late: Duration,
}

impl LoadMeter {
    pub(super) const fn new(now: Instant, worker: WorkerId) -> Self {
        Self {
            worker,
            since: now,
            woke: now,
            busy: Duration::ZERO,
            late: Duration::ZERO,
        }
    }

    /// When the next report is due.
    pub(super) fn due(&self) -> Instant {
        self.since + TELL_EVERY
    }

    /// The loop has waited, and wanted to be back at `wanted` at the latest. What it overslept, whatever came has waited for.
    pub(super) fn wakes(&mut self, now: Instant, wanted: Instant) {
        let overslept = now.saturating_duration_since(wanted);
        self.late += overslept.saturating_sub(LATE_AFTER);
        self.woke = now;
    }

    /// The loop begins to wait: what came since it woke has waited for as long as the turn took, at worst. Yields the report when it is
    /// due.
    pub(super) fn waits(&mut self, now: Instant) -> Option<MediaEvent> {
        let turn = now.saturating_duration_since(self.woke);
        self.busy += turn;
        self.late += turn.saturating_sub(LATE_AFTER);
        if now < self.due() {
            return None;
        }
        let window = now.saturating_duration_since(self.since);
        let load = WorkerLoad {
            busy_percent: percent(self.busy, window),
            late_percent: percent(self.late, window),
        };
        *self = Self::new(now, self.worker);
        let worker = self.worker;
        Some(MediaEvent::Load { worker, load })
    }
}

fn percent(share: Duration, of: Duration) -> u8 {
    let whole = of.as_micros().max(1);
    let percent = share.as_micros().saturating_mul(100) / whole;
    u8::try_from(percent.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs turns of a loop: it wakes so much after its time, works so long, then waits until the next turn.
    fn reports(turns: &[(u32, u32, u32)]) -> Vec<(u8, u8)> {
        let mut now = Instant::now();
        let mut meter = LoadMeter::new(now, WorkerId(3));
        let mut told = Vec::new();
        for (overslept, turn, wait) in turns {
            let wanted = now;
            now += MS * *overslept;
            meter.wakes(now, wanted);
            now += MS * *turn;
            if let Some(MediaEvent::Load { worker, load }) = meter.waits(now) {
                assert_eq!(worker, WorkerId(3));
                told.push((load.busy_percent, load.late_percent));
            }
            now += MS * *wait;
        }
        told
    }

    #[test]
    fn half_of_the_time_is_fifty_percent() {
        assert_eq!(reports(&[(0, 5, 5); 101]), [(50, 0)]);
        assert_eq!(reports(&[(0, 0, 1_000); 2]), [(0, 0)]);
    }

    /// Short turns are busy and not late; long ones are both; a machine that has no time for the worker makes it late and not busy.
    #[test]
    fn late_is_what_a_packet_would_wait_for() {
        assert_eq!(reports(&[(0, 10, 0); 100]), [(100, 0)]);
        assert_eq!(reports(&[(0, 40, 0); 25]), [(100, 50)]);
        assert_eq!(reports(&[(40, 10, 0); 20]), [(20, 40)]);
    }
}
