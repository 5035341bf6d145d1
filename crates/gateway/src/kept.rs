//! What is kept of calls on disk: their records and their recordings.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::UnboundedSender;

use crate::assemble;
use crate::config::Config;
use crate::edge::cdr::{RecordFile, RecordSink};
use crate::edge::recording::{Recorder, RecordingCounters, Settled};
use crate::edge::taps::{LiveTaps, TapSink};
use crate::metrics::Sources;
use crate::run::RunError;

/// The writers, where the configuration names a place for them. Dropping it writes what still waits.
#[derive(Debug)]
pub struct Kept {
    records: Option<RecordFile>,
    recorder: Option<Recorder>,
    recordings: Arc<RecordingCounters>,
    live: Arc<LiveTaps>,
}

impl Kept {
    /// Opens what the configuration names. What becomes of each recording is told by `settled`, which holds one message for each that was begun.
    ///
    /// # Errors
    ///
    /// When the file or the folder cannot be used.
    pub fn open(
        config: &Config,
        sources: &Sources,
        settled: UnboundedSender<Settled>,
    ) -> Result<Self, RunError> {
        Ok(Self {
            records: open_records(config, sources)?,
            recorder: start_recorder(config, sources, settled)?,
            recordings: Arc::clone(&sources.recordings),
            live: Arc::clone(&sources.live_taps),
        })
    }

    /// The way to the file of call records.
    #[must_use]
    pub fn records(&self) -> Option<RecordSink> {
        self.records.as_ref().map(RecordFile::sink)
    }

    /// Those who listen to calls live.
    #[must_use]
    pub fn live(&self) -> Arc<LiveTaps> {
        Arc::clone(&self.live)
    }

    /// What tells, also while it is dropped, how many recordings have not got their names yet.
    pub fn unsettled(&self) -> impl Fn() -> usize + use<> {
        let recordings = Arc::clone(&self.recordings);
        move || recordings.unsettled.load(Ordering::Relaxed)
    }

    /// The writers, to be dropped apart: each may wait for a disk of its own.
    pub(crate) fn into_writers(self) -> (Option<RecordFile>, Option<Recorder>) {
        (self.records, self.recorder)
    }

    /// Where the samples of calls go.
    #[must_use]
    pub fn taps(&self) -> TapSink {
        let recordings = self.recorder.as_ref().map(Recorder::sink);
        TapSink::new(recordings, Arc::clone(&self.live))
    }
}

/// The file of call records, where the configuration names one.
fn open_records(config: &Config, sources: &Sources) -> Result<Option<RecordFile>, RunError> {
    let counters = &sources.records;
    let open = |path| RecordFile::open(path, Arc::clone(counters));
    let file = config.cdr.file.as_deref().map(open);
    file.transpose().map_err(|error| RunError::Start {
        what: "cdr.file",
        error,
    })
}

/// The writer of recordings, where the configuration names a folder.
fn start_recorder(
    config: &Config,
    sources: &Sources,
    settled: UnboundedSender<Settled>,
) -> Result<Option<Recorder>, RunError> {
    let Some(settings) = assemble::recorder(config) else {
        return Ok(None);
    };
    // A control loop that is gone has no page and no record to tell.
    let tell = move |end| {
        let _ = settled.send(end);
    };
    let started = Recorder::start(settings, Arc::clone(&sources.recordings), Arc::new(tell));
    started.map(Some).map_err(|error| RunError::Start {
        what: "recording.folder",
        error,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use switchboard::{CallId, CallRef, RecordingCommand, TapId};
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// A folder that is gone fails every recording of a busy site at once: each page and each record is told, however long the control loop takes.
    #[test]
    fn no_failure_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("gone");
        let text = include_str!("../../../conf/talkbridge.minimal.toml");
        let mut config = crate::config::parse("minimal".as_ref(), text, &|_| None)
            .unwrap()
            .config;
        config.recording.folder = Some(folder.clone());
        let (settled, mut told) = unbounded_channel();
        let kept = Kept::open(&config, &Sources::default(), settled).unwrap();
        std::fs::remove_dir(folder).unwrap();
        let taps = kept.taps();
        for tap in 0..200 {
            let call = CallRef {
                call: CallId(tap),
                call_uuid: None,
                dn: "1002".to_owned(),
            };
            taps.command(RecordingCommand::Open {
                tap: TapId(tap),
                call,
                name: format!("{tap}.wav"),
            });
        }
        drop((taps, kept));
        for tap in (0..200).map(TapId) {
            assert_eq!(told.blocking_recv(), Some(Settled { tap, failed: true }));
        }
    }
}
