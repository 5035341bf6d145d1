//! Tones: a generator of one or two sines, and a Goertzel detector that says how much of a signal is one frequency.
//!
//! Used by tests and demonstrations to prove that the right side is heard, and by notices.

use crate::g711::Law;

/// Samples per second of everything here.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// A generator of one or two sines, continuous over calls.
#[derive(Clone, Debug)]
pub struct Tone {
    frequencies_hz: [f64; 2],
    amplitude: f64,
    sample: u64,
}

impl Tone {
    /// One sine of `frequency_hz` with peak `amplitude` (0.0-1.0 of full scale).
    #[must_use]
    pub const fn single(frequency_hz: f64, amplitude: f64) -> Self {
        Self {
            frequencies_hz: [frequency_hz, 0.0],
            amplitude,
            sample: 0,
        }
    }

    /// Two sines that share `amplitude`, as in ringback or a DTMF key.
    #[must_use]
    pub const fn dual(low_hz: f64, high_hz: f64, amplitude: f64) -> Self {
        Self {
            frequencies_hz: [low_hz, high_hz],
            amplitude,
            sample: 0,
        }
    }

    /// The next sample.
    pub fn next_sample(&mut self) -> i16 {
        let [first, second] = self.frequencies_hz;
        let seconds = self.sample as f64 / f64::from(SAMPLE_RATE_HZ);
        self.sample += 1;
        let sine = |hz: f64| (std::f64::consts::TAU * hz * seconds).sin();
        let level = if second > 0.0 {
            (sine(first) + sine(second)) / 2.0
        } else {
            sine(first)
        };
        (level * self.amplitude.clamp(0.0, 1.0) * f64::from(i16::MAX)) as i16
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

    #[test]
    fn silence_has_no_tone() {
        for law in [Law::Mu, Law::A] {
            assert_eq!(share_in(law, 440.0, &[law.silence(); 160]), None);
        }
        assert_eq!(share_of(440.0, &[]), None);
    }
}
