//! One line of time and one row of numbers out of whatever sources there were.
//!
//! A source counts in its own 16 bits of sequence number and 32 bits of timestamp. Here its packets get numbers that never wrap and
//! positions in samples. Where a source ends and another begins, or where its timestamps jump further than any network delays, a new
//! stretch begins; its first packet is placed by the clock.

use crate::codec::{Codec, Rate};
use crate::limits::{FORMER_SSRC_BARRED, SEQUENCE_DROPOUT_MAX, SEQUENCE_MISORDER_MAX};

use super::delay::Delays;

/// Numbers left free before a new stretch, for packets of it that come behind its first one.
const NUMBERS_BETWEEN: i64 = 64;

/// A stretch that begins this much later than the one before ended follows it at once: packets are late, speakers do not pause for this.
const SEAM_MS: i64 = 40;

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// Highest number so far.
    highest: i64,
    /// The low 16 bits of which are this.
    sequence: u16,
    /// Newest timestamp, extended, in ticks since `anchor`.
    ticks: i64,
    timestamp: u32,
    /// The position of tick 0.
    anchor: i64,
    /// A packet outside of the row has come; this number would confirm that the row is another one.
    suspected: Option<u16>,
}

/// What a packet says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    /// Its timestamp tells when its sound was made.
    pub(super) timed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) number: i64,
    pub(super) position: i64,
    pub(super) stretch: u32,
}

#[derive(Debug)]
pub(super) struct Timeline {
    rate: Rate,
    ticks_per_ms: i64,
    stretch: u32,
    /// Where the numbers of the next stretch begin.
    free: i64,
    source: Option<Source>,
    /// The source before, and until when its stragglers are dropped.
    former: Option<(u32, i64)>,
}

impl Timeline {
    pub(super) fn new(codec: Codec, rate: Rate) -> Self {
        Self {
            rate,
            ticks_per_ms: i64::from(codec.ticks_per_ms()),
            stretch: 0,
            free: 0,
            source: None,
            former: None,
        }
    }

    /// The next packet begins a stretch, with the clock of this codec.
    pub(super) fn restart(&mut self, codec: Codec) {
        self.ticks_per_ms = i64::from(codec.ticks_per_ms());
        if let Some(source) = self.source.take() {
            self.free = source.highest + 1;
        }
    }

    /// When a position would be played without any delay, in microseconds.
    pub(super) fn micros(&self, position: i64) -> i64 {
        position * 1_000 / self.rate.per_ms() as i64
    }

    /// The position that a moment without any delay has.
    fn position(&self, micros: i64) -> i64 {
        micros * self.rate.per_ms() as i64 / 1_000
    }

    /// Places a packet; `None` when it is not believed yet. Nothing of a new stretch is placed before `end`.
    pub(super) fn place(
        &mut self,
        head: Head,
        now_us: i64,
        end: i64,
        delays: &Delays,
    ) -> Option<Placed> {
        let barred = |(ssrc, until_us)| ssrc == head.ssrc && now_us < until_us;
        if self.former.is_some_and(barred) {
            return None;
        }
        let Some(source) = self.source.filter(|source| source.ssrc == head.ssrc) else {
            return Some(self.begin(head, now_us, end, delays));
        };
        // The low 16 bits are what comes over the wire, so the cut is meant.
        let step = i32::from(head.sequence.wrapping_sub(source.sequence) as i16);
        if !(-SEQUENCE_MISORDER_MAX..=SEQUENCE_DROPOUT_MAX).contains(&step) {
            if source.suspected == Some(head.sequence) {
                return Some(self.begin(head, now_us, end, delays));
            }
            let suspected = Some(head.sequence.wrapping_add(1));
            self.source = Some(Source {
                suspected,
                ..source
            });
            return None;
        }
        let ticks = source.ticks + i64::from(head.timestamp.wrapping_sub(source.timestamp) as i32);
        let samples = (ticks * self.rate.per_ms() as i64).div_euclid(self.ticks_per_ms);
        let mut position = source.anchor + samples;
        if !delays.is_plausible(now_us - self.micros(position)) {
            if head.timed {
                return Some(self.begin(head, now_us, end, delays));
            }
            position = end;
        }
        let number = source.highest + i64::from(step);
        let newer = step > 0;
        let tells_time = newer && head.timed;
        self.source = Some(Source {
            highest: source.highest.max(number),
            sequence: if newer {
                head.sequence
            } else {
                source.sequence
            },
            ticks: if tells_time { ticks } else { source.ticks },
            timestamp: if tells_time {
                head.timestamp
            } else {
                source.timestamp
            },
            suspected: None,
            ..source
        });
        Some(Placed {
            number,
            position,
            stretch: self.stretch,
        })
    }

    fn begin(&mut self, head: Head, now_us: i64, end: i64, delays: &Delays) -> Placed {
        let anchor = delays.median_us().map_or(end, |median| {
            let by_the_clock = self.position(now_us - median);
            let seam = SEAM_MS * self.rate.per_ms() as i64;
            if by_the_clock < end + seam {
                end
            } else {
                by_the_clock
            }
        });
        if let Some(source) = self.source {
            self.free = source.highest + 1;
            let until_us = now_us + FORMER_SSRC_BARRED.as_micros() as i64;
            self.former = (source.ssrc != head.ssrc).then_some((source.ssrc, until_us));
        }
        self.stretch = self.stretch.wrapping_add(1);
        let number = self.free + NUMBERS_BETWEEN;
        self.free = number + NUMBERS_BETWEEN;
        self.source = Some(Source {
            ssrc: head.ssrc,
            highest: number,
            sequence: head.sequence,
            ticks: 0,
            timestamp: head.timestamp,
            anchor,
            suspected: None,
        });
        Placed {
            number,
            position: anchor,
            stretch: self.stretch,
        }
    }
}
