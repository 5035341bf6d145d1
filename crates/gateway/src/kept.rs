//! What is kept of calls on disk: their records and their recordings.

use std::sync::Arc;

use crate::assemble;
use crate::config::Config;
use crate::edge::cdr::{RecordFile, RecordSink};
use crate::edge::recording::Recorder;
use crate::edge::taps::{LiveTaps, TapSink};
use crate::metrics::Sources;
use crate::requests::{Asker, Request};
use crate::run::RunError;

/// The writers, where the configuration names a place for them. Dropping it writes what still waits.
#[derive(Debug)]
pub struct Kept {
    records: Option<RecordFile>,
    recorder: Option<Recorder>,
    live: Arc<LiveTaps>,
}

impl Kept {
    /// Opens what the configuration names.
    ///
    /// # Errors
    ///
    /// When the file or the folder cannot be used.
    pub fn open(config: &Config, sources: &Sources, asker: &Asker) -> Result<Self, RunError> {
        Ok(Self {
            records: open_records(config, sources)?,
            recorder: start_recorder(config, sources, asker)?,
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
    asker: &Asker,
) -> Result<Option<Recorder>, RunError> {
    let Some(settings) = assemble::recorder(config) else {
        return Ok(None);
    };
    let asker = asker.clone();
    let failed = move |tap| {
        if !asker.tell_now(Request::RecordingFailed(tap)) {
            tracing::error!("a failed recording could not be told");
        }
    };
    let started = Recorder::start(settings, Arc::clone(&sources.recordings), Arc::new(failed));
    started.map(Some).map_err(|error| RunError::Start {
        what: "recording.folder",
        error,
    })
}
