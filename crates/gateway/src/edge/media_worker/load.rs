//! How busy a worker is, and how late: by this the control side decides who gets further calls.

use std::time::{Duration, Instant};

use switchboard::{MediaEvent, WorkerId, WorkerLoad};

/// How often a worker tells. A wake-up a second costs nothing, and is soon enough to refuse the calls that would be too many.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A packet that waits for longer than the next one is due is late: browsers and telephones keep a packet or two in hand, not more.
const LATE_AFTER: Duration = Duration::from_millis(20);

/// What the kernel has counted until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// How long the worker's thread has run and has waited for a processor, together; `None` where the kernel does not tell.
    pub(super) thread: Option<Duration>,
    /// How long all threads of the process have run together.
    pub(super) process: Duration,
    /// How long they may run in each second, where a control group limits that.
    pub(super) quota: Option<Duration>,
}

/// Adds up what a worker's loop does with its time. It is told when the loop begins to wait and when it has waited.
#[derive(Debug)]
pub(super) struct LoadMeter {
    worker: WorkerId,
    since: Instant,
    woke: Instant,
    turns: Duration,
    late: Duration,
    /// How it was when the last report was made.
    looked: Option<Look>,
}

impl LoadMeter {
    pub(super) const fn new(now: Instant, worker: WorkerId) -> Self {
        Self {
            worker,
            since: now,
            woke: now,
            turns: Duration::ZERO,
            late: Duration::ZERO,
            looked: None,
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
    /// due, for which it looks at what the kernel has counted.
    pub(super) fn waits(
        &mut self,
        now: Instant,
        look: impl FnOnce() -> Look,
    ) -> Option<MediaEvent> {
        let turn = now.saturating_duration_since(self.woke);
        self.turns += turn;
        self.late += turn.saturating_sub(LATE_AFTER);
        if now < self.due() {
            return None;
        }
        let window = now.saturating_duration_since(self.since);
        let looked = look();
        let load = WorkerLoad {
            busy_percent: percent(self.turns.max(self.wanted_to_run(looked)), window),
            late_percent: percent(self.late, window),
            quota_percent: self.of_quota(looked, window),
        };
        let worker = self.worker;
        *self = Self {
            looked: Some(looked),
            ..Self::new(now, worker)
        };
        Some(MediaEvent::Load { worker, load })
    }

    /// A thread that is kept from a processor while it sleeps is as busy as one that is kept from it in a turn: what has come waits.
    fn wanted_to_run(&self, looked: Look) -> Duration {
        let before = self.looked.and_then(|before| before.thread);
        let both = looked.thread.zip(before);
        both.map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before))
    }

    /// What the process took of its quota.
    fn of_quota(&self, looked: Look, window: Duration) -> Option<u8> {
        let quota = looked.quota?.mul_f64(window.as_secs_f64());
        let ran = looked.process.saturating_sub(self.looked?.process);
        Some(percent(ran, quota))
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

    /// A kernel that tells nothing, and no limit.
    const UNTOLD: Look = Look {
        thread: None,
        process: Duration::ZERO,
        quota: None,
    };

    /// What is told of the second second, in which the loop had one turn of 100 ms.
    fn told(first: Look, second: Look) -> WorkerLoad {
        let mut now = Instant::now();
        let mut meter = LoadMeter::new(now, WorkerId(0));
        let mut last = None;
        for look in [first, second] {
            meter.wakes(now + 900 * MS, now + 900 * MS);
            now += 1_000 * MS;
            last = meter.waits(now, || look);
        }
        let Some(MediaEvent::Load { load, .. }) = last else {
            panic!("a second has gone by: {last:?}");
        };
        load
    }

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
            if let Some(MediaEvent::Load { worker, load }) = meter.waits(now, || UNTOLD) {
                assert_eq!(worker, WorkerId(3));
                assert_eq!(load.quota_percent, None);
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

    /// What stands still between two turns, since the process has used up what it may have, sleeps only by its own account.
    #[test]
    fn who_waits_for_a_processor_is_busy() {
        let had = |ms: u32| Look {
            thread: Some(ms * MS),
            ..UNTOLD
        };
        assert_eq!(told(had(50), had(950)).busy_percent, 90);
        // Time in which the whole machine stood still is counted by the clock alone.
        assert_eq!(told(had(50), had(60)).busy_percent, 10);
        assert_eq!(told(UNTOLD, had(950)).busy_percent, 10);
        assert_eq!(told(had(50), UNTOLD).busy_percent, 10);
    }

    #[test]
    fn the_process_is_measured_by_what_it_may_have() {
        let ran = |ms: u32, quota: Option<u32>| Look {
            thread: None,
            process: ms * MS,
            quota: quota.map(|ms| ms * MS),
        };
        let of_quota = |first, second| told(first, second).quota_percent;
        let half = Some(500);
        assert_eq!(of_quota(ran(70, half), ran(470, half)), Some(80));
        assert_eq!(of_quota(ran(70, None), ran(470, half)), Some(80));
        assert_eq!(of_quota(ran(70, half), ran(470, None)), None);
        assert_eq!(of_quota(ran(0, Some(1)), ran(400, Some(1))), Some(100));
        assert_eq!(
            of_quota(ran(0, Some(4_000)), ran(400, Some(4_000))),
            Some(10)
        );
    }
}
