//! Media workers that fall behind: while one does it gets no further calls, so that those it has go on being heard.
//!
//! A call lives on the worker of its agent's browser leg, so each worker is judged by itself. It says once a second how busy it was and
//! how late; one bad second is a hiccup, some in a row are too much work. Many calls may come within a second, before it can say so:
//! each is asked for what it would take, by what those took that are up. One that says nothing any more hangs: it gets none either, until it is heard.

use std::time::Instant;

use control::{AdmissionReason, GatewayMessage};

use crate::Switchboard;
use crate::call::Call;
use crate::ids::WorkerId;
use crate::io::{Fact, Output};
use crate::limits::{
    FORECAST_CALLS_MIN, OVERLOAD_AFTER_REPORTS, OVERLOAD_MARGIN_PERCENT, OVERLOAD_OVER_REPORTS,
    SILENT_AFTER_LOOKS, WORKERS_LOOK_EVERY,
};

/// What a media worker says of the second behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Share of the time in which it ran, or waited for a processor to run on, percent.
    pub busy_percent: u8,
    /// Share of the time in which a packet that came would have waited for more than a packet time before its turn, percent.
    pub late_percent: u8,
    /// What the whole process took of the processor time that it may have, percent; `None` where nothing limits it but the machine.
    pub quota_percent: Option<u8>,
}

impl WorkerLoad {
    /// What is taken of what there is to take, the worker's time or the quota of the process, whichever is scarcer, percent.
    fn taken_percent(self) -> u8 {
        self.busy_percent.max(self.quota_percent.unwrap_or(0))
    }
}

/// From which load on a media worker gets no further calls. 0 refuses every call, 100 none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverloadPolicy {
    /// A worker that is so busy, or a process that has taken so much of its quota, has nothing left for another call.
    pub busy_percent: u8,
    /// A worker that is so late is heard already.
    pub late_percent: u8,
}

impl Default for OverloadPolicy {
    fn default() -> Self {
        Self {
            busy_percent: 80,
            late_percent: 5,
        }
    }
}

impl OverloadPolicy {
    fn is_exceeded_by(self, load: WorkerLoad) -> bool {
        !is_below(load.taken_percent(), self.busy_percent, 0)
            || !is_below(load.late_percent, self.late_percent, 0)
    }

    /// Refuses every call, to show what SIP Server and the desktops make of it: for that there must be agents.
    const fn is_drill(self) -> bool {
        self.busy_percent == 0 || self.late_percent == 0
    }

    /// Clearly below: a worker that hovers at the limit does not open and shut.
    fn is_relieved_by(self, load: WorkerLoad) -> bool {
        is_below(
            load.taken_percent(),
            self.busy_percent,
            OVERLOAD_MARGIN_PERCENT,
        ) && is_below(load.late_percent, self.late_percent, 0)
    }
}

/// Whether a share is below its limit by a margin. Every share is below all of it.
const fn is_below(percent: u8, limit: u8, margin: u8) -> bool {
    limit >= 100 || percent < limit.saturating_sub(margin)
}

/// A media worker at this moment, for gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerGauge {
    /// What it said last; `None` until it has.
    pub load: Option<WorkerLoad>,
    /// It gets no further calls, as it has too much to do.
    pub overloaded: bool,
    /// It has reported, and does so no longer: it hangs, and gets no further calls.
    pub silent: bool,
}

impl WorkerGauge {
    /// It gets further calls.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.overloaded && !self.silent
    }
}

/// A worker as its reports show it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    shown: WorkerGauge,
    /// Reports in a row that speak for a change.
    against: u8,
    /// Looks in a row that found no new report.
    unheard: u8,
    /// Calls that were up at its last report, and at the one before: what it was busy with was between the two.
    calls: [usize; 2],
}

impl Watch {
    /// One report; whether it is overloaded now, where that has changed.
    fn report(&mut self, load: WorkerLoad, policy: OverloadPolicy) -> Option<bool> {
        self.shown.load = Some(load);
        let (speaks_for_change, needed) = if self.shown.overloaded {
            (policy.is_relieved_by(load), OVERLOAD_OVER_REPORTS)
        } else {
            (policy.is_exceeded_by(load), OVERLOAD_AFTER_REPORTS)
        };
        if !speaks_for_change {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.shown.overloaded = !self.shown.overloaded;
        Some(self.shown.overloaded)
    }

    /// Nothing has come since the look before; whether it counts as silent from now on. A worker that has never said anything has yet to start.
    fn is_silent_now(&mut self) -> bool {
        if self.shown.load.is_none() || self.shown.silent {
            return false;
        }
        self.unheard += 1;
        self.shown.silent = self.unheard > SILENT_AFTER_LOOKS;
        self.shown.silent
    }

    /// Its calls do not triple within a second: what is far from the limit need not be counted at each call.
    fn is_worth_a_forecast(&self, policy: OverloadPolicy) -> bool {
        let load = self.shown.load;
        load.is_some_and(|load| !is_below(load.busy_percent, policy.busy_percent / 3, 0))
    }

    /// Whether so many calls would take it to its limit, each as much as those that were up in its last report. What the process took of its quota says
    /// little of that: other workers' calls and agents who sign in are in it.
    fn has_no_time_for(&self, calls: usize, policy: OverloadPolicy) -> bool {
        let measured = self.calls[0].min(self.calls[1]);
        let Some(load) = self.shown.load.filter(|_| measured >= FORECAST_CALLS_MIN) else {
            return false;
        };
        let busy = usize::from(load.busy_percent) * calls / measured;
        let busy = u8::try_from(busy).unwrap_or(u8::MAX);
        !is_below(busy, policy.busy_percent, 0)
    }
}

impl Switchboard {
    /// A worker tells how it fares. Its agents' pages are told when that changes what they can expect.
    pub(crate) fn on_worker_load(&mut self, worker: WorkerId, load: WorkerLoad) {
        let policy = self.config.policy.overload;
        let calls = self.calls_on(worker, Call::is_up);
        let Some(watch) = self.workers.get_mut(worker.0) else {
            return;
        };
        watch.calls = [calls, watch.calls[0]];
        watch.unheard = 0;
        let is_first = watch.shown.load.is_none();
        let is_back = std::mem::take(&mut watch.shown.silent);
        let changed = watch.report(load, policy).is_some();
        if is_first {
            self.arm_workers(self.turn + WORKERS_LOOK_EVERY);
        }
        if changed || is_back {
            self.admission_changed(worker);
        }
    }

    /// Looks which workers have said nothing since the look before. Looks are counted and not the time, so that after a pause of the whole process, in
    /// which reports were made that nobody has read, no worker counts as silent.
    pub(crate) fn look_at_workers(&mut self, now: Instant) {
        for index in 0..self.workers.len() {
            if self.workers[index].is_silent_now() {
                self.admission_changed(WorkerId(index));
            }
        }
        self.arm_workers(now + WORKERS_LOOK_EVERY);
    }

    /// Whether a worker takes calls, or why not, is other than before.
    fn admission_changed(&mut self, worker: WorkerId) {
        let Some(shown) = self.workers.get(worker.0).map(|watch| watch.shown) else {
            return;
        };
        let overloaded = !shown.is_open();
        self.fact(Fact::Overload {
            worker,
            overloaded,
            silent: shown.silent,
            load: shown.load.unwrap_or_default(),
        });
        let pages: Vec<_> = self
            .agents
            .values()
            .filter_map(|agent| agent.session.as_ref())
            .filter(|session| session.worker == worker)
            .filter_map(crate::agent::Session::page)
            .collect();
        for page in pages {
            let message = admission(overloaded);
            self.emit(Output::Page { page, message });
        }
    }

    /// This worker gets no further calls.
    pub(crate) fn is_overloaded(&self, worker: WorkerId) -> bool {
        self.workers
            .get(worker.0)
            .is_some_and(|watch| !watch.shown.is_open())
    }

    /// This worker takes no further agents: their handshakes would be at the cost of those who talk, and come to nothing.
    pub(crate) fn is_shut_to_agents(&self, worker: WorkerId) -> bool {
        let drill = self.config.policy.overload.is_drill();
        self.workers
            .get(worker.0)
            .is_some_and(|watch| watch.shown.silent || watch.shown.overloaded && !drill)
    }

    /// Another call would be one too many for this worker.
    pub(crate) fn has_no_time_for_a_call(&self, worker: WorkerId) -> bool {
        let policy = self.config.policy.overload;
        let calls = || self.calls_on(worker, |call| !call.is_ending()) + 1;
        self.workers.get(worker.0).is_some_and(|watch| {
            !watch.shown.is_open()
                || watch.is_worth_a_forecast(policy) && watch.has_no_time_for(calls(), policy)
        })
    }

    fn calls_on(&self, worker: WorkerId, which: impl Fn(&Call) -> bool) -> usize {
        let calls = self.calls.values();
        calls
            .filter(|call| call.worker == worker && which(call))
            .count()
    }

    /// Every worker, in the order of their numbers.
    pub(crate) fn worker_gauges(&self) -> Vec<WorkerGauge> {
        self.workers.iter().map(|watch| watch.shown).collect()
    }
}

/// What a page is told.
pub(crate) fn admission(overloaded: bool) -> GatewayMessage {
    GatewayMessage::Admission {
        open: !overloaded,
        reason: overloaded.then_some(AdmissionReason::Overload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: OverloadPolicy = OverloadPolicy {
        busy_percent: 90,
        late_percent: 5,
    };

    fn told(reports: &[(u8, u8)]) -> Vec<Option<bool>> {
        let mut watch = Watch::default();
        let report = |&(busy_percent, late_percent): &(u8, u8)| {
            let load = WorkerLoad {
                busy_percent,
                late_percent,
                quota_percent: None,
            };
            watch.report(load, POLICY)
        };
        reports.iter().map(report).collect()
    }

    /// One bad second is a hiccup; a good one in between starts the count anew.
    #[test]
    fn some_bad_seconds_in_a_row_are_an_overload() {
        assert_eq!(told(&[(95, 0), (95, 0), (95, 0)]), [None, None, Some(true)]);
        assert_eq!(told(&[(0, 5), (90, 0), (20, 80)]), [None, None, Some(true)]);
        assert_eq!(
            told(&[(95, 0), (89, 4), (95, 0), (95, 0)]),
            [None, None, None, None]
        );
    }

    /// A worker that hovers at the limit stays shut; one that is clearly below for a while opens.
    #[test]
    fn it_takes_longer_to_trust_it_again() {
        let mut reports = vec![(95, 0); 3];
        reports.extend([(85, 0); 9]);
        reports.extend([
            (79, 0),
            (79, 0),
            (79, 5),
            (79, 0),
            (79, 0),
            (79, 0),
            (79, 0),
        ]);
        let quiet = told(&reports);
        assert_eq!(quiet.iter().flatten().count(), 1, "{quiet:?}");
        reports.push((79, 4));
        assert_eq!(told(&reports).last(), Some(&Some(false)));
    }

    /// A process that has taken up what it may have stands still, however little its workers do.
    #[test]
    fn the_scarcer_of_time_and_quota_counts() {
        let reports = |busy_percent, quota_percent| {
            let mut watch = Watch::default();
            let load = WorkerLoad {
                busy_percent,
                late_percent: 0,
                quota_percent,
            };
            (0..3).find_map(|_| watch.report(load, POLICY))
        };
        assert_eq!(reports(20, Some(90)), Some(true));
        assert_eq!(reports(90, Some(20)), Some(true));
        assert_eq!(reports(20, Some(89)), None);
    }

    /// A limit of 0 is a drill: no load is below it. One of 100 is none.
    #[test]
    fn the_ends_of_the_scale() {
        let changes = |busy_percent, load: WorkerLoad| -> Vec<bool> {
            let policy = OverloadPolicy {
                busy_percent,
                late_percent: 100,
            };
            let mut watch = Watch::default();
            (0..20).filter_map(|_| watch.report(load, policy)).collect()
        };
        assert_eq!(changes(0, WorkerLoad::default()), [true]);
        let all = WorkerLoad {
            busy_percent: 100,
            late_percent: 100,
            quota_percent: Some(100),
        };
        assert!(changes(100, all).is_empty());
    }
}
