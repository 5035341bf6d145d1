//! The end of a recording: its last octets, the disk (fsync), its name. A disk takes its time for that, and it is not taken from the calls that go on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use switchboard::{CallRef, TapId};

use super::{Open, PART, RecordingCounters, Settled, Tell, Track, lock, wav};

/// A file that nothing comes for any more.
pub(super) struct Ended {
    pub(super) tap: TapId,
    pub(super) open: Open,
    /// Why it could not be written to its end.
    pub(super) broken: Option<io::Error>,
}

/// Completes files, one after the other.
pub(super) struct Completer {
    pub(super) counters: Arc<RecordingCounters>,
    pub(super) tell: Tell,
}

impl Completer {
    /// Until the writer is gone and everything it left is complete.
    pub(super) fn run(self, endings: &Receiver<Ended>) {
        for ended in endings {
            self.complete(ended);
            self.counters.unsettled.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn complete(&self, ended: Ended) {
        let Ended { tap, open, broken } = ended;
        let Open {
            call,
            part,
            whole,
            track,
            next,
            lost,
        } = open;
        if let Some(error) = broken {
            // With it goes what it could not write. That it failed has been told.
            drop(track);
            return log_failure(&self.counters, &call, &kept(part, whole), &error);
        }
        let completed = complete(track, &part, &whole);
        let failed = completed.is_err();
        match completed {
            Ok(()) => {
                self.counters.finished.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    call = %call.call,
                    call_uuid = call.call_uuid.as_deref().unwrap_or("-"),
                    dn = %call.dn,
                    file = %whole.display(),
                    length_ms = next * 20,
                    lost_ms = lost * 20,
                    "recording complete"
                );
            }
            Err(error) => {
                log_failure(&self.counters, &call, &kept(part, whole), &error);
            }
        }
        (self.tell)(Settled { tap, failed });
    }
}

/// Counts a recording that failed, and says so.
pub(super) fn log_failure(
    counters: &RecordingCounters,
    call: &CallRef,
    file: &Path,
    error: &io::Error,
) {
    counters.failed.fetch_add(1, Ordering::Relaxed);
    tracing::error!(
        call = %call.call,
        call_uuid = call.call_uuid.as_deref().unwrap_or("-"),
        dn = %call.dn,
        file = %file.display(),
        %error,
        "recording failed"
    );
}

/// Puts a file on the disk and gives it its name.
fn complete(track: Track, part: &Path, whole: &Path) -> io::Result<()> {
    let file = track.finish()?;
    settle(&file, part, whole)
}

/// Makes what has reached the disk a recording, where its writer could not: lengths are put right where they stand, which takes no room. Where nothing that
/// sounds has reached it, nothing is left. Whether there is a recording. What another process writes is an error of the kind `WouldBlock`.
fn salvage(part: &Path, whole: &Path) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).write(true).open(part)?;
    lock(&file)?;
    // The first page of Opus alone is longer.
    if file.metadata()?.len() <= wav::HEAD.into() {
        fs::remove_file(part)?;
        return Ok(false);
    }
    if whole
        .extension()
        .is_some_and(|extension| extension == "wav")
    {
        wav::mend(&mut file)?;
    }
    settle(&file, part, whole)?;
    Ok(true)
}

/// Where that is which came before a recording failed.
fn kept(part: PathBuf, whole: PathBuf) -> PathBuf {
    match salvage(&part, &whole) {
        Ok(_) => whole,
        Err(also) => {
            tracing::debug!(%also, "a recording that failed could not be completed");
            part
        }
    }
}

fn settle(file: &File, part: &Path, whole: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(part, whole)?;
    // The name is on the disk when the folder is.
    let folder = whole.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

/// What a process left behind that ended without its leave.
pub(super) fn leftovers(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let part = entry?.path();
        if part.extension().is_some_and(|extension| extension == PART) {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// Completes what was left behind, until the process `ends`. What another gateway writes in the same folder, or has completed meanwhile, is its own business.
pub(super) fn complete_all(parts: Vec<PathBuf>, ends: &AtomicBool) {
    let mut parts = parts.into_iter();
    for part in parts.by_ref().take_while(|_| !ends.load(Ordering::Relaxed)) {
        let whole = part.with_extension("");
        let file = whole.display();
        match salvage(&part, &whole) {
            Ok(true) => tracing::info!(%file, "a recording that was left behind is complete"),
            Ok(false) => tracing::info!(%file, "a recording that was left behind held nothing"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tracing::info!(%file, "a recording is written by another process");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::debug!(%file, "a recording was completed by another process");
            }
            Err(error) => tracing::error!(%file, %error, "a recording was left behind"),
        }
    }
}
