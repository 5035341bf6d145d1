//! What became of records and recordings of calls.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::labels::{Reason, ResultLabel};
use super::{Counters, Metrics, Sources, raise, set};

/// Numbers that the writers count.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    cdr_written: Counter,
    cdr_lost: Counters<Reason>,
    recordings_active: Gauge,
    recordings: Counters<ResultLabel>,
    recording_lost_frames: Counter,
    live_taps: Gauge,
    live_tap_dropped_frames: Counter,
}

impl Metrics {
    pub(super) fn register_kept(&mut self) {
        let kept = self.kept.clone();
        self.register("talkbridge_cdr_written_total", kept.cdr_written);
        self.register("talkbridge_cdr_lost_total", kept.cdr_lost);
        self.register("talkbridge_recordings_active", kept.recordings_active);
        self.register("talkbridge_recordings_total", kept.recordings);
        let lost = kept.recording_lost_frames;
        self.register("talkbridge_recording_lost_frames_total", lost);
        self.register("talkbridge_live_taps", kept.live_taps);
        let dropped = kept.live_tap_dropped_frames;
        self.register("talkbridge_live_tap_dropped_frames_total", dropped);
    }
}

impl Kept {
    /// Reads what the writers have counted.
    pub(super) fn collect(&self, sources: &Sources) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let records = &sources.records;
        raise(&self.cdr_written, read(&records.written));
        for (reason, lost) in [
            ("queue", &records.lost_queue),
            ("disk", &records.lost_disk),
            ("refused", &records.left_out),
        ] {
            let counter = self.cdr_lost.get_or_create(&Reason { reason });
            raise(&counter, read(lost));
        }
        let recordings = &sources.recordings;
        let active = recordings.active.load(Ordering::Relaxed);
        set(&self.recordings_active, active);
        for (result, count) in [
            ("finished", &recordings.finished),
            ("failed", &recordings.failed),
        ] {
            let counter = self.recordings.get_or_create(&ResultLabel { result });
            raise(&counter, read(count));
        }
        raise(&self.recording_lost_frames, read(&recordings.lost_frames));
        let live = &sources.live_taps;
        set(&self.live_taps, live.open.load(Ordering::Relaxed));
        raise(&self.live_tap_dropped_frames, read(&live.dropped_frames));
    }
}
