//! Samples: those that were played, as far back as concealment looks, and those that are decoded and not yet played.

use crate::codec::{PACKET_MS_MAX, Rate};
use crate::pitch::cross_fade;

/// How far back the past is kept: what concealment needs to find the pitch of a low voice and to repeat three periods of it.
pub(super) const HISTORY_MS: usize = 50;

/// What may be ahead: less than a frame when a packet is decoded, and two packets for time scaling.
const fn ahead_ms(packet_ms: usize) -> usize {
    2 * packet_ms + 60
}

/// Room is made for packets as they usually are, and for the longest that there are once there is a longer one.
const PACKET_MS: usize = 20;

#[derive(Debug)]
pub(super) struct Pcm {
    samples: Vec<i16>,
    /// Samples at most.
    longest: usize,
    history: usize,
    /// The next sample to play.
    at: usize,
    end: usize,
}

impl Pcm {
    pub(super) fn new(rate: Rate) -> Self {
        let history = rate.per_ms() * HISTORY_MS;
        Self {
            samples: vec![0; history + rate.per_ms() * ahead_ms(PACKET_MS)],
            longest: history + rate.per_ms() * ahead_ms(PACKET_MS_MAX),
            history,
            at: history,
            end: history,
        }
    }

    /// Samples decoded and not yet played.
    pub(super) const fn ahead_len(&self) -> usize {
        self.end - self.at
    }

    /// Everything up to the last decoded sample, at least [`HISTORY_MS`] of it.
    pub(super) fn so_far(&self) -> &[i16] {
        &self.samples[..self.end]
    }

    /// Room for so many samples more; fewer when that is all there is.
    pub(super) fn room(&mut self, wanted: usize) -> &mut [i16] {
        if self.end + wanted > self.samples.len() {
            let from = self.at - self.history;
            self.samples.copy_within(from..self.end, 0);
            self.at -= from;
            self.end -= from;
        }
        if self.end + wanted > self.samples.len() && self.samples.len() < self.longest {
            let more = self.longest - self.samples.len();
            self.samples.reserve_exact(more);
            self.samples.resize(self.longest, 0);
        }
        let end = (self.end + wanted).min(self.samples.len());
        &mut self.samples[self.end..end]
    }

    /// So many samples of the room are filled.
    pub(super) fn commit(&mut self, samples: usize) {
        self.end = (self.end + samples).min(self.samples.len());
    }

    /// Plays into `out`, and says how many samples there were.
    pub(super) fn play(&mut self, out: &mut [i16]) -> usize {
        let count = out.len().min(self.ahead_len());
        out[..count].copy_from_slice(&self.samples[self.at..self.at + count]);
        self.at += count;
        count
    }

    /// The last samples, for blending.
    pub(super) fn last_mut(&mut self, samples: usize) -> &mut [i16] {
        let from = self.end.saturating_sub(samples);
        &mut self.samples[from..self.end]
    }

    /// Keeps so many of the samples ahead.
    pub(super) fn truncate(&mut self, samples: usize) {
        self.end = self.end.min(self.at + samples);
    }

    /// What was played and what is ahead of it.
    pub(super) fn around(&self) -> (&[i16], &[i16]) {
        (&self.samples[..self.at], &self.samples[self.at..self.end])
    }

    /// Takes so many samples out of what is ahead, at its beginning: the voice goes from one period into the one behind it. At most half
    /// of what is ahead.
    pub(super) fn shorten(&mut self, by: usize) {
        let by = by.min(self.ahead_len() / 2);
        let (before, after) = self.samples[self.at..self.end].split_at_mut(by);
        cross_fade(before, &mut after[..by]);
        self.samples.copy_within(self.at + by..self.end, self.at);
        self.end -= by;
    }

    /// Plays so many samples twice: the voice goes back by a period.
    pub(super) fn lengthen(&mut self, by: usize) {
        let room = self.room(by).len();
        let by = by.min(room).min(self.ahead_len()).min(self.history);
        let (at, end) = (self.at, self.end);
        self.samples.copy_within(at..end, at + by);
        // The first samples stand twice now; the first time they turn into what was before them.
        self.samples.copy_within(at - by..at, at);
        let (new, old) = self.samples[at..end + by].split_at_mut(by);
        cross_fade(&old[..by], new);
        self.end = end + by;
    }
}
