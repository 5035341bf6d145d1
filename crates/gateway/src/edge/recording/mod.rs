//! Recordings: a thread that takes samples of calls from the media workers and writes them into files.
//!
//! A call never waits for a disk. Samples go through a queue that is bounded; what finds it full is left out, counted, and silence in the file, so that
//! everything else stays where it was said. A file is called `.part` until it is whole: then it is on the disk (fsync) and takes its name in one step. What a
//! former process left behind as `.part` is completed at the start.

mod opus;
mod wav;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use media::codec::Rate;
use media::tap::{TAP_FRAME_MAX, TapFrame};
use switchboard::{CallRef, RecordingCommand, TapId};

use crate::limits::{RECORDING_FRAMES_MAX, RECORDING_GAP_FRAMES_MAX};

/// What files are behind.
pub(crate) const PART: &str = "part";

/// How recordings are written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder.
    pub folder: PathBuf,
    /// What is in a file.
    pub format: Format,
    /// Samples per second of each direction.
    pub rate: Rate,
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Samples of 16 bits, two channels.
    Wav,
    /// Opus in Ogg (RFC 7845), two channels.
    Opus,
}

/// What became of recordings.
#[derive(Debug, Default)]
pub struct RecordingCounters {
    /// Files that are being written.
    pub active: AtomicUsize,
    /// Files that are whole.
    pub finished: AtomicU64,
    /// Files that could not be written to their end.
    pub failed: AtomicU64,
    /// Frames of 20 ms that are silence because the disk was too slow.
    pub lost_frames: AtomicU64,
}

#[derive(Debug)]
enum Order {
    Command(RecordingCommand),
    Frame {
        tap: TapId,
        number: u64,
        samples: Box<[i16]>,
    },
    End,
}

/// Takes samples and commands; never blocks.
#[derive(Clone, Debug)]
pub struct RecordingSink {
    queue: Sender<Order>,
    /// Frames in the queue; commands are few and always find a place.
    waiting: Arc<AtomicUsize>,
}

impl RecordingSink {
    /// What the switchboard decided.
    pub fn command(&self, command: RecordingCommand) {
        // The thread ends with the process only.
        let _ = self.queue.send(Order::Command(command));
    }

    /// Samples of a call. The frame is left out when too many wait; its number tells the writer so.
    pub fn frame(&self, frame: &TapFrame<'_>) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= RECORDING_FRAMES_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let _ = self.queue.send(Order::Frame {
            tap: TapId(frame.tap.0),
            number: frame.number,
            samples: frame.samples.into(),
        });
    }
}

/// Hears which recordings failed. Called from the writer's thread.
pub type Failed = Box<dyn Fn(TapId) + Send>;

/// The writer's thread. Dropping it completes every file.
#[derive(Debug)]
pub struct Recorder {
    sink: RecordingSink,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Makes the folder, completes what a former process left there, and starts the thread.
    ///
    /// # Errors
    /// When the folder cannot be made or read, or no thread can be started.
    pub fn start(
        settings: Settings,
        counters: Arc<RecordingCounters>,
        failed: Failed,
    ) -> io::Result<Self> {
        fs::create_dir_all(&settings.folder)?;
        complete_leftovers(&settings.folder)?;
        let (queue, orders) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            settings,
            counters,
            failed,
            waiting: Arc::clone(&waiting),
            files: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || writer.run(&orders))?;
        Ok(Self {
            sink: RecordingSink { queue, waiting },
            thread: Some(thread),
        })
    }

    /// A way to its queue.
    #[must_use]
    pub fn sink(&self) -> RecordingSink {
        self.sink.clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let told = self.sink.queue.send(Order::End);
        if let Some(thread) = self.thread.take()
            && told.is_ok()
            && thread.join().is_err()
        {
            tracing::error!("the writer of recordings panicked");
        }
    }
}

/// What a file is written by.
enum Track {
    Wav(wav::Track),
    Opus(Box<opus::Track>),
}

impl Track {
    fn begin(file: File, settings: &Settings) -> io::Result<Self> {
        Ok(match settings.format {
            Format::Wav => Self::Wav(wav::Track::begin(file, settings.rate)?),
            Format::Opus => Self::Opus(Box::new(opus::Track::begin(file, settings.rate)?)),
        })
    }

    fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        match self {
            Self::Wav(track) => track.write(samples),
            Self::Opus(track) => track.write(samples),
        }
    }

    /// The file, whole but not yet on the disk.
    fn finish(self) -> io::Result<File> {
        match self {
            Self::Wav(track) => track.finish(),
            Self::Opus(track) => (*track).finish(),
        }
    }
}

/// A file that is being written.
struct Open {
    call: CallRef,
    part: PathBuf,
    whole: PathBuf,
    track: Track,
    /// The frame that comes next.
    next: u64,
    lost: u64,
}

struct Writer {
    settings: Settings,
    counters: Arc<RecordingCounters>,
    failed: Failed,
    waiting: Arc<AtomicUsize>,
    files: HashMap<TapId, Open>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Command(RecordingCommand::Open { tap, call, name }) => {
                    self.open(tap, call, &name);
                }
                Order::Command(RecordingCommand::Close { tap }) => self.close(tap),
                Order::Frame {
                    tap,
                    number,
                    samples,
                } => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    self.write(tap, number, &samples);
                }
                Order::End => break,
            }
        }
        let left: Vec<TapId> = self.files.keys().copied().collect();
        for tap in left {
            self.close(tap);
        }
    }

    fn open(&mut self, tap: TapId, call: CallRef, name: &str) {
        let whole = self.settings.folder.join(name);
        let part = part_of(&whole);
        let begun = create(&part).and_then(|file| Track::begin(file, &self.settings));
        match begun {
            Ok(track) => {
                let open = Open {
                    call,
                    part,
                    whole,
                    track,
                    next: 0,
                    lost: 0,
                };
                self.files.insert(tap, open);
                self.count_active();
            }
            Err(error) => self.give_up(tap, &call, &part, &error),
        }
    }

    fn write(&mut self, tap: TapId, number: u64, samples: &[i16]) {
        // What was given up, or closed, has no more.
        let Some(open) = self.files.get_mut(&tap) else {
            return;
        };
        let missing = number.saturating_sub(open.next);
        open.lost += missing;
        self.counters
            .lost_frames
            .fetch_add(missing, Ordering::Relaxed);
        let silence = [0; TAP_FRAME_MAX];
        let silence = &silence[..samples.len().min(TAP_FRAME_MAX)];
        let fill = missing.min(RECORDING_GAP_FRAMES_MAX);
        let filled = (0..fill).try_for_each(|_| open.track.write(silence));
        open.next = number + 1;
        if let Err(error) = filled.and_then(|()| open.track.write(samples))
            && let Some(open) = self.files.remove(&tap)
        {
            self.count_active();
            let Open {
                call,
                part,
                whole,
                track,
                ..
            } = open;
            // With it goes what it could not write.
            drop(track);
            self.give_up(tap, &call, &kept(part, whole), &error);
        }
    }

    fn close(&mut self, tap: TapId) {
        let Some(open) = self.files.remove(&tap) else {
            return;
        };
        self.count_active();
        let Open {
            call, part, whole, ..
        } = open;
        let (lost_ms, length_ms) = (open.lost * 20, open.next * 20);
        match complete(open.track, &part, &whole) {
            Ok(()) => {
                self.counters.finished.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    call = %call.call,
                    call_uuid = call.call_uuid.as_deref().unwrap_or("-"),
                    dn = %call.dn,
                    file = %whole.display(),
                    length_ms,
                    lost_ms,
                    "recording complete"
                );
            }
            Err(error) => self.give_up(tap, &call, &kept(part, whole), &error),
        }
    }

    fn give_up(&self, tap: TapId, call: &CallRef, file: &Path, error: &io::Error) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            call = %call.call,
            call_uuid = call.call_uuid.as_deref().unwrap_or("-"),
            dn = %call.dn,
            file = %file.display(),
            %error,
            "recording failed"
        );
        (self.failed)(tap);
    }

    fn count_active(&self) {
        let active = self.files.len();
        self.counters.active.store(active, Ordering::Relaxed);
    }
}

/// Recordings are nobody's business but the group's that is to have them.
fn create(part: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(part)
}

fn part_of(whole: &Path) -> PathBuf {
    let mut name = whole.as_os_str().to_owned();
    name.push(".");
    name.push(PART);
    PathBuf::from(name)
}

/// Puts a file on the disk and gives it its name.
fn complete(track: Track, part: &Path, whole: &Path) -> io::Result<()> {
    let file = track.finish()?;
    settle(&file, part, whole)
}

/// Makes what has reached the disk a recording, where its writer could not: lengths are put right where they stand, which takes no room. Where nothing that
/// sounds has reached it, nothing is left. Whether there is a recording.
fn salvage(part: &Path, whole: &Path) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).write(true).open(part)?;
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

/// Completes what a process left behind that ended without its leave.
fn complete_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let part = entry?.path();
        if part.extension().is_none_or(|extension| extension != PART) {
            continue;
        }
        let whole = part.with_extension("");
        let file = whole.display();
        match salvage(&part, &whole) {
            Ok(true) => tracing::info!(%file, "a recording that was left behind is complete"),
            Ok(false) => tracing::info!(%file, "a recording that was left behind held nothing"),
            Err(error) => tracing::error!(%file, %error, "a recording was left behind"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
