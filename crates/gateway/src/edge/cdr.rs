//! The file of call records: one JSON line each, appended by a thread of its own, so that a disk that is full or slow never holds a call up.
//!
//! Rotation is the usual one: the file is renamed, SIGHUP follows, and the next record goes into a new file of the old name. A record that the disk
//! does not take is lost as a whole, and counted: a line is in the file whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use control::EndRecord;

use crate::edge::sparing::Sparing;
use crate::limits::CDR_QUEUE_MAX;

/// What became of records.
#[derive(Debug, Default)]
pub struct RecordCounters {
    /// Lines in the file.
    pub written: AtomicU64,
    /// Records that the writer had no place for.
    pub lost_queue: AtomicU64,
    /// Records that the disk did not take.
    pub lost_disk: AtomicU64,
    /// Records of calls that were refused faster than they are recorded.
    pub left_out: AtomicU64,
}

#[derive(Debug)]
enum Order {
    Write(Box<EndRecord>),
    Reopen,
    End,
}

/// Takes records; never blocks.
#[derive(Clone, Debug)]
pub struct RecordSink {
    queue: SyncSender<Order>,
    counters: Arc<RecordCounters>,
}

impl RecordSink {
    /// Queues a record; one that finds the queue full is lost and counted.
    pub fn write(&self, record: Box<EndRecord>) {
        if self.queue.try_send(Order::Write(record)).is_err() {
            self.counters.lost_queue.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A record is not written, since too many of its kind came.
    pub fn left_out(&self) {
        self.counters.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// The file is to be opened anew, behind the records that wait.
    pub fn reopen(&self) {
        if self.queue.try_send(Order::Reopen).is_err() {
            tracing::error!("call records: the writer is behind, the file is not opened anew");
        }
    }
}

/// The file and its thread. Dropping it writes what is still queued.
#[derive(Debug)]
pub struct RecordFile {
    sink: RecordSink,
    writer: Option<JoinHandle<()>>,
}

impl RecordFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened for appending, or no thread can be started.
    pub fn open(path: &Path, counters: Arc<RecordCounters>) -> io::Result<Self> {
        let (queue, orders) = sync_channel(CDR_QUEUE_MAX);
        let sink = RecordSink {
            queue,
            counters: Arc::clone(&counters),
        };
        let writer = Writer {
            file: Some(append(path)?),
            path: path.to_owned(),
            counters,
            lines: Sparing::default(),
        };
        let writer = std::thread::Builder::new()
            .name("cdr".to_owned())
            .spawn(move || writer.run(&orders))?;
        Ok(Self {
            sink,
            writer: Some(writer),
        })
    }

    /// A way to its queue.
    #[must_use]
    pub fn sink(&self) -> RecordSink {
        self.sink.clone()
    }
}

impl Drop for RecordFile {
    fn drop(&mut self) {
        let told = self.sink.queue.send(Order::End);
        if let Some(writer) = self.writer.take()
            && told.is_ok()
            && writer.join().is_err()
        {
            tracing::error!("the writer of call records panicked");
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

struct Writer {
    path: PathBuf,
    /// `None` after it could not be opened anew: tried again with the next record.
    file: Option<File>,
    counters: Arc<RecordCounters>,
    lines: Sparing,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Write(record) => self.write(&record),
                Order::Reopen => {
                    self.file = None;
                    if let Err(error) = self.file() {
                        self.complain(&error);
                    }
                }
                Order::End => return,
            }
        }
    }

    fn write(&mut self, record: &EndRecord) {
        let mut line = serde_json::to_vec(record).expect("no map with keys other than strings");
        line.push(b'\n');
        match self.file().and_then(|file| write_whole(file, &line)) {
            Ok(()) => {
                self.counters.written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.counters.lost_disk.fetch_add(1, Ordering::Relaxed);
                self.complain(&error);
            }
        }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => append(&self.path)?,
        };
        Ok(self.file.insert(file))
    }

    #[allow(clippy::disallowed_methods)] // The shell reads the clock.
    fn complain(&self, error: &io::Error) {
        let now = std::time::Instant::now();
        if let Some(unsaid) = self.lines.line(now.into()) {
            let file = self.path.display();
            tracing::error!(%file, %error, unsaid, "call records are lost");
        }
    }
}

/// Appends a line, or leaves the file as it was.
fn write_whole(file: &mut File, line: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(line).inspect_err(|_| {
        // What is no regular file has no length to go back to; there the next line follows the broken one.
        let _ = file.set_len(before);
    })
}

/// The record of a call that was refused, for tests.
#[cfg(test)]
pub(crate) fn refused(call: &str, dn: &str) -> Box<EndRecord> {
    use control::{CallDirection, CallEnd, EndedBy};
    Box::new(EndRecord {
        version: EndRecord::VERSION,
        call: call.to_owned(),
        call_uuid: None,
        dn: dn.to_owned(),
        direction: CallDirection::Inbound,
        remote: None,
        created_ms: 1_700_000_000_000,
        answered_ms: None,
        ended_ms: 1_700_000_000_000,
        ring_ms: 0,
        talk_ms: None,
        held_ms: None,
        answered_by: None,
        end: CallEnd {
            by: EndedBy::Gateway,
            sip_status: Some(486),
            reason: None,
            cause: "busy".to_owned(),
        },
        transfer: None,
        srtp: None,
        recordings: Vec::new(),
        media: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn calls(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let call = |line: &str| serde_json::from_str::<EndRecord>(line).unwrap().call;
        text.lines().map(call).collect()
    }

    /// logrotate renames the file and sends SIGHUP: no record is lost, and none goes into the old file any more.
    #[test]
    fn a_renamed_file_is_followed_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("cdr.jsonl"), dir.path().join("cdr.1"));
        let counters = Arc::new(RecordCounters::default());
        let file = RecordFile::open(&path, Arc::clone(&counters)).unwrap();
        let sink = file.sink();
        sink.write(refused("c1", "1002"));
        std::fs::rename(&path, &old).unwrap();
        sink.reopen();
        sink.write(refused("c2", "1002"));
        drop(file);
        let mut both = calls(&old);
        both.extend(calls(&path));
        assert_eq!(both, ["c1", "c2"]);
        assert_eq!(calls(&path), ["c2"]);
        assert_eq!(counters.written.load(Ordering::Relaxed), 2);
    }

    /// A restart goes on where it stopped.
    #[test]
    fn records_are_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cdr.jsonl");
        for call in ["c1", "c2"] {
            let file = RecordFile::open(&path, Arc::default()).unwrap();
            file.sink().write(refused(call, "1002"));
        }
        assert_eq!(calls(&path), ["c1", "c2"]);
    }

    /// A full disk costs records, which are counted, and nothing else.
    #[test]
    fn a_full_disk_is_counted() {
        let counters = Arc::new(RecordCounters::default());
        let file = RecordFile::open(Path::new("/dev/full"), Arc::clone(&counters)).unwrap();
        for _ in 0..3 {
            file.sink().write(refused("c1", "1002"));
        }
        drop(file);
        assert_eq!(counters.lost_disk.load(Ordering::Relaxed), 3);
        assert_eq!(counters.written.load(Ordering::Relaxed), 0);
    }

    /// A slow disk costs records beyond the queue, and no call waits for it.
    #[test]
    fn a_slow_disk_is_counted() {
        let (queue, _orders) = sync_channel(2);
        let counters = Arc::new(RecordCounters::default());
        let sink = RecordSink {
            queue,
            counters: Arc::clone(&counters),
        };
        for _ in 0..5 {
            sink.write(refused("c1", "1002"));
        }
        assert_eq!(counters.lost_queue.load(Ordering::Relaxed), 3);
    }
}
