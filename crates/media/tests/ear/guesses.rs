//! Our guesses at lost sound beside those of ITU-T G.711 Appendix I, on the same losses.

use media::codec::Rate;
use media::conceal::Concealer;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::line::phrase;
use crate::stoi::stoi_at;

/// Samples of a frame: 10 ms, as the appendix has it.
const FRAME: usize = 80;

const HISTORY: usize = 390;

/// By so much the appendix delays what is heard: a quarter of the longest period.
const DELAY: usize = 30;

/// What the appendix does, written from its text: a pitch of 5 to 15 ms by normalised correlation, one to three periods joined over a quarter
/// of one, a fifth of the volume less with each 10 ms from the second on, and a delay in which the beginning of a guess is blended.
#[derive(Default)]
struct AppendixI {
    /// What was heard or guessed; the last [`DELAY`] of it are still to be played.
    history: Vec<f32>,
    /// The same when the loss began.
    kept: Vec<f32>,
    erased: usize,
    period: usize,
    cycle: Vec<f32>,
    at: usize,
}

impl AppendixI {
    fn find_period(&self) -> usize {
        let recent = &self.kept[HISTORY - 160..];
        let value = |lag: usize| {
            let past = &self.kept[HISTORY - 160 - lag..HISTORY - lag];
            let cross: f32 = recent.iter().zip(past).map(|(a, b)| a * b).sum();
            let power: f32 = past.iter().map(|b| b * b).sum();
            cross / power.max(400.0).sqrt()
        };
        (40..=120)
            .max_by(|one, two| value(*one).total_cmp(&value(*two)))
            .unwrap()
    }

    /// The last periods of what was heard; their end goes over into what was before their beginning.
    fn take_periods(&mut self, periods: usize) {
        let (length, quarter) = (periods * self.period, self.period / 4);
        self.cycle = self.kept[HISTORY - length..].to_vec();
        for n in 0..quarter {
            let earlier = self.kept[HISTORY - length - quarter + n];
            let place = length - quarter + n;
            self.cycle[place] = fade(self.cycle[place], earlier, n, quarter);
        }
    }

    fn next(&mut self) -> f32 {
        let sample = self.cycle[self.at];
        self.at = (self.at + 1) % self.cycle.len();
        sample
    }

    /// A guess of so many samples, before its volume is lowered.
    fn guess(&mut self, samples: usize) -> Vec<f32> {
        (0..samples).map(|_| self.next()).collect()
    }

    fn volume(&self, n: usize) -> f32 {
        let passed = self.erased as f32 - 1.0 + n as f32 / FRAME as f32;
        (1.0 - 0.2 * (passed - 1.0).max(0.0)).max(0.0)
    }

    fn lose(&mut self) {
        self.erased += 1;
        let quarter = self.period / 4;
        let mut frame = if self.erased == 1 {
            self.kept = self.history.clone();
            self.period = self.find_period();
            self.take_periods(1);
            self.at = 0;
            let quarter = self.period / 4;
            let end = &self.cycle[self.cycle.len() - quarter..];
            self.history[HISTORY - quarter..].copy_from_slice(end);
            self.guess(FRAME)
        } else if self.erased <= 3 {
            let (at, before) = (self.at, self.guess(quarter));
            self.take_periods(self.erased);
            self.at = at % self.period;
            let mut frame = self.guess(FRAME);
            for (n, before) in before.iter().enumerate() {
                frame[n] = fade(*before, frame[n], n, quarter);
            }
            frame
        } else {
            self.guess(FRAME)
        };
        for (n, sample) in frame.iter_mut().enumerate() {
            *sample *= self.volume(n);
        }
        self.append(&frame);
    }

    fn hear(&mut self, frame: &[i16]) {
        let mut frame: Vec<f32> = frame.iter().map(|sample| f32::from(*sample)).collect();
        if self.erased > 0 {
            // Up to 10 ms: a quarter of a period, and 4 ms more with each frame that was lost.
            let overlap = (self.period / 4 + 32 * (self.erased - 1)).min(FRAME);
            let guess = self.guess(overlap);
            self.erased += 1;
            for (n, guess) in guess.iter().enumerate() {
                frame[n] = fade(guess * self.volume(n), frame[n], n, overlap);
            }
            self.erased = 0;
        }
        self.append(&frame);
    }

    fn append(&mut self, frame: &[f32]) {
        self.history.drain(..FRAME);
        self.history.extend_from_slice(frame);
    }

    /// What is heard now.
    fn play(&self) -> impl Iterator<Item = i16> {
        let end = HISTORY - DELAY;
        self.history[end - FRAME..end]
            .iter()
            .map(|sample| *sample as i16)
    }
}

fn fade(from: f32, to: f32, n: usize, of: usize) -> f32 {
    let share = (n + 1) as f32 / (of + 1) as f32;
    from * (1.0 - share) + to * share
}

fn by_the_appendix(said: &[i16], lost: &[bool]) -> Vec<i16> {
    let mut guesser = AppendixI {
        history: vec![0.0; HISTORY],
        ..AppendixI::default()
    };
    let mut heard = Vec::new();
    for (frame, lost) in said.chunks_exact(FRAME).zip(lost) {
        if *lost {
            guesser.lose();
        } else {
            guesser.hear(frame);
        }
        heard.extend(guesser.play());
    }
    heard
}

fn by_us(said: &[i16], lost: &[bool]) -> Vec<i16> {
    let mut concealer = Concealer::new(Rate::Narrow);
    let mut heard = vec![0; 400];
    let mut guessing = false;
    for (frame, lost) in said.chunks_exact(FRAME).zip(lost) {
        let mut frame = frame.to_vec();
        if *lost {
            if !guessing {
                concealer.begin(&heard);
            }
            concealer.fill(&mut frame);
        } else if guessing {
            concealer.blend(&mut frame);
        } else {
            concealer.listen(&frame);
        }
        guessing = *lost;
        heard.extend(frame);
    }
    heard.split_off(400)
}

fn in_silence(said: &[i16], lost: &[bool]) -> Vec<i16> {
    let frames = said.chunks_exact(FRAME).zip(lost);
    frames
        .flat_map(|(frame, lost)| frame.iter().map(|s| if *lost { 0 } else { *s }))
        .collect()
}

/// Losses of 20 and 40 ms: what we guess is understood as well as what the appendix guesses, without its delay, and a third of what silence costs is saved at
/// least.
#[test]
fn our_guesses_are_as_good_as_the_appendix() {
    let said = phrase();
    for (percent, seed) in [(3.0, 1), (10.0, 2), (20.0, 3), (10.0, 4), (20.0, 5)] {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let lost: Vec<bool> = (0..said.len() / FRAME / 2)
            .map(|_| random.random_range(0.0..100.0_f64) < percent)
            .flat_map(|lost| [lost, lost])
            .collect();
        let score = |heard: &[i16], delay| stoi_at(&said, heard, Rate::Narrow, |_| delay);
        let ours = score(&by_us(&said, &lost), 0);
        let appendix = score(&by_the_appendix(&said, &lost), DELAY);
        let silence = score(&in_silence(&said, &lost), 0);
        let scores =
            format!("{percent} %: {ours:.4}, appendix {appendix:.4}, silence {silence:.4}");
        assert!(ours > appendix - 0.005, "{scores}");
        assert!(ours > silence + 0.3 * (1.0 - silence), "{scores}");
    }
}
