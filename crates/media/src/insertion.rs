//! Audio of our own in the place of somebody's speech: the keys of a telephone in band, and notices.
//!
//! It comes in frames, of 20 ms unless a receiver wants shorter packets, on a schedule of its own, however late it is called and whether or not anybody speaks meanwhile.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::codec::{FRAME_LEN_MAX, Rate};
use crate::g711::Law;
use crate::limits::SOUNDS_QUEUED_MAX;
use crate::mixer::mix;
use crate::tone::Tone;

/// Samples of a frame.
pub const FRAME_LEN: usize = 160;

/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
struct Sound {
    /// `None` is a pause.
    tone: Option<Tone>,
    left_ms: u32,
}

/// Sounds that are played one after the other.
#[derive(Clone, Debug, Default)]
pub struct Insertion {
    queue: VecDeque<Sound>,
    /// When the next frame is due; kept behind the last one, so that two sounds never overlap.
    next_at: Option<Instant>,
}

impl Insertion {
    /// Queues a tone of at least this length, or with `None` a pause. `false` when too many wait.
    pub fn push(&mut self, now: Instant, tone: Option<Tone>, length: Duration) -> bool {
        if self.queue.len() >= SOUNDS_QUEUED_MAX {
            return false;
        }
        if self.queue.is_empty() {
            self.next_at = Some(self.next_at.map_or(now, |at| at.max(now)));
        }
        let whole = length.as_millis().next_multiple_of(FRAME.as_millis());
        let left_ms = u32::try_from(whole).unwrap_or(u32::MAX);
        self.queue.push_back(Sound { tone, left_ms });
        true
    }

    /// Something is played: speech pauses.
    #[must_use]
    pub fn is_sounding(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next frame is not due before this moment.
    pub fn defer(&mut self, until: Instant) {
        self.next_at = self.next_at.map(|at| at.max(until));
    }

    /// When the next frame is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_at.filter(|_| self.is_sounding())
    }

    /// The next frame that is due, in this law; call until `None`.
    pub fn poll(&mut self, now: Instant, law: Law) -> Option<[u8; FRAME_LEN]> {
        let at = self.poll_timeout().filter(|at| *at <= now)?;
        let mut frame = [law.silence(); FRAME_LEN];
        self.step(FRAME, |tone| tone.fill(law, &mut frame));
        self.next_at = Some(at + FRAME);
        Some(frame)
    }

    /// Fills `frame` with the samples that are due next; `false` when none are. Call until then.
    pub fn poll_linear(&mut self, now: Instant, rate: Rate, frame: &mut [i16]) -> bool {
        let Some(at) = self.poll_timeout().filter(|at| *at <= now) else {
            return false;
        };
        frame.fill(0);
        let length = rate.length_of(frame.len());
        self.step(length, |tone| tone.fill_linear(rate, frame));
        self.next_at = Some(at + length);
        true
    }

    /// Adds the next frame of what sounds to a frame of speech that leaves now: where speech is decoded, nobody has to pause for a notice.
    pub fn mix(&mut self, now: Instant, rate: Rate, speech: &mut [i16]) {
        let mut own = [0; FRAME_LEN_MAX];
        let Some(own) = own.get_mut(..speech.len()).filter(|_| self.is_sounding()) else {
            return;
        };
        let length = rate.length_of(own.len());
        self.step(length, |tone| tone.fill_linear(rate, own));
        mix(speech, own);
        self.next_at = Some(now + length);
    }

    /// So much of what sounds.
    fn step(&mut self, length: Duration, play: impl FnOnce(&mut Tone)) {
        let Some(sound) = self.queue.front_mut() else {
            return;
        };
        if let Some(tone) = &mut sound.tone {
            play(tone);
        }
        let length_ms = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
        sound.left_ms = sound.left_ms.saturating_sub(length_ms);
        if sound.left_ms == 0 {
            self.queue.pop_front();
        }
    }

    /// Forgets what waits and what sounds.
    pub fn clear(&mut self) {
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;
    use crate::tone::share_in;

    /// Called late, the frames that are due come at once, and the schedule does not drift.
    #[test]
    fn frames_keep_their_schedule() {
        let start = Instant::now();
        let mut insertion = Insertion::default();
        assert!(insertion.push(start, Tone::key('5'), Duration::from_millis(100)));
        assert!(insertion.push(start, None, Duration::from_millis(60)));
        let mut played = Vec::new();
        let mut at = start;
        while insertion.is_sounding() {
            while let Some(frame) = insertion.poll(at, Law::Mu) {
                played.push(frame);
            }
            at += Duration::from_millis(33);
        }
        assert_eq!(played.len(), 8, "100 ms of tone and 60 ms of silence");
        let tone: Vec<u8> = played[..5].concat();
        assert!(share_in(Law::Mu, 770.0, &tone).unwrap() > 0.35);
        assert!(share_in(Law::Mu, 1_336.0, &tone).unwrap() > 0.55);
        assert!(
            played[5..]
                .iter()
                .flatten()
                .all(|octet| *octet == Law::Mu.silence())
        );
        // The next sound waits for the end of the last frame.
        assert!(insertion.push(start, Tone::key('5'), Duration::from_millis(20)));
        assert_eq!(
            insertion.poll_timeout(),
            Some(start + Duration::from_millis(160))
        );
    }

    #[test]
    fn the_queue_is_bounded() {
        let now = Instant::now();
        let mut insertion = Insertion::default();
        let taken = (0..SOUNDS_QUEUED_MAX + 3)
            .filter(|_| insertion.push(now, None, Duration::from_millis(20)))
            .count();
        assert_eq!(taken, SOUNDS_QUEUED_MAX);
    }
}
