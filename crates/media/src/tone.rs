//! Tones: a generator of one or two sines, the pairs of a telephone's keys, and a Goertzel detector that says how much of a signal is one frequency.
//!
//! Used by tests and demonstrations to prove that the right side is heard, and by notices.

use crate::codec::Rate;
use crate::g711::Law;

/// Samples per second of everything here.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// A generator of one or two sines, continuous over calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Tone {
    sines: [Sine; 2],
    sample: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sine {
    hz: f64,
    /// Peak, 0.0-1.0 of full scale.
    amplitude: f64,
}

/// The frequencies of the keys in Hz (ITU-T Q.23): one of a row and one of a column.
const ROWS_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS_HZ: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The keys, row by row.
const KEYS: &[u8; 16] = b"123A456B789C*0#D";

/// Levels of the two sines of a key. The higher one is 2 dB louder, because lines attenuate it more (ITU-T Q.24 Annex A); both lie well
/// inside of what every receiver there takes.
const ROW_DBM0: f64 = -10.0;
const COLUMN_DBM0: f64 = -8.0;

/// Level of a sine of full scale in mu-law (ITU-T G.711 section 4); A-law lies 0.03 dB below, which nobody hears.
const FULL_SCALE_DBM0: f64 = 3.17;

/// Peak of a sine of this level, as a share of full scale.
fn amplitude_of(dbm0: f64) -> f64 {
    10_f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0)
}

impl Tone {
    /// One sine of `frequency_hz` with peak `amplitude` (0.0-1.0 of full scale).
    #[must_use]
    pub const fn single(frequency_hz: f64, amplitude: f64) -> Self {
        let sine = Sine {
            hz: frequency_hz,
            amplitude,
        };
        let none = Sine {
            hz: 0.0,
            amplitude: 0.0,
        };
        Self {
            sines: [sine, none],
            sample: 0,
        }
    }

    /// Two sines that share `amplitude`, as in ringback or a DTMF key.
    #[must_use]
    pub const fn dual(low_hz: f64, high_hz: f64, amplitude: f64) -> Self {
        let amplitude = amplitude / 2.0;
        let low = Sine {
            hz: low_hz,
            amplitude,
        };
        let high = Sine {
            hz: high_hz,
            amplitude,
        };
        Self {
            sines: [low, high],
            sample: 0,
        }
    }

    /// The two sines of a key (`0-9*#A-D`), at the levels of a telephone; `None` for what is no key.
    #[must_use]
    pub fn key(digit: char) -> Option<Self> {
        let place = KEYS.iter().position(|key| char::from(*key) == digit)?;
        let low = Sine {
            hz: ROWS_HZ[place / 4],
            amplitude: amplitude_of(ROW_DBM0),
        };
        let high = Sine {
            hz: COLUMNS_HZ[place % 4],
            amplitude: amplitude_of(COLUMN_DBM0),
        };
        Some(Self {
            sines: [low, high],
            sample: 0,
        })
    }

    /// One sine of this level, for notices.
    #[must_use]
    pub fn notice(frequency_hz: f64, dbm0: f64) -> Self {
        Self::single(frequency_hz, amplitude_of(dbm0))
    }

    /// The next sample at 8 kHz.
    pub fn next_sample(&mut self) -> i16 {
        self.sample_at(SAMPLE_RATE_HZ)
    }

    /// Fills `out` with the next samples at the given rate; one tone keeps to one rate.
    pub fn fill_linear(&mut self, rate: Rate, out: &mut [i16]) {
        for sample in out {
            *sample = self.sample_at(rate.hz());
        }
    }

    fn sample_at(&mut self, rate_hz: u32) -> i16 {
        let seconds = self.sample as f64 / f64::from(rate_hz);
        self.sample += 1;
        let level: f64 = self
            .sines
            .iter()
            .map(|sine| sine.amplitude * (std::f64::consts::TAU * sine.hz * seconds).sin())
            .sum();
        (level.clamp(-1.0, 1.0) * f64::from(i16::MAX)) as i16
    }

    /// Fills `out` with the next samples in the given law.
    pub fn fill(&mut self, law: Law, out: &mut [u8]) {
        for octet in out {
            *octet = law.encode(self.next_sample());
        }
    }
}

/// The share of the power of `samples` that lies at `frequency_hz`: near 1.0 for a pure tone of that frequency, near 0.0
/// for anything else; `None` for silence (mean square below 100; the silence of A-law is 64) and for no samples.
#[must_use]
pub fn share_of(frequency_hz: f64, samples: &[i16]) -> Option<f64> {
    let power: f64 = samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum();
    let count = samples.len() as f64;
    if samples.is_empty() || power / count < 100.0 {
        return None;
    }
    let turn = std::f64::consts::TAU * frequency_hz / f64::from(SAMPLE_RATE_HZ);
    let coefficient = 2.0 * turn.cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        let next = f64::from(*sample) + coefficient * last - before;
        before = last;
        last = next;
    }
    let magnitude = last * last + before * before - coefficient * last * before;
    Some(2.0 * magnitude / (count * power))
}

/// As [`share_of`], for G.711 octets.
#[must_use]
pub fn share_in(law: Law, frequency_hz: f64, octets: &[u8]) -> Option<f64> {
    let samples: Vec<i16> = octets.iter().map(|octet| law.decode(*octet)).collect();
    share_of(frequency_hz, &samples)
}

/// The level of one frequency in `samples`, in dB above an amplitude of 1; over whole periods of it, or the rest counts for something else.
#[must_use]
pub fn level_db(rate: Rate, frequency_hz: f64, samples: &[i16]) -> f64 {
    let turn = std::f64::consts::TAU * frequency_hz / f64::from(rate.hz());
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        re += f64::from(*sample) * (turn * n as f64).cos();
        im += f64::from(*sample) * (turn * n as f64).sin();
    }
    20.0 * (2.0 * f64::hypot(re, im) / samples.len() as f64).log10()
}

/// The sharpest bend of a curve, its largest second difference: a click bends it more than any voice.
#[must_use]
pub fn sharpest_bend(samples: &[i16]) -> i32 {
    samples
        .windows(3)
        .map(|w| (i32::from(w[2]) - 2 * i32::from(w[1]) + i32::from(w[0])).abs())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_tone_is_told_from_another() {
        for law in [Law::Mu, Law::A] {
            let mut octets = [0; 1_600];
            Tone::single(440.0, 0.5).fill(law, &mut octets);
            assert!(share_in(law, 440.0, &octets).unwrap() > 0.95);
            assert!(share_in(law, 660.0, &octets).unwrap() < 0.02);
        }
    }

    #[test]
    fn a_dual_tone_has_both() {
        let mut tone = Tone::dual(770.0, 1_336.0, 0.8);
        let samples: Vec<i16> = (0..1_600).map(|_| tone.next_sample()).collect();
        for hz in [770.0, 1_336.0] {
            let share = share_of(hz, &samples).unwrap();
            assert!((0.4..0.6).contains(&share), "{hz}: {share}");
        }
    }

    /// A far end without telephone events must read each key from the sound alone: both its frequencies, at the level of a telephone, and
    /// no other key's.
    #[test]
    fn every_key_sounds_as_itself_and_no_other() {
        for law in [Law::Mu, Law::A] {
            for (place, key) in KEYS.iter().enumerate() {
                let mut octets = [0; 1_600];
                let mut tone = Tone::key(char::from(*key)).unwrap();
                tone.fill(law, &mut octets);
                for (index, hz) in ROWS_HZ.iter().enumerate() {
                    let share = share_in(law, *hz, &octets).unwrap();
                    assert_eq!(
                        share > 0.35,
                        index == place / 4,
                        "{hz} Hz of {key}: {share}"
                    );
                }
                for (index, hz) in COLUMNS_HZ.iter().enumerate() {
                    let share = share_in(law, *hz, &octets).unwrap();
                    assert_eq!(
                        share > 0.55,
                        index == place % 4,
                        "{hz} Hz of {key}: {share}"
                    );
                }
                let power: f64 = octets
                    .iter()
                    .map(|octet| f64::from(law.decode(*octet)).powi(2))
                    .sum::<f64>()
                    / 1_600.0;
                // A sine of full scale has half of its peak's power.
                let dbm0 =
                    10.0 * (power / (f64::from(i16::MAX).powi(2) / 2.0)).log10() + FULL_SCALE_DBM0;
                // -10 and -8 dBm0 together.
                assert!((dbm0 + 5.88).abs() < 0.3, "{dbm0}");
            }
        }
        assert_eq!(Tone::key('x'), None);
    }

    #[test]
    fn silence_has_no_tone() {
        for law in [Law::Mu, Law::A] {
            assert_eq!(share_in(law, 440.0, &[law.silence(); 160]), None);
        }
        assert_eq!(share_of(440.0, &[]), None);
    }
}
