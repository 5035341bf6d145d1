//! Tones: made, coded as G.711 mu-law, and heard again.
//!
//! Written out here and not taken from the `media` crate, so that a table that is wrong there
//! cannot be wrong twice.

use std::collections::BTreeSet;
use std::f64::consts::TAU;

/// Samples a second of everything on the telephone side.
pub const RATE_HZ: u32 = 8000;

/// Louder than any tone of these tests, and than two of them at once, as they are heard; what a stranger injects is at full scale.
pub const LOUDER_THAN_TONES: u16 = 24_000;

/// Samples in a packet of 20 ms.
pub const FRAME: usize = 160;

/// One linear sample as mu-law (ITU-T G.711).
pub fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs() + 132).min(32_767);
    let exponent = (24 - (magnitude as u32).leading_zeros()) as i32;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// One mu-law octet as a linear sample.
pub fn linear(octet: u8) -> i16 {
    let octet = !octet;
    let exponent = i32::from((octet >> 4) & 7);
    let magnitude = (((i32::from(octet & 0x0f) << 3) + 132) << exponent) - 132;
    (if octet & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}

/// One linear sample as the A-law octet that comes nearest.
pub fn alaw(sample: i16) -> u8 {
    let distance = |octet: &u8| linear_from_alaw(*octet).abs_diff(sample);
    (0..=u8::MAX).min_by_key(distance).unwrap_or_default()
}

/// A-law to linear (ITU-T G.711).
pub fn linear_from_alaw(octet: u8) -> i16 {
    let octet = octet ^ 0x55;
    let exponent = i32::from((octet >> 4) & 7);
    let mut magnitude = (i32::from(octet & 0x0f) << 4) + 8;
    if exponent > 0 {
        magnitude = (magnitude + 256) << (exponent - 1);
    }
    (if octet & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }) as i16
}

/// An endless sine.
#[derive(Debug, Clone)]
pub struct Sine {
    hz: f64,
    at: u64,
}

impl Sine {
    /// A tone of `hz` at about -10 dB of full scale.
    pub fn new(hz: u32) -> Self {
        Self {
            hz: f64::from(hz),
            at: 0,
        }
    }

    /// The next 20 ms as mu-law.
    pub fn frame(&mut self) -> [u8; FRAME] {
        std::array::from_fn(|_| {
            let phase = TAU * self.hz * self.at as f64 / f64::from(RATE_HZ);
            self.at += 1;
            ulaw((phase.sin() * 10_000.0) as i16)
        })
    }

    /// `seconds` of it as a WAV file (PCM, 16 bit, 48 kHz, mono), for a browser's microphone.
    pub fn wav(hz: u32, seconds: u32) -> Vec<u8> {
        Self::wav_at(48_000, hz, seconds)
    }

    /// The same with `rate` samples a second.
    pub fn wav_at(rate: u32, hz: u32, seconds: u32) -> Vec<u8> {
        let bytes = rate * seconds * 2;
        let mut wav = Vec::with_capacity(bytes as usize + 44);
        wav.extend(b"RIFF");
        wav.extend((bytes + 36).to_le_bytes());
        wav.extend(b"WAVEfmt ");
        wav.extend(16_u32.to_le_bytes());
        wav.extend(1_u16.to_le_bytes());
        wav.extend(1_u16.to_le_bytes());
        wav.extend(rate.to_le_bytes());
        wav.extend((rate * 2).to_le_bytes());
        wav.extend(2_u16.to_le_bytes());
        wav.extend(16_u16.to_le_bytes());
        wav.extend(b"data");
        wav.extend(bytes.to_le_bytes());
        for n in 0..rate * seconds {
            let phase = TAU * f64::from(hz) * f64::from(n) / f64::from(rate);
            wav.extend(((phase.sin() * 10_000.0) as i16).to_le_bytes());
        }
        wav
    }
}

/// What an ear hears: the last 100 ms, as long as they are fresh.
#[derive(Default)]
pub struct Ear {
    window: std::collections::VecDeque<i16>,
    /// Tones that are too short to be asked for at the right moment.
    awaited: Vec<u32>,
    noticed: BTreeSet<u32>,
    /// Everything since it was told to keep it.
    kept: Option<Vec<i16>>,
    /// The loudest sample ever.
    peak: u16,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hz, share) = self.loudest();
        write!(
            f,
            "Ear({} samples, rms {:.0}, of which {:.0} % at {hz} Hz, {} at the loudest)",
            self.window.len(),
            self.rms(),
            share * 100.0,
            self.peak
        )
    }
}

/// 100 ms: Goertzel then tells tones 10 Hz apart, and a change is heard soon.
const WINDOW: usize = 800;

/// A minute: what a test keeps is looked at sooner.
const KEPT_MAX: usize = 60 * RATE_HZ as usize;

impl Ear {
    /// Listens to some samples.
    pub fn hear(&mut self, samples: impl IntoIterator<Item = i16>) {
        for sample in samples {
            self.peak = self.peak.max(sample.unsigned_abs());
            if let Some(kept) = self.kept.as_mut().filter(|kept| kept.len() < KEPT_MAX) {
                kept.push(sample);
            }
            if self.window.len() == WINDOW {
                self.window.pop_front();
            }
            self.window.push_back(sample);
        }
        for hz in &self.awaited {
            // A notice sounds over the other side's voice, and is the weaker of the two.
            if self.window.len() == WINDOW && self.rms() > 500.0 && self.share(*hz) > 0.15 {
                self.noticed.insert(*hz);
            }
        }
    }

    /// Keeps every sample from now on, and forgets those that it has kept.
    pub fn keep(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What it has kept: sample by sample as packets brought them, with nothing for those that did not come.
    pub fn kept(&self) -> &[i16] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// Nothing has reached it, from its first sample on, that was louder than the tones of these tests: what a stranger says is not missed because it
    /// was short.
    pub fn heard_tones_only(&self) -> bool {
        self.peak < LOUDER_THAN_TONES
    }

    /// Listens for a short tone of `hz` from now on, alone or over another.
    pub fn await_tone(&mut self, hz: u32) {
        self.awaited.push(hz);
    }

    /// Whether a tone it was told to listen for has been heard.
    pub fn noticed(&self, hz: u32) -> bool {
        self.noticed.contains(&hz)
    }

    /// Whether it hears the key of these two frequencies (ITU-T Q.23): each is a good part of what there is, and there is little else.
    pub fn hears_key(&self, row_hz: u32, column_hz: u32) -> bool {
        let (row, column) = (self.share(row_hz), self.share(column_hz));
        self.window.len() == WINDOW
            && self.rms() > 500.0
            && row > 0.25
            && column > 0.25
            && row + column > 0.8
    }

    /// Forgets what it heard: the stream has stopped.
    pub fn clear(&mut self) {
        self.window.clear();
    }

    /// Root of the mean square of the window, 0 when it has heard nothing.
    pub fn rms(&self) -> f64 {
        if self.window.is_empty() {
            return 0.0;
        }
        let energy: f64 = self.window.iter().map(|s| f64::from(*s).powi(2)).sum();
        (energy / self.window.len() as f64).sqrt()
    }

    /// Whether a tone of `hz` is most of what it hears.
    pub fn hears(&self, hz: u32) -> bool {
        self.window.len() == WINDOW && self.rms() > 500.0 && self.share(hz) > 0.6
    }

    /// Whether it hears nothing that a person would call a sound.
    pub fn silent(&self) -> bool {
        self.rms() < 100.0
    }

    /// Where most of the energy lies, to 10 Hz, and which part of it.
    fn loudest(&self) -> (u32, f64) {
        (100..3_600)
            .step_by(10)
            .map(|hz| (hz, self.share(hz)))
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .expect("the range is not empty")
    }

    /// The part of the energy that lies at `hz`, 0 to 1 (Goertzel).
    fn share(&self, hz: u32) -> f64 {
        let n = self.window.len() as f64;
        let turn = TAU * f64::from(hz) / f64::from(RATE_HZ);
        let (mut s1, mut s2) = (0.0, 0.0);
        for sample in &self.window {
            let s0 = f64::from(*sample) + 2.0 * turn.cos() * s1 - s2;
            (s2, s1) = (s1, s0);
        }
        let power = s1 * s1 + s2 * s2 - 2.0 * turn.cos() * s1 * s2;
        let energy: f64 = self.window.iter().map(|s| f64::from(*s).powi(2)).sum();
        if energy == 0.0 {
            0.0
        } else {
            2.0 * power / (n * energy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mu_law_survives_the_round_trip() {
        for octet in 0..=255_u8 {
            // 0x7f is minus zero.
            assert!(ulaw(linear(octet)) == octet || octet == 0x7f, "{octet:#x}");
        }
        assert_eq!(
            (linear(0x00), linear(0x80), linear(0xff)),
            (-32_124, 32_124, 0)
        );
    }

    #[test]
    fn an_ear_tells_tones_and_silence_apart() {
        let mut ear = Ear::default();
        let mut sine = Sine::new(440);
        for _ in 0..10 {
            ear.hear(sine.frame().map(linear));
        }
        assert!(ear.hears(440) && !ear.hears(660) && !ear.silent());
        assert_eq!(ear.loudest().0, 440);
        ear.hear([0; WINDOW]);
        assert!(!ear.hears(440) && ear.silent());
        assert!(ear.heard_tones_only());
        ear.hear([linear(0x00)]);
        ear.hear(sine.frame().map(linear));
        assert!(!ear.heard_tones_only(), "one sample is enough");
    }
}
