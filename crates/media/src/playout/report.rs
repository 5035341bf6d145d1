//! What a playout measures.

use std::time::Duration;

use crate::codec::{FRAME, Rate};
use crate::emodel;

/// The weight of the newest packet in the mean delay.
const NEWEST: f64 = 1.0 / 16.0;

/// What a playout has measured since its beginning. What was not measured is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayoutReport {
    /// From the arrival of a packet to its first sample, a mean over the last packets.
    pub delay: Option<Duration>,
    /// How much later than the fastest nearly all packets are: the delay that is aimed at.
    pub target: Option<Duration>,
    /// Speech that was decoded.
    pub speech: Duration,
    /// Speech that was not heard as it was said, but guessed, or silence where its guess had faded. What is guessed while nothing comes counts when
    /// something does, unless that shows that nothing was said.
    pub concealed: Duration,
    /// How often guessing began.
    pub concealments: u64,
    /// Speech that was lost and found again in the packet behind it.
    pub recovered: Duration,
    /// Packets that came when their time was over.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came in vain because too many waited, or because their number was far from their row.
    pub discarded: u64,
    /// Packets that the codec made nothing of.
    pub undecodable: u64,
    /// Time that was put in to have more delay.
    pub expanded: Duration,
    /// Time that was taken out to have less delay.
    pub compressed: Duration,
}

impl PlayoutReport {
    /// The share of speech that was not heard as it was said, 0 to 1; `None` before there was any. An input of [`emodel::score`].
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        let all = (self.speech + self.recovered + self.concealed).as_secs_f64();
        (all > 0.0).then(|| self.concealed.as_secs_f64() / all)
    }

    /// How much longer than by chance the losses are, in frames; `None` before there was one. An input of [`emodel::score`].
    #[must_use]
    pub fn burst_ratio(&self) -> Option<f64> {
        let frames = |length: Duration| (length.as_micros() / FRAME.as_micros()) as u64;
        let lost = frames(self.concealed);
        let all = lost + frames(self.speech + self.recovered);
        emodel::burst_ratio(lost, all, self.concealments)
    }
}

/// The same in samples.
#[derive(Debug, Default)]
pub(super) struct Tally {
    delay_us: Option<f64>,
    speech: u64,
    concealed: u64,
    concealments: u64,
    /// Guessed while nothing comes, and whether guessing began with it.
    doubtful: (usize, bool),
    recovered: u64,
    pub(super) late: u64,
    pub(super) duplicates: u64,
    pub(super) discarded: u64,
    pub(super) undecodable: u64,
    pub(super) expanded: u64,
    pub(super) compressed: u64,
}

impl Tally {
    pub(super) fn played(&mut self, samples: usize, delay_us: i64) {
        self.speech += samples as u64;
        let delay_us = delay_us.max(0) as f64;
        let mean = self.delay_us.get_or_insert(delay_us);
        *mean += (delay_us - *mean) * NEWEST;
    }

    pub(super) fn concealed(&mut self, samples: usize, begins: bool) {
        self.concealed += samples as u64;
        self.concealments += u64::from(begins);
    }

    /// Guessed while nothing comes: whether anything was lost is not known yet.
    pub(super) fn doubt(&mut self, samples: usize, begins: bool) {
        self.doubtful.0 += samples;
        self.doubtful.1 |= begins;
    }

    /// So much of it was said, and lost.
    pub(super) fn settle(&mut self, samples: usize) {
        let (_, begins) = std::mem::take(&mut self.doubtful);
        self.concealed(samples, begins && samples > 0);
    }

    /// Samples of which it is not known yet.
    pub(super) const fn doubtful(&self) -> usize {
        self.doubtful.0
    }

    pub(super) fn recovered(&mut self, samples: usize) {
        self.recovered += samples as u64;
    }

    pub(super) fn report(&self, rate: Rate, target_us: Option<i64>) -> PlayoutReport {
        let length = |samples: u64| {
            Duration::from_micros(samples.saturating_mul(1_000) / rate.per_ms() as u64)
        };
        let micros = |us: i64| Duration::from_micros(u64::try_from(us).unwrap_or(0));
        PlayoutReport {
            delay: self.delay_us.map(|us| micros(us as i64)),
            target: target_us.map(micros),
            speech: length(self.speech),
            concealed: length(self.concealed),
            concealments: self.concealments,
            recovered: length(self.recovered),
            late: self.late,
            duplicates: self.duplicates,
            discarded: self.discarded,
            undecodable: self.undecodable,
            expanded: length(self.expanded),
            compressed: length(self.compressed),
        }
    }
}
