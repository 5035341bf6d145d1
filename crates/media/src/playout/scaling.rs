//! When to make speech shorter or longer, and doing it by whole periods of the voice.
//!
//! A packet of 20 ms that comes in time is needed once per frame, so what protects against lateness is how long packets wait until they
//! are decoded. Samples that are decoded and left over protect nothing: they are delay only.

use crate::codec::{FRAME_MS, Rate};
use crate::pitch::{best_lag, likeness};

/// Decoded packets that are looked at.
const PACKETS: usize = 8;

/// As many must be known before anything is done, so that no sentence is sung.
const PACKETS_MIN: usize = 4;
const PACKETS_MIN_IN_A_HURRY: usize = 2;

/// Frames between two changes that only make a good delay a little better.
const REST_IDLE: u32 = 25;

/// Beyond this much too much delay there is a hurry: speech becomes shorter by a third.
const HURRY_US: i64 = 80_000;

/// Waiting less than this above the target is too little: clocks that drift apart use it up in seconds.
const MARGIN_US: i64 = 1_000;

/// Waiting a frame and this above the target is too much.
const SURPLUS_US: i64 = 3_000;

/// Left-over samples of this length are worth a cut.
const LEFT_MS_MIN: usize = 8;

/// Periods that are cut out or put in.
const PERIOD_MS_MIN: usize = 4;
pub(super) const PERIOD_MS_MAX: usize = 15;

/// The stretch that must be alike.
const WINDOW_MS: usize = 10;

/// Sound that repeats itself so well can lose a period unheard.
const ALIKE: f32 = 0.85;

/// In a hurry.
const ALIKE_IN_A_HURRY: f32 = 0.5;

/// Below this root mean square (-50 dB of full scale) it is silence, and any stretch of it can go.
const QUIET: f32 = 100.0;

/// What should be done to what is played next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Cut out up to so many samples.
    Shorten { most: usize, hurry: bool },
    /// Put a period in.
    Lengthen,
}

/// How long the packets decoded last had waited.
#[derive(Debug)]
pub(super) struct Waits {
    /// From the moment a packet stands for to its decoding, and from its arrival, in microseconds.
    packets: [(i64, i64); PACKETS],
    known: usize,
    next: usize,
    /// The fewest samples that were left over since the last change.
    left: Option<usize>,
    rest: u32,
}

impl Waits {
    pub(super) const fn new() -> Self {
        Self {
            packets: [(0, 0); PACKETS],
            known: 0,
            next: 0,
            left: None,
            rest: 0,
        }
    }

    /// A packet was decoded.
    pub(super) fn decoded(&mut self, since_spoken_us: i64, since_arrival_us: i64) {
        self.packets[self.next] = (since_spoken_us, since_arrival_us);
        self.next = (self.next + 1) % PACKETS;
        self.known = (self.known + 1).min(PACKETS);
    }

    /// A frame was played, and so many samples are left over.
    pub(super) fn played(&mut self, left: usize) {
        self.left = Some(self.left.map_or(left, |fewest| fewest.min(left)));
        self.rest = self.rest.saturating_add(1);
    }

    /// What is known says nothing about what comes.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }

    /// Something was put in or taken out: how long packets wait must be seen anew, because it changes by whole frames.
    pub(super) fn changed(&mut self) {
        self.known = 0;
        self.next = 0;
        self.left = None;
        self.rest = 0;
    }

    /// What should be done, when nearly all packets come within `target_us`.
    pub(super) fn advice(&self, target_us: i64, rate: Rate) -> Option<Change> {
        let known = &self.packets[..self.known];
        let spoken = known.iter().map(|(spoken, _)| *spoken).min()?;
        let arrived = known.iter().map(|(_, arrived)| *arrived).min()?;
        let frame_us = FRAME_MS as i64 * 1_000;
        let too_much = (spoken - frame_us - target_us).min(arrived - frame_us);
        let hurry = too_much > HURRY_US;
        let enough = if hurry {
            PACKETS_MIN_IN_A_HURRY
        } else {
            PACKETS_MIN
        };
        if self.known < enough {
            return None;
        }
        if spoken < target_us + MARGIN_US {
            return Some(Change::Lengthen);
        }
        let most = rate.per_ms() * PERIOD_MS_MAX;
        if too_much > SURPLUS_US {
            return Some(Change::Shorten { most, hurry });
        }
        let left = self.left.filter(|_| self.rest >= REST_IDLE)?;
        (left >= LEFT_MS_MIN * rate.per_ms()).then(|| Change::Shorten {
            most: most.min(left),
            hurry,
        })
    }
}

/// How many samples can be cut out at the beginning of `ahead` unheard.
pub(super) fn cut(ahead: &[i16], most: usize, hurry: bool, rate: Rate) -> Option<usize> {
    let window = WINDOW_MS * rate.per_ms();
    let most = most
        .min(ahead.len().saturating_sub(window))
        .min(ahead.len() / 2);
    if is_quiet(ahead) {
        return (most > 0).then_some(most);
    }
    let likeness_at = |lag: usize, step: usize| likeness(&ahead[..window], &ahead[lag..], step);
    period(most, hurry, rate, likeness_at)
}

/// How many samples of the past can be put in again before `ahead` unheard. `so_far` is the past, up to `ahead`.
pub(super) fn stretch(so_far: &[i16], ahead: &[i16], rate: Rate) -> Option<usize> {
    let most = (PERIOD_MS_MAX * rate.per_ms())
        .min(ahead.len())
        .min(so_far.len());
    if is_quiet(ahead) {
        return (most > 0).then_some(most);
    }
    let window = WINDOW_MS * rate.per_ms();
    let recent = ahead.get(..window)?;
    // The end of the past is the beginning of what is ahead: for short lags the window reaches over.
    let likeness_at = |lag: usize, step: usize| {
        let past = &so_far[so_far.len() - lag..];
        likeness(&recent[..window.min(lag)], past, step)
    };
    period(most, false, rate, likeness_at)
}

fn period(
    most: usize,
    hurry: bool,
    rate: Rate,
    alike: impl Fn(usize, usize) -> f32,
) -> Option<usize> {
    let least = PERIOD_MS_MIN * rate.per_ms();
    if most < least {
        return None;
    }
    let (lag, value) = best_lag(least..=most, rate.per_ms() / 4, alike);
    let wanted = if hurry { ALIKE_IN_A_HURRY } else { ALIKE };
    (value >= wanted).then_some(lag)
}

fn is_quiet(samples: &[i16]) -> bool {
    let power: i64 = samples
        .iter()
        .map(|sample| i64::from(*sample) * i64::from(*sample))
        .sum();
    (power as f32) < QUIET * QUIET * samples.len() as f32
}
