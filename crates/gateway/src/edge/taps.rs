//! Where the samples of a call go: to the writer of recordings, or to a consumer that listens live.
//!
//! A consumer's queue is bounded. When it is full its oldest frame goes: who listens live wants what is said now, and a media worker waits for nobody. The
//! numbers of the frames tell how much is missing. What happens to the call waits in its place between them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use control::admin::TapMessage;
use media::tap::TapFrame;
use switchboard::{RecordingCommand, TapId};
use tokio::sync::Notify;

use super::recording::RecordingSink;
use crate::limits::{LIVE_FRAMES_MAX, LIVE_MARKS_MAX};

/// Milliseconds of a frame.
pub(crate) const FRAME_MS: u64 = 20;

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

/// What a consumer is to have next.
#[derive(Debug, PartialEq, Eq)]
pub enum Waiting {
    /// 20 ms.
    Frame(LiveFrame),
    /// What has happened to the call before the frame of this number.
    Mark(u64, TapMessage),
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<LiveFrame>,
    /// By the number of the frame that comes after each.
    marks: VecDeque<(u64, TapMessage)>,
    /// The number of the frame that comes next.
    next: u64,
    ended: bool,
}

impl Queue {
    fn pop(&mut self) -> Option<Waiting> {
        let before = |number| {
            self.frames
                .front()
                .is_none_or(|frame| number <= frame.number)
        };
        if self
            .marks
            .front()
            .is_some_and(|(number, _)| before(*number))
        {
            let (number, mark) = self.marks.pop_front()?;
            return Some(Waiting::Mark(number, mark));
        }
        self.frames.pop_front().map(Waiting::Frame)
    }
}

/// What waits for one consumer.
#[derive(Debug, Default)]
pub struct LiveQueue {
    state: Mutex<Queue>,
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
        let mut state = self.state();
        let full = state.frames.len() >= LIVE_FRAMES_MAX;
        if full {
            state.frames.pop_front();
        }
        state.next = frame.number + 1;
        state.frames.push_back(LiveFrame {
            number: frame.number,
            octets,
        });
        drop(state);
        self.news.notify_one();
        full
    }

    /// Something has happened to the call just now: `make` is told where that is, in milliseconds from the first sample.
    pub fn mark(&self, make: impl FnOnce(u64) -> TapMessage) {
        let mut state = self.state();
        if state.marks.len() >= LIVE_MARKS_MAX {
            state.marks.pop_front();
        }
        let number = state.next;
        state.marks.push_back((number, make(number * FRAME_MS)));
        drop(state);
        self.news.notify_one();
    }

    fn end(&self) {
        self.state().ended = true;
        self.news.notify_one();
    }

    /// The next frame or mark; `None` when there are no more.
    pub async fn next(&self) -> Option<Waiting> {
        loop {
            {
                let mut state = self.state();
                if let Some(waiting) = state.pop() {
                    return Some(waiting);
                }
                if state.ended {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(sink: &TapSink, tap: TapId, numbers: std::ops::Range<u64>) {
        for number in numbers {
            sink.frame(&TapFrame {
                tap: media::ids::TapId(tap.0),
                number,
                samples: &[1, -2],
            });
        }
    }

    fn dropped(at_ms: u64) -> TapMessage {
        TapMessage::Dropped { at_ms, ms: 0 }
    }

    /// A consumer that does not read costs the oldest words, which are counted, and nobody else anything.
    #[tokio::test]
    async fn a_slow_consumer_loses_the_oldest() {
        let live = Arc::new(LiveTaps::default());
        let sink = TapSink::new(None, Arc::clone(&live));
        let (tap, queue) = live.begin();
        let more = 30;
        frames(&sink, tap, 0..LIVE_FRAMES_MAX as u64 + more);
        assert_eq!(live.dropped_frames.load(Ordering::Relaxed), more);
        let first = queue.next().await;
        let octets = vec![1, 0, 0xfe, 0xff];
        let number = more;
        assert_eq!(first, Some(Waiting::Frame(LiveFrame { number, octets })));
        sink.command(RecordingCommand::Close { tap });
        let mut rest = 0;
        while queue.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, LIVE_FRAMES_MAX - 1, "what waits is still handed over");
        assert_eq!(live.open.load(Ordering::Relaxed), 0);
    }

    /// A hold stands where it happened, however far behind the consumer is, also when all that was said around it has been dropped; and a call that is
    /// held and retrieved for ever fills no memory.
    #[tokio::test]
    async fn a_mark_waits_in_its_place() {
        let live = Arc::new(LiveTaps::default());
        let sink = TapSink::new(None, Arc::clone(&live));
        let (tap, queue) = live.begin();
        let all = LIVE_FRAMES_MAX as u64;
        frames(&sink, tap, 0..5);
        queue.mark(dropped);
        frames(&sink, tap, 5..10 + all);
        queue.mark(dropped);
        assert_eq!(queue.next().await, Some(Waiting::Mark(5, dropped(100))));
        for number in 10..10 + all {
            let next = queue.next().await;
            assert!(matches!(next, Some(Waiting::Frame(frame)) if frame.number == number));
        }
        let end = 10 + all;
        let last = Waiting::Mark(end, dropped(end * FRAME_MS));
        assert_eq!(queue.next().await, Some(last));
        for _ in 0..LIVE_MARKS_MAX + 5 {
            queue.mark(dropped);
        }
        assert_eq!(queue.state().marks.len(), LIVE_MARKS_MAX);
    }
}
