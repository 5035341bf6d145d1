//! Where the samples of a call go: to the writer of recordings, or to a consumer that listens live.
//!
//! A consumer's queue is bounded. When it is full its oldest frame goes: who listens live wants what is said now, and a media worker waits for nobody. The
//! numbers of the frames tell how much is missing.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use media::tap::TapFrame;
use switchboard::{RecordingCommand, TapId};
use tokio::sync::Notify;

use super::recording::RecordingSink;
use crate::limits::LIVE_FRAMES_MAX;

/// Names of live taps begin here, those of recordings far below.
const LIVE: u64 = 1 << 63;

/// Takes the samples of all taps; never blocks for long.
#[derive(Clone, Debug, Default)]
pub struct TapSink {
    recordings: Option<RecordingSink>,
    live: Arc<LiveTaps>,
}

impl TapSink {
    /// Samples go to these.
    #[must_use]
    pub const fn new(recordings: Option<RecordingSink>, live: Arc<LiveTaps>) -> Self {
        Self { recordings, live }
    }

    /// 20 ms of a call.
    pub fn frame(&self, frame: &TapFrame<'_>) {
        if frame.tap.0 >= LIVE {
            self.live.frame(frame);
        } else if let Some(recordings) = &self.recordings {
            recordings.frame(frame);
        }
    }

    /// What the switchboard decided.
    pub fn command(&self, command: RecordingCommand) {
        match (command, &self.recordings) {
            (RecordingCommand::Close { tap }, _) if tap.0 >= LIVE => self.live.close(tap),
            (command, Some(recordings)) => recordings.command(command),
            (_, None) => {}
        }
    }
}

/// The consumers that listen live.
#[derive(Debug, Default)]
pub struct LiveTaps {
    queues: Mutex<HashMap<TapId, Arc<LiveQueue>>>,
    last: AtomicU64,
    /// Consumers at present.
    pub open: AtomicUsize,
    /// Frames that consumers were too slow for.
    pub dropped_frames: AtomicU64,
}

impl LiveTaps {
    /// A name and a queue for one more consumer.
    pub fn begin(&self) -> (TapId, Arc<LiveQueue>) {
        let tap = TapId(LIVE | self.last.fetch_add(1, Ordering::Relaxed));
        let queue = Arc::new(LiveQueue::default());
        self.queues().insert(tap, Arc::clone(&queue));
        self.open.fetch_add(1, Ordering::Relaxed);
        (tap, queue)
    }

    /// Nothing comes for this consumer any more.
    pub fn close(&self, tap: TapId) {
        if let Some(queue) = self.queues().remove(&tap) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            queue.end();
        }
    }

    fn frame(&self, frame: &TapFrame<'_>) {
        let queue = self.queues().get(&TapId(frame.tap.0)).cloned();
        if let Some(queue) = queue
            && queue.push(frame)
        {
            self.dropped_frames.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn queues(&self) -> std::sync::MutexGuard<'_, HashMap<TapId, Arc<LiveQueue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A frame that waits for its consumer.
#[derive(Debug, PartialEq, Eq)]
pub struct LiveFrame {
    /// Its number, counted from 0.
    pub number: u64,
    /// Samples of 16 bits, little-endian, by turns of the caller and of the agent.
    pub octets: Vec<u8>,
}

/// What waits for one consumer.
#[derive(Debug, Default)]
pub struct LiveQueue {
    /// Frames, and whether more may come.
    state: Mutex<(VecDeque<LiveFrame>, bool)>,
    news: Notify,
}

impl LiveQueue {
    /// Whether the oldest frame had to make room.
    fn push(&self, frame: &TapFrame<'_>) -> bool {
        let octets = frame
            .samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full = state.0.len() >= LIVE_FRAMES_MAX;
        if full {
            state.0.pop_front();
        }
        state.0.push_back(LiveFrame {
            number: frame.number,
            octets,
        });
        drop(state);
        self.news.notify_one();
        full
    }

    fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.news.notify_one();
    }

    /// The next frame; `None` when there are no more.
    pub async fn next(&self) -> Option<LiveFrame> {
        loop {
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(frame) = state.0.pop_front() {
                    return Some(frame);
                }
                if state.1 {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A consumer that does not read costs the oldest words, which are counted, and nobody else anything.
    #[tokio::test]
    async fn a_slow_consumer_loses_the_oldest() {
        let live = Arc::new(LiveTaps::default());
        let sink = TapSink::new(None, Arc::clone(&live));
        let (tap, queue) = live.begin();
        let more = 30;
        for number in 0..LIVE_FRAMES_MAX as u64 + more {
            sink.frame(&TapFrame {
                tap: media::ids::TapId(tap.0),
                number,
                samples: &[1, -2],
            });
        }
        assert_eq!(live.dropped_frames.load(Ordering::Relaxed), more);
        let first = queue.next().await;
        let octets = vec![1, 0, 0xfe, 0xff];
        assert_eq!(
            first,
            Some(LiveFrame {
                number: more,
                octets
            })
        );
        sink.command(RecordingCommand::Close { tap });
        let mut rest = 0;
        while queue.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, LIVE_FRAMES_MAX - 1, "what waits is still handed over");
        assert_eq!(live.open.load(Ordering::Relaxed), 0);
    }
}
