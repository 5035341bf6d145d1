//! Log lines: to standard error, as text or JSON, through a bounded queue and a thread of its own, so that a pipe that
//! nobody reads never holds a call up.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::config::{Level, Log, LogFormat};
use crate::limits::{LOG_FLUSH_WITHIN, LOG_GATHER, LOG_QUEUE_MAX, LOG_WRITE_MAX};

/// Crates of ours: they follow the configured level, all others speak from `warn` on.
const OURS: [&str; 6] = [
    "talkbridge",
    "gateway",
    "switchboard",
    "sip",
    "media",
    "control",
];

/// The running log. Dropping it writes what is still queued.
pub struct Logging {
    filter: reload::Handle<Targets, Registry>,
    dropped: Arc<AtomicU64>,
    queue: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
}

impl Logging {
    /// Starts the log of the process.
    ///
    /// # Errors
    ///
    /// When a log is installed already, or no thread can be started.
    pub fn start(log: &Log) -> io::Result<Self> {
        let (queue, lines) = sync_channel(LOG_QUEUE_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&lines, &mut io::stderr()))?;
        let lines = Lines {
            queue: queue.clone(),
            dropped: Arc::clone(&dropped),
        };
        let (filter, handle) = reload::Layer::new(targets(log.level));
        let registry = tracing_subscriber::registry().with(filter);
        let format = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(lines);
        match log.format {
            LogFormat::Text => registry.with(format).try_init(),
            LogFormat::Json => registry.with(format.json().flatten_event(true)).try_init(),
        }
        .map_err(io::Error::other)?;
        Ok(Self {
            filter: handle,
            dropped,
            queue: Some(queue),
            writer: Some(writer),
        })
    }

    /// Changes the level while running.
    pub fn set_level(&self, level: Level) {
        if let Err(error) = self.filter.reload(targets(level)) {
            tracing::error!(%error, "log level not changed");
        }
    }

    /// Counts the lines that the target did not take.
    #[must_use]
    pub fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Waits until everything queued so far is written; a target that does not take it is waited for a bounded time.
    pub fn flush(mut self) {
        let (queue, writer) = (self.queue.take(), self.writer.take());
        let (done, end) = std::sync::mpsc::channel();
        let flushing = std::thread::Builder::new().spawn(move || {
            if let Some(queue) = queue {
                // An empty line is the sign to stop: the subscriber's own sender lives as long as the process.
                let _ = queue.send(Vec::new());
            }
            if let Some(writer) = writer {
                let _ = writer.join();
            }
            let _ = done.send(());
        });
        if flushing.is_ok() {
            let _ = end.recv_timeout(LOG_FLUSH_WITHIN);
        }
    }
}

fn targets(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let others = level.min(LevelFilter::WARN);
    OURS.iter()
        .fold(Targets::new().with_default(others), |targets, name| {
            targets.with_target(*name, level)
        })
}

/// Writes what has gathered, then lets more gather: whoever logs does not wake this thread for each line.
#[allow(
    clippy::disallowed_methods,
    reason = "no condition could end the pause: it is there so that nobody has to wake the thread"
)]
fn write(lines: &Receiver<Vec<u8>>, target: &mut impl Write) {
    let mut ended = false;
    while !ended && let Ok(first) = lines.recv() {
        let mut gathered = Vec::new();
        for line in std::iter::once(first).chain(lines.try_iter()) {
            ended = line.is_empty();
            gathered.extend_from_slice(&line);
            if ended || gathered.len() >= LOG_WRITE_MAX {
                break;
            }
        }
        // Nothing can be said about a log that cannot be written.
        let _ = target.write_all(&gathered);
        if !ended {
            std::thread::sleep(LOG_GATHER);
        }
    }
    let _ = target.flush();
}

/// Makes the writers of single lines.
struct Lines {
    queue: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// Collects one line and queues it when it is complete.
struct Line<'a> {
    lines: &'a Lines,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            lines: self,
            bytes: Vec::with_capacity(256),
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() && self.lines.queue.try_send(line).is_err() {
            self.lines.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A reader of the log that hangs must not hang a call.
    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted() {
        let (queue, taken) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let lines = Lines {
            queue,
            dropped: Arc::clone(&dropped),
        };
        for text in ["one\n", "two\n", "three\n"] {
            lines.make_writer().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        assert_eq!(taken.recv().unwrap(), b"one\n");
        lines.make_writer().write_all(b"four\n").unwrap();
        assert_eq!(taken.recv().unwrap(), b"four\n");
    }

    /// Lines leave whole and in order, also those that were queued behind the one that woke the writer, and the last ones before the end.
    #[test]
    fn what_is_queued_is_written_in_order_up_to_the_end() {
        let (queue, lines) = sync_channel(8);
        for line in ["one\n", "two\n", "three\n", "", "after the end\n"] {
            queue.send(line.as_bytes().to_vec()).unwrap();
        }
        let mut target = Vec::new();
        write(&lines, &mut target);
        assert_eq!(target, b"one\ntwo\nthree\n");
    }

    /// What libraries say at INFO is not an administrator's business.
    #[test]
    fn the_level_is_ours_and_others_speak_from_warn_on() {
        let targets = targets(Level::Debug);
        assert!(targets.would_enable("gateway::facts", &tracing::Level::DEBUG));
        assert!(targets.would_enable("hyper", &tracing::Level::WARN));
        assert!(!targets.would_enable("hyper", &tracing::Level::INFO));
        let quiet = super::targets(Level::Error);
        assert!(!quiet.would_enable("hyper", &tracing::Level::WARN));
    }
}
