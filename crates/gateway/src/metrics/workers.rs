//! How the media workers fare.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use switchboard::WorkerGauge;

use super::labels::Worker;
use super::{Gauges64, Metrics, set};

/// A share, 0 to 1.
type Shares = Family<Worker, Gauge<f64, AtomicU64>>;

/// What the workers said last; absent until they have.
#[derive(Clone, Debug, Default)]
pub(super) struct Workers {
    busy: Shares,
    late: Shares,
    quota: Shares,
    overloaded: Gauges64<Worker>,
    silent: Gauges64<Worker>,
    waiting: Gauges64<Worker>,
}

impl Metrics {
    pub(super) fn register_workers(&mut self) {
        let workers = self.workers.clone();
        self.register("talkbridge_media_busy_ratio", workers.busy);
        self.register("talkbridge_media_late_ratio", workers.late);
        self.register("talkbridge_media_quota_ratio", workers.quota);
        self.register("talkbridge_media_overloaded", workers.overloaded);
        self.register("talkbridge_media_silent", workers.silent);
        self.register("talkbridge_media_commands_waiting", workers.waiting);
    }
}

impl Workers {
    pub(super) fn collect(&self, workers: &[WorkerGauge]) {
        for (worker, gauge) in workers.iter().enumerate() {
            let label = Worker { worker };
            let overloaded = usize::from(gauge.overloaded);
            set(&self.overloaded.get_or_create(&label), overloaded);
            let silent = usize::from(gauge.silent);
            set(&self.silent.get_or_create(&label), silent);
            let Some(load) = gauge.load else { continue };
            let share = |percent: u8| f64::from(percent) / 100.0;
            self.busy
                .get_or_create(&label)
                .set(share(load.busy_percent));
            self.late
                .get_or_create(&label)
                .set(share(load.late_percent));
            match load.quota_percent {
                Some(percent) => {
                    self.quota.get_or_create(&label).set(share(percent));
                }
                None => {
                    self.quota.remove(&label);
                }
            }
        }
    }

    pub(super) fn collect_waiting(&self, sources: &[Box<dyn Fn() -> usize + Send + Sync>]) {
        for (worker, waiting) in sources.iter().enumerate() {
            set(&self.waiting.get_or_create(&Worker { worker }), waiting());
        }
    }
}
