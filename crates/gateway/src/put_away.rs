//! The last step of an end: media workers end, records and recordings are brought to the disk. Each apart from the others: one that hangs keeps none of the
//! others from being complete, and is named.

use std::fmt;
use std::sync::mpsc::{Receiver, channel};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::kept::Kept;
use crate::limits::{PUT_AWAY_WITHIN, WORKERS_END_WITHIN};

/// What has not ended in its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unended {
    /// Media workers, by number.
    pub workers: Vec<usize>,
    /// The file of call records has not got all of them.
    pub records: bool,
    /// Recordings that have not got their names; `None` where all have.
    pub recordings: Option<usize>,
}

impl fmt::Display for Unended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(
            self.workers
                .iter()
                .map(|index| format!("media worker {index} hangs")),
        );
        if self.records {
            parts.push("the disk does not take the call records that are left".to_owned());
        }
        if let Some(recordings) = self.recordings {
            parts.push(format!(
                "the disk does not take what is left: {recordings} recordings keep the name .part until the next start"
            ));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Everything that is ending, each on a thread of its own: the process ends without it if it must.
#[derive(Debug)]
pub struct PutAway<F> {
    workers: Vec<oneshot::Receiver<()>>,
    records: oneshot::Receiver<()>,
    recorder: oneshot::Receiver<()>,
    unsettled: F,
}

/// Begins to end all of it. Recordings take what the workers have heard last, and wait no longer for that than these may take.
pub fn put_away<W: Send + 'static>(
    workers: impl IntoIterator<Item = W>,
    kept: Kept,
) -> PutAway<impl Fn() -> usize> {
    let unsettled = kept.unsettled();
    let (records, recorder) = kept.into_writers();
    let (ends, workers_ended) = channel::<()>();
    let workers = workers.into_iter().map(|worker| {
        let end = ends.clone();
        aside("worker-end", move || drop((worker, end)))
    });
    let workers = workers.collect();
    drop(ends);
    PutAway {
        workers,
        records: aside("records-end", move || drop(records)),
        recorder: aside("recorder-end", move || {
            wait_for_all(&workers_ended);
            drop(recorder);
        }),
        unsettled,
    }
}

/// Until every sender is dropped, for a bounded time.
fn wait_for_all(ended: &Receiver<()>) {
    let _ = ended.recv_timeout(WORKERS_END_WITHIN);
}

impl<F: Fn() -> usize> PutAway<F> {
    /// Waits for all of it, for a bounded time.
    ///
    /// # Errors
    ///
    /// What has not ended by then.
    pub async fn ended(self) -> Result<(), Unended> {
        self.ended_by(Instant::now() + PUT_AWAY_WITHIN).await
    }

    async fn ended_by(self, deadline: Instant) -> Result<(), Unended> {
        let mut unended = Unended::default();
        for (index, worker) in self.workers.into_iter().enumerate() {
            if timeout_at(deadline, worker).await.is_err() {
                unended.workers.push(index);
            }
        }
        unended.records = timeout_at(deadline, self.records).await.is_err();
        if timeout_at(deadline, self.recorder).await.is_err() {
            unended.recordings = Some((self.unsettled)());
        }
        if unended == Unended::default() {
            return Ok(());
        }
        Err(unended)
    }
}

/// Does what may take for ever on a thread of its own. The receiver hears when it is done.
fn aside(name: &str, work: impl FnOnce() + Send + 'static) -> oneshot::Receiver<()> {
    let (done, end) = oneshot::channel();
    let work = move || {
        work();
        // Nobody hears it who has not waited.
        let _ = done.send(());
    };
    let thread = std::thread::Builder::new().name(name.to_owned());
    if let Err(error) = thread.spawn(work) {
        tracing::error!(%error, name, "no thread for the end of this");
    }
    end
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::OpenOptions;
    use std::process::Command;
    use std::sync::mpsc::{Sender, channel};

    use switchboard::{CallId, CallRef, RecordingCommand, TapId};
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::edge::cdr::refused;
    use crate::edge::recording::Settled;
    use crate::metrics::Sources;

    /// Its thread does not come back from what it does.
    struct Hangs(Receiver<()>);

    impl Drop for Hangs {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    fn hanging() -> (Sender<()>, Hangs) {
        let (lets_go, hangs) = channel();
        (lets_go, Hangs(hangs))
    }

    /// A file of records that takes no more after some: a pipe that nobody reads. Whoever holds its other end lets it go.
    fn stuck_records(config: &mut crate::config::Config, dir: &std::path::Path) -> std::fs::File {
        let pipe = dir.join("cdr.jsonl");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let other_end = OpenOptions::new().read(true).write(true).open(&pipe);
        config.cdr.file = Some(pipe);
        other_end.unwrap()
    }

    /// A worker that hangs, and a file of records on a disk that hangs: the recordings of everybody are whole all the same, and what hangs is named.
    #[tokio::test]
    async fn what_hangs_keeps_nothing_else_from_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let text = include_str!("../../../conf/talkbridge.minimal.toml");
        let mut config = crate::config::parse("minimal".as_ref(), text, &|_| None)
            .unwrap()
            .config;
        config.recording.folder = Some(dir.path().join("recordings"));
        let other_end = stuck_records(&mut config, dir.path());
        let (settled, mut told) = unbounded_channel();
        let kept = Kept::open(&config, &Sources::default(), settled).unwrap();
        let long_dn = "1002".repeat(256);
        for _ in 0..1_000 {
            kept.records().unwrap().write(refused("c1", &long_dn));
        }
        let tap = TapId(1);
        kept.taps().command(RecordingCommand::Open {
            tap,
            call: CallRef {
                call: CallId(1),
                call_uuid: None,
                dn: "1002".to_owned(),
            },
            name: "c1.wav".to_owned(),
        });
        let ((lets_go, hangs), (lets_go_too, ends)) = (hanging(), hanging());
        drop(lets_go_too);
        let ending = put_away([ends, hangs], kept);
        let whole = tokio::time::timeout(PUT_AWAY_WITHIN, told.recv()).await;
        assert_eq!(whole.unwrap(), Some(Settled { tap, failed: false }));
        let both = async {
            while ending.recorder.is_empty() || ending.workers[0].is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PUT_AWAY_WITHIN, both).await.unwrap();
        let unended = Unended {
            workers: vec![1],
            records: true,
            recordings: None,
        };
        assert_eq!(ending.ended_by(Instant::now()).await, Err(unended));
        drop((lets_go, other_end));
    }
}
