//! From 8 to 16 kHz, for taps: a call's own paths need no resampler.

/// Samples on either side that a new one is made of.
const REACH: usize = 8;

/// The samples between the old ones: a sinc at half steps in a Hann window, in 1/32768. Sums to one, so that a level stays what it is.
const BETWEEN: [i32; 2 * REACH] = [
    -13, 135, -421, 932, -1_780, 3_244, -6_365, 20_652, 20_652, -6_365, 3_244, -1_780, 932, -421,
    135, -13,
];

/// Doubles the rate of one voice; delays it by 1 ms.
#[derive(Debug, Default)]
pub(crate) struct Upsampler {
    past: [i16; 2 * REACH],
}

impl Upsampler {
    /// Makes two samples of each; `out` is twice as long, what is beyond that is left out.
    pub(crate) fn double(&mut self, samples: &[i16], out: &mut [i16]) {
        for (sample, pair) in samples.iter().zip(out.chunks_exact_mut(2)) {
            self.past.rotate_left(1);
            self.past[2 * REACH - 1] = *sample;
            let products = self.past.iter().zip(BETWEEN);
            let sum: i64 = products
                .map(|(sample, weight)| i64::from(*sample) * i64::from(weight))
                .sum();
            pair[0] = self.past[REACH - 1];
            let between = (sum + (1 << 14)) >> 15;
            pair[1] = between.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// A tone stays itself: same level, and nothing of note beside it, up to where a telephone ends.
    #[test]
    fn a_tone_stays_itself() {
        assert_eq!(BETWEEN.iter().sum::<i32>(), 1 << 15);
        for hz in [300.0, 1_000.0, 2_500.0, 3_400.0] {
            let sine = |n: usize, rate: f64| ((n as f64 * hz * TAU / rate).sin() * 10_000.0) as i16;
            let narrow: Vec<i16> = (0..1_600).map(|n| sine(n, 8_000.0)).collect();
            let mut wide = vec![0; 3_200];
            Upsampler::default().double(&narrow, &mut wide);
            let worst = (200..3_000)
                .map(|n| i32::from(wide[n]) - i32::from(sine(n - 16, 16_000.0)))
                .map(i32::abs)
                .max();
            assert!(
                worst < Some(if hz > 3_000.0 { 1_100 } else { 60 }),
                "{hz}: {worst:?}"
            );
        }
    }
}
