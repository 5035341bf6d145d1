//! Guesses at lost sound from what was heard before it, for codecs that have none of their own.
//!
//! In the manner of ITU-T G.711 Appendix I: the last period of the voice is repeated, after 10 ms two of them and after 20 ms three, so that it does not
//! buzz; from 10 ms on it fades, and after 60 ms there is silence, or what the background was. Unlike there nothing is delayed:
//! the step at the beginning is spread over a millisecond, and the end is blended into what comes next.

use crate::codec::Rate;
use crate::pitch::{best_lag, cross_fade, likeness};

/// Periods of 66 to 200 Hz; of a higher voice two or three periods are taken for one.
const PERIOD_MS_MIN: usize = 5;
const PERIOD_MS_MAX: usize = 15;

/// The stretch in which the period is looked for.
const WINDOW_MS: usize = 20;

/// Full volume up to here.
const FADE_FROM_MS: usize = 10;

/// Nothing from here on.
const FADE_TO_MS: usize = 60;

/// A pause, an interruption: the fade that is no click.
const HUSH_MS: usize = 5;

/// The step at the beginning, from what was heard to what is repeated, is gone after this.
const STEP_MS: usize = 1;

/// Blending into what follows takes a quarter of a period, so much longer with each 10 ms that were guessed before the last, and at most this.
const BLEND_MORE_MS: usize = 4;
const BLEND_MS_MAX: usize = 10;

/// Most periods that are repeated.
const PERIODS_MAX: usize = 3;

/// What is quieter than this, about -47 dB of full scale, is background; what is louder is somebody, or music.
const NOISE_MAX: f32 = 150.0;

/// How fast the background is believed to rise, and to fall, per frame of it: the end of a word passes through as well.
const NOISE_RISE: f32 = 0.1;
const NOISE_FALL: f32 = 0.5;

/// A stretch of the past that is repeated.
#[derive(Clone, Copy, Debug, Default)]
struct Loop {
    periods: usize,
    /// Samples from its beginning.
    at: usize,
}

/// The guess of one direction.
#[derive(Debug)]
pub struct Concealer {
    rate: Rate,
    /// The last periods of what was heard, and a quarter of one more.
    past: Box<[i16]>,
    period: usize,
    now: Loop,
    /// What was repeated before, and how many samples of the passage to `now` are left.
    before: Loop,
    passage: usize,
    /// Samples guessed so far, and when they fade.
    made: usize,
    fade: (usize, usize),
    /// The step at the beginning.
    step: i32,
    /// Root mean square of the background.
    noise: f32,
    random: u32,
}

impl Concealer {
    /// One that has heard nothing.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let past = rate.per_ms() * (PERIODS_MAX * PERIOD_MS_MAX + PERIOD_MS_MAX / 4 + 1);
        Self {
            rate,
            past: vec![0; past].into_boxed_slice(),
            period: rate.per_ms() * PERIOD_MS_MAX,
            now: Loop::default(),
            before: Loop::default(),
            passage: 0,
            made: 0,
            fade: (0, 0),
            step: 0,
            noise: 0.0,
            random: 0x9e37_79b9,
        }
    }

    /// Listens to a frame in which all is well, for the background that stands behind speech.
    pub fn listen(&mut self, frame: &[i16]) {
        if frame.is_empty() {
            return;
        }
        let power: i64 = frame
            .iter()
            .map(|sample| i64::from(*sample) * i64::from(*sample))
            .sum();
        let level = (power as f32 / frame.len() as f32).sqrt();
        if level < NOISE_MAX {
            let rate = if level > self.noise {
                NOISE_RISE
            } else {
                NOISE_FALL
            };
            self.noise += (level - self.noise) * rate;
        }
    }

    /// A guess begins behind this sound; the last 50 ms of it are looked at.
    pub fn begin(&mut self, heard: &[i16]) {
        let wanted = self.past.len();
        let known = heard.len().min(wanted);
        self.past[..wanted - known].fill(0);
        self.past[wanted - known..].copy_from_slice(&heard[heard.len() - known..]);
        self.find_period();
        self.now = Loop { periods: 1, at: 0 };
        self.passage = 0;
        self.made = 0;
        self.fade = (self.samples(FADE_FROM_MS), self.samples(FADE_TO_MS));
        let last = i32::from(self.past[wanted - 1]);
        self.step = last - i32::from(self.past[wanted - 1 - self.period]);
    }

    /// The guess fades at once.
    pub fn hush(&mut self) {
        let to = self.made + self.samples(HUSH_MS);
        if to < self.fade.1 {
            // As loud as it is now, and on a steeper way down.
            let loud = self.volume();
            let from = self.made as f32 - (1.0 - loud) / loud.max(0.01) * (to - self.made) as f32;
            self.fade = (from.max(0.0) as usize, to);
        }
    }

    /// Something of the guess is still heard.
    #[must_use]
    pub fn is_audible(&self) -> bool {
        self.made < self.fade.1
    }

    /// Guesses on.
    pub fn fill(&mut self, out: &mut [i16]) {
        let (tenth, step_end) = (self.samples(10), self.samples(STEP_MS));
        for sample in out {
            if self.made < self.fade.1 {
                if self.made == tenth || self.made == 2 * tenth {
                    self.add_period();
                }
                let mut guess = self.next_looped();
                if self.made < step_end {
                    guess += self.step * (step_end - self.made) as i32 / step_end as i32;
                }
                let volume = self.volume();
                let noise = self.next_noise() * (1.0 - volume);
                *sample = (guess as f32 * volume + noise) as i16;
            } else {
                *sample = self.next_noise() as i16;
            }
            self.made += 1;
        }
    }

    /// Blends the guess into the beginning of what is heard again.
    pub fn blend(&mut self, heard: &mut [i16]) {
        let frames = self.made.saturating_sub(1) / self.samples(10);
        let length = (self.period / 4 + frames * self.samples(BLEND_MORE_MS))
            .min(self.samples(BLEND_MS_MAX))
            .min(heard.len());
        let mut guess = [0; BLEND_MS_MAX * Rate::Wide.per_ms()];
        let guess = &mut guess[..length];
        self.fill(guess);
        cross_fade(guess, &mut heard[..length]);
    }

    const fn samples(&self, ms: usize) -> usize {
        ms * self.rate.per_ms()
    }

    fn volume(&self) -> f32 {
        let (from, to) = self.fade;
        if self.made <= from {
            1.0
        } else if self.made >= to {
            0.0
        } else {
            (to - self.made) as f32 / (to - from) as f32
        }
    }

    fn find_period(&mut self) {
        let at = self.past.len() - self.samples(WINDOW_MS);
        let recent = &self.past[at..];
        let lags = self.samples(PERIOD_MS_MIN)..=self.samples(PERIOD_MS_MAX);
        let stride = self.rate.per_ms() / 4;
        let (lag, _) = best_lag(lags, stride, |lag, step| {
            likeness(recent, &self.past[at - lag..], step)
        });
        self.period = lag;
    }

    /// The sample of a loop; in its last quarter period it passes over to what was heard before its beginning, so that it closes.
    fn looped(&self, from: Loop) -> i16 {
        let length = from.periods * self.period;
        let index = self.past.len() - length + from.at;
        let sample = i32::from(self.past[index]);
        let quarter = self.period / 4;
        let left = length - from.at;
        if left > quarter {
            return sample as i16;
        }
        let earlier = i32::from(self.past[index - length]);
        let share = (quarter - left + 1) as i32;
        (sample + (earlier - sample) * share / (quarter + 1) as i32) as i16
    }

    fn next_looped(&mut self) -> i32 {
        let mut sample = i32::from(self.looped(self.now));
        step(&mut self.now, self.period);
        if self.passage > 0 {
            let before = i32::from(self.looped(self.before));
            step(&mut self.before, self.period);
            let (left, whole) = (self.passage as i32, (self.period / 4) as i32 + 1);
            sample += (before - sample) * left / whole;
            self.passage -= 1;
        }
        sample
    }

    /// From now on one period more is repeated.
    fn add_period(&mut self) {
        if self.now.periods == PERIODS_MAX {
            return;
        }
        self.before = self.now;
        self.passage = self.period / 4;
        self.now = Loop {
            periods: self.now.periods + 1,
            at: self.now.at % self.period,
        };
    }

    fn next_noise(&mut self) -> f32 {
        if self.noise < 1.0 {
            return 0.0;
        }
        // Xorshift (Marsaglia 2003): nobody has to guess this noise.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let uniform = (self.random >> 8) as f32 / 8_388_608.0 - 1.0;
        // An even distribution has a third of its peak's power.
        uniform * self.noise * 1.732
    }
}

fn step(position: &mut Loop, period: usize) {
    position.at += 1;
    if position.at == position.periods * period {
        position.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(samples: &[i16]) -> f64 {
        let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        (power / samples.len() as f64).sqrt()
    }

    fn buzz(samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|n| if n % 64 < 6 { 9_000 } else { -900 })
            .collect()
    }

    /// A voice goes on in its own pitch, then fades, and is gone after 60 ms.
    #[test]
    fn a_voice_goes_on_for_a_moment() {
        let heard = buzz(64 * 10);
        let mut concealer = Concealer::new(Rate::Narrow);
        concealer.begin(&heard);
        let mut guess = [0; 800];
        concealer.fill(&mut guess);
        let alike = likeness(&guess[..80], &buzz(80), 1);
        assert!(alike > 0.99, "{alike}");
        let loud = level(&heard);
        assert!(level(&guess[320..400]) < loud * 0.5);
        assert!(level(&guess[320..400]) > loud * 0.1);
        assert!(!concealer.is_audible());
        assert!(guess[480..].iter().all(|sample| *sample == 0));
    }

    /// The office behind the customer stays when the guess has faded; hold music leaves nothing behind.
    #[test]
    fn the_background_stays_and_music_does_not() {
        for (loud, stays) in [(60, 30.0..90.0), (6_000, 0.0..1.0)] {
            let mut concealer = Concealer::new(Rate::Narrow);
            let frame: Vec<i16> = (0..160_i16)
                .map(|n| if n % 2 == 0 { loud } else { -loud })
                .collect();
            for _ in 0..1_000 {
                concealer.listen(&frame);
            }
            concealer.begin(&frame);
            let mut guess = [0; 1_600];
            concealer.fill(&mut guess);
            let left = level(&guess[800..]);
            assert!(stays.contains(&left), "{loud}: {left}");
        }
    }

    /// An interruption is over in 5 ms, however far the guess was.
    #[test]
    fn a_hush_is_short() {
        for before in [0, 100, 300, 600] {
            let mut concealer = Concealer::new(Rate::Wide);
            concealer.begin(&buzz(2_000));
            concealer.fill(&mut vec![0; before]);
            concealer.hush();
            let mut guess = [0; 160];
            concealer.fill(&mut guess);
            assert!(guess[80..].iter().all(|sample| *sample == 0), "{before}");
        }
    }
}
