//! Short-time objective intelligibility (Taal, Hendriks, Heusdens and Jensen, IEEE Transactions on Audio, Speech, and Language Processing 19(7),
//! 2011), with two changes: the signals keep their rate of 8 or 16 kHz, and each frame is compared with the one that is heard as much
//! later as the alignment says, because the delay of a call changes.

use std::f32::consts::PI;

use media::codec::Rate;

use crate::alignment::Alignment;

const BANDS: usize = 15;
const LOWEST_HZ: f32 = 150.0;
/// Frames of a segment: 384 ms.
const SEGMENT: usize = 30;
const FFT: usize = 512;
/// Frames this far below the loudest are silence and not compared.
const RANGE_DB: f32 = 40.0;
/// Lower bound of the signal to distortion ratio.
const CLIP_DB: f32 = -15.0;

/// From 0 (nothing understood) to 1.
pub fn stoi(said: &[i16], heard: &[i16], rate: Rate, alignment: &Alignment) -> f32 {
    stoi_at(said, heard, rate, |at| alignment.lag(at))
}

/// The same with a delay, in samples, that is known.
pub fn stoi_at(said: &[i16], heard: &[i16], rate: Rate, lag: impl Fn(usize) -> usize) -> f32 {
    let analysis = Analysis::new(rate);
    let len = analysis.window.len();
    let starts = || (0..said.len().saturating_sub(len)).step_by(len / 2);
    let levels: Vec<f32> = starts()
        .map(|at| analysis.level_db(&said[at..at + len]))
        .collect();
    let loudest = levels.iter().copied().fold(f32::MIN, f32::max);
    let (mut clean, mut degraded) = (Vec::new(), Vec::new());
    for (at, level) in starts().zip(levels) {
        if level > loudest - RANGE_DB {
            clean.push(analysis.bands(&said[at..at + len]));
            let later = at + lag(at);
            let frame = heard.get(later..later + len);
            degraded.push(frame.map_or([0.0; BANDS], |frame| analysis.bands(frame)));
        }
    }
    let segments = clean.windows(SEGMENT).zip(degraded.windows(SEGMENT));
    let scores: Vec<f32> = segments.map(|(one, two)| segment(one, two)).collect();
    scores.iter().sum::<f32>() / scores.len().max(1) as f32
}

/// Mean over the bands of the correlation of their envelopes.
fn segment(clean: &[[f32; BANDS]], degraded: &[[f32; BANDS]]) -> f32 {
    let clip = 1.0 + 10_f32.powf(-CLIP_DB / 20.0);
    let sum: f32 = (0..BANDS)
        .map(|band| {
            let power = |frames: &[[f32; BANDS]]| -> f32 {
                frames.iter().map(|frame| frame[band] * frame[band]).sum()
            };
            let scale = (power(clean) / power(degraded).max(1.0e-9)).sqrt();
            let pairs = || {
                clean.iter().zip(degraded).map(|(x, y)| {
                    let x = x[band];
                    (x, (y[band] * scale).min(x * clip))
                })
            };
            let count = clean.len() as f32;
            let mean_x = pairs().map(|(x, _)| x).sum::<f32>() / count;
            let mean_y = pairs().map(|(_, y)| y).sum::<f32>() / count;
            let (mut cross, mut one, mut two) = (0.0, 1.0e-9, 1.0e-9);
            for (x, y) in pairs() {
                cross += (x - mean_x) * (y - mean_y);
                one += (x - mean_x).powi(2);
                two += (y - mean_y).powi(2);
            }
            cross / (one * two).sqrt()
        })
        .sum();
    sum / BANDS as f32
}

struct Analysis {
    window: Vec<f32>,
    /// First bin of each band, and the one behind the last.
    edges: [(usize, usize); BANDS],
    /// Cosines and sines of the transform.
    turns: Vec<(f32, f32)>,
}

impl Analysis {
    fn new(rate: Rate) -> Self {
        let len = rate.hz() as usize * 256 / 10_000;
        let window = (0..len)
            .map(|n| 0.5 - 0.5 * (2.0 * PI * (n as f32 + 1.0) / (len as f32 + 1.0)).cos())
            .collect();
        let bin = |hz: f32| ((hz * FFT as f32 / rate.hz() as f32).round() as usize).min(FFT / 2);
        let edges = std::array::from_fn(|band| {
            let centre = LOWEST_HZ * 2_f32.powf(band as f32 / 3.0);
            let half = 2_f32.powf(1.0 / 6.0);
            (bin(centre / half), bin(centre * half))
        });
        let turns = (0..FFT / 2)
            .map(|n| {
                let turn = -2.0 * PI * n as f32 / FFT as f32;
                (turn.cos(), turn.sin())
            })
            .collect();
        Self {
            window,
            edges,
            turns,
        }
    }

    fn level_db(&self, frame: &[i16]) -> f32 {
        let windowed = frame.iter().zip(&self.window);
        let power: f32 = windowed.map(|(s, w)| (f32::from(*s) * w).powi(2)).sum();
        10.0 * (power + 1.0e-9).log10()
    }

    fn bands(&self, frame: &[i16]) -> [f32; BANDS] {
        let mut points = [(0.0_f32, 0.0_f32); FFT];
        for (point, (sample, window)) in points.iter_mut().zip(frame.iter().zip(&self.window)) {
            point.0 = f32::from(*sample) * window;
        }
        self.transform(&mut points);
        self.edges.map(|(from, to)| {
            let power = points[from..to].iter().map(|(re, im)| re * re + im * im);
            power.sum::<f32>().sqrt()
        })
    }

    /// Cooley and Tukey's, in place.
    fn transform(&self, points: &mut [(f32, f32); FFT]) {
        let bits = FFT.trailing_zeros();
        for n in 0..FFT {
            let mirrored = n.reverse_bits() >> (usize::BITS - bits);
            if mirrored > n {
                points.swap(n, mirrored);
            }
        }
        let mut half = 1;
        while half < FFT {
            let stride = FFT / (2 * half);
            for start in (0..FFT).step_by(2 * half) {
                for n in 0..half {
                    let (cos, sin) = self.turns[n * stride];
                    let (re, im) = points[start + half + n];
                    let turned = (re * cos - im * sin, re * sin + im * cos);
                    let (re, im) = points[start + n];
                    points[start + n] = (re + turned.0, im + turned.1);
                    points[start + half + n] = (re - turned.0, im - turned.1);
                }
            }
            half *= 2;
        }
    }
}

/// The measure knows the same from noise.
#[test]
fn the_measure_measures() {
    let said = crate::line::phrase();
    let same = Alignment::of(&said, &said, Rate::Narrow);
    assert!(same.mean_ms() < 1.0, "{}", same.mean_ms());
    assert!(stoi(&said, &said, Rate::Narrow, &same) > 0.999);
    let noise: Vec<i16> = (0..said.len() as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 18) as i16 - 8_192)
        .collect();
    let nothing = stoi(&said, &noise, Rate::Narrow, &same);
    assert!(nothing < 0.55, "{nothing}");
    let later: Vec<i16> = [0; 800].iter().chain(&said).copied().collect();
    let found = Alignment::of(&said, &later, Rate::Narrow);
    assert!((found.mean_ms() - 100.0).abs() < 2.0, "{}", found.mean_ms());
}
