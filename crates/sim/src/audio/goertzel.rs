//! Which tone is in these samples, and how loud are they?

/// Sampling rate of everything here.
const RATE_HZ: f64 = 8000.0;
/// Coarse grid of the search, narrower than the main lobe of a 200 ms window is wide.
const COARSE_HZ: u32 = 4;
/// A tone holds at least this share of the energy; speech and noise spread theirs.
const TONE_SHARE: f64 = 0.5;
/// Below this level there is no tone to look for.
const SILENCE_RMS: f64 = 50.0;
/// Longest stretch that is looked at: 200 ms.
const WINDOW: usize = 1600;

/// Root mean square in units of a 16-bit sample.
#[must_use]
pub fn rms(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let sum: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    (sum / samples.len() as f64).sqrt()
}

/// Share of the energy at one frequency (Goertzel), 1.0 for a pure tone.
fn share(samples: &[i16], hz: f64) -> f64 {
    let energy: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    if energy == 0.0 {
        return 0.0;
    }
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / RATE_HZ).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for &sample in samples {
        let next = f64::from(sample) + coefficient * last - before;
        before = last;
        last = next;
    }
    let power = before * before + last * last - coefficient * before * last;
    2.0 * power / (energy * samples.len() as f64)
}

/// The frequency that dominates the last 200 ms, in Hz; `None` for speech, noise and silence.
#[must_use]
pub fn tone_hz(samples: &[i16]) -> Option<u32> {
    let samples = &samples[samples.len().saturating_sub(WINDOW)..];
    if rms(samples) < SILENCE_RMS {
        return None;
    }
    let best = |from: u32, to: u32, step: u32| {
        (from..=to)
            .step_by(step as usize)
            .map(|hz| (hz, share(samples, f64::from(hz))))
            .max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let (coarse, _) = best(100, 3600, COARSE_HZ)?;
    let (hz, share) = best(coarse - COARSE_HZ, coarse + COARSE_HZ, 1)?;
    (share >= TONE_SHARE).then_some(hz)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, amplitude: f64) -> Vec<i16> {
        (0..1600)
            .map(|n| {
                let phase = std::f64::consts::TAU * hz * f64::from(n) / RATE_HZ;
                (phase.sin() * amplitude) as i16
            })
            .collect()
    }

    #[test]
    fn a_tone_is_found_to_the_hertz() {
        for hz in [300.0, 440.0, 660.0, 1003.0, 3000.0] {
            let found = tone_hz(&tone(hz, 8000.0)).map(f64::from);
            assert!(
                found.is_some_and(|found| (found - hz).abs() <= 1.0),
                "{hz}: {found:?}"
            );
        }
    }

    #[test]
    fn two_equal_tones_silence_and_nothing_are_no_tone() {
        let mixed: Vec<i16> = tone(440.0, 8000.0)
            .iter()
            .zip(tone(1500.0, 8100.0))
            .zip(tone(2500.0, 8000.0))
            .map(|((a, b), c)| a / 3 + b / 3 + c / 3)
            .collect();
        assert_eq!(tone_hz(&mixed), None);
        assert_eq!(tone_hz(&[0; 1600]), None);
        assert_eq!(tone_hz(&[]), None);
    }

    #[test]
    fn rms_of_a_sine_is_its_amplitude_over_root_two() {
        let level = rms(&tone(500.0, 10_000.0));
        assert!((level - 7071.0).abs() < 5.0, "{level}");
        assert!(rms(&[]) == 0.0);
    }
}
