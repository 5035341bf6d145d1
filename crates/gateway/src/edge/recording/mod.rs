//! Recordings: a thread that takes samples of calls from the media workers and writes them into files.
//!
//! A call never waits for a disk. Samples go through a queue that is bounded; what finds it full is left out, counted, and silence in the file, so that
//! everything else stays where it was said. A file is called `.part` until it is whole: then it is on the disk (fsync) and takes its name in one step, on
//! another thread than the one that writes. What a former process left behind as `.part` is completed while calls go on.

mod completion;
mod opus;
mod wav;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use media::codec::Rate;
use media::tap::{TAP_FRAME_MAX, TapFrame};
use switchboard::{CallRef, RecordingCommand, TapId};

use self::completion::{Completer, Ended};
use crate::limits::{RECORDING_FRAMES_MAX, RECORDING_GAP_FRAMES_MAX, RECORDINGS_ENDED_MAX};

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
    /// Files that have not got their names yet: those that are being written, and those that the disk is brought.
    pub unsettled: AtomicUsize,
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

/// Nothing more becomes of the file of a recording: said once of each that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Whose samples it was for.
    pub tap: TapId,
    /// It could not be written to its end, or not be made.
    pub failed: bool,
}

/// Hears what became of recordings. Called from the recorder's threads.
pub type Tell = Arc<dyn Fn(Settled) + Send + Sync>;

/// The threads that write files and complete them. Dropping it completes every file of its own, and waits for the disk to have it.
#[derive(Debug)]
pub struct Recorder {
    sink: RecordingSink,
    /// What a former process left behind waits for the next one.
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Recorder {
    /// Makes the folder and starts the threads. What a former process left there is listed before anything new is in it, and completed beside the calls:
    /// a disk may need minutes for the files of a site, and agents wait for their phones.
    ///
    /// # Errors
    /// When the folder cannot be made or read, or no thread can be started.
    pub fn start(
        settings: Settings,
        counters: Arc<RecordingCounters>,
        tell: Tell,
    ) -> io::Result<Self> {
        fs::create_dir_all(&settings.folder)?;
        let left = completion::leftovers(&settings.folder)?;
        let (queue, orders) = channel();
        let (ended, endings) = sync_channel(RECORDINGS_ENDED_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let completer = Completer {
            counters: Arc::clone(&counters),
            tell: Arc::clone(&tell),
        };
        let writer = Writer {
            settings,
            counters,
            tell,
            waiting: Arc::clone(&waiting),
            files: HashMap::new(),
            ended,
        };
        let ends = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ends);
        let threads = vec![
            spawn("recording", move || writer.run(&orders))?,
            spawn("recording-end", move || completer.run(&endings))?,
            spawn("recording-left", move || {
                completion::complete_all(left, &stop)
            })?,
        ];
        Ok(Self {
            sink: RecordingSink { queue, waiting },
            ends,
            threads,
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
        self.ends.store(true, Ordering::Relaxed);
        // The writer ends with this, and with it the thread that completes.
        let _ = self.sink.queue.send(Order::End);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of recordings panicked");
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
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
    tell: Tell,
    waiting: Arc<AtomicUsize>,
    files: HashMap<TapId, Open>,
    ended: SyncSender<Ended>,
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
                self.counters.unsettled.fetch_add(1, Ordering::Relaxed);
                self.count_active();
            }
            Err(error) => {
                completion::log_failure(&self.counters, &call, &part, &error);
                (self.tell)(Settled { tap, failed: true });
            }
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
        if let Err(error) = filled.and_then(|()| open.track.write(samples)) {
            self.end(tap, Some(error));
            (self.tell)(Settled { tap, failed: true });
        }
    }

    fn close(&mut self, tap: TapId) {
        self.end(tap, None);
    }

    /// Hands a file to the thread that completes it. That one may be behind by as many as its queue takes; then the disk is too slow for all of them.
    fn end(&mut self, tap: TapId, broken: Option<io::Error>) {
        if let Some(open) = self.files.remove(&tap) {
            self.count_active();
            // It lives as long as this thread does.
            let _ = self.ended.send(Ended { tap, open, broken });
        }
    }

    fn count_active(&self) {
        let active = self.files.len();
        self.counters.active.store(active, Ordering::Relaxed);
    }
}

/// Recordings are nobody's business but the group's that is to have them. The file is locked as long as it is open: another gateway that begins in the same
/// folder must not take it for one that was left behind.
fn create(part: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(part)?;
    lock(&file)?;
    Ok(file)
}

/// Locks a file, unless another process has. Where the folder's file system knows no locks, nobody is kept out.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, "recordings: no locks in this folder");
            Ok(())
        }
    }
}

fn part_of(whole: &Path) -> PathBuf {
    let mut name = whole.as_os_str().to_owned();
    name.push(".");
    name.push(PART);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
