//! Speech for calls that are transcoded, and the marks in it by which its way is timed.
//!
//! A transcoder leaves no octet as it was, so a time written into the payload does not arrive. Instead the speech has a sweep in each
//! second, which is found again in what is decoded at the other end: [`Ear`]. All of it is made once, coded once, and played again and
//! again; every call begins at another place.

mod ear;

use std::f64::consts::TAU;

use audiopus::coder::Encoder;
use audiopus::{Application, Bitrate, Channels, SampleRate};

use crate::Result;
use crate::opus::{BITS_PER_S, OCTETS_MAX, OpusEar};
use crate::tone::{FRAME, RATE_HZ, linear, ulaw};

pub(super) use ear::{Ear, Heard};

/// Packets of 20 ms until the speech begins anew.
const PACKETS: usize = 250;

/// A mark begins with every fiftieth packet: each is long past when the next one comes.
const MARK_EVERY: usize = 50;

/// Samples of a mark, 40 ms: long enough to be told from speech, short enough for a precise place.
pub(super) const MARK_SAMPLES: usize = 2 * FRAME;

/// A browser codes what its microphone brings.
const OPUS_FRAME: usize = 6 * FRAME;

/// A few seconds of speech in both codings.
pub(super) struct Speech {
    ulaw: Vec<[u8; FRAME]>,
    opus: Vec<Vec<u8>>,
    /// What coding as Opus and decoding shifts by itself: samples, of the caller's and the browser's coders alone.
    opus_shift: usize,
}

impl Speech {
    /// Makes and codes it.
    pub(super) fn new() -> Result<Self> {
        let narrow = samples(RATE_HZ);
        let ulaw = narrow
            .chunks_exact(FRAME)
            .map(|frame| std::array::from_fn(|at| ulaw(frame[at])))
            .collect();
        let opus = encode(&samples(SampleRate::Hz48000 as u32))?;
        let opus_shift = shift(&opus)?;
        Ok(Self {
            ulaw,
            opus,
            opus_shift,
        })
    }

    /// The caller's packet in a turn of its session.
    pub(super) fn caller(&self, session: usize, turn: u64) -> &[u8; FRAME] {
        &self.ulaw[place(session, turn)]
    }

    /// The page's.
    pub(super) fn page(&self, session: usize, turn: u64) -> &[u8] {
        &self.opus[place(session, turn)]
    }

    /// Whether a mark begins with the packet.
    pub(super) fn is_marked(session: usize, turn: u64) -> bool {
        place(session, turn).is_multiple_of(MARK_EVERY)
    }

    /// What the page's own coder, and the decoder that its Opus needs, shift a mark by.
    pub(super) const fn opus_shift(&self) -> usize {
        self.opus_shift
    }
}

/// Sessions begin at places that have nothing in common, so that marks and pauses do not come all at once.
fn place(session: usize, turn: u64) -> usize {
    (session * 37 + (turn % PACKETS as u64) as usize) % PACKETS
}

/// Something that a coder takes for a voice: a fundamental that wanders, its harmonics under two formants, some breath, syllables four
/// times a second with pauses; and a mark in every second, with silence around it.
fn samples(rate_hz: u32) -> Vec<i16> {
    let rate = f64::from(rate_hz);
    let frame = rate_hz as usize / 50;
    let mut phase = 0.0_f64;
    let mut noise = 0x2545_f491_u32;
    (0..PACKETS * frame)
        .map(|at| {
            let since_mark = at % (MARK_EVERY * frame);
            let seconds = at as f64 / rate;
            let fundamental = 120.0 + 30.0 * (TAU * 0.7 * seconds).sin();
            phase = (phase + fundamental / rate).fract();
            if let Some(mark) = mark(since_mark as f64 / rate) {
                return (mark * 12_000.0) as i16;
            }
            let mark_is_near = !(3 * frame..(MARK_EVERY - 2) * frame).contains(&since_mark);
            if mark_is_near {
                return 0;
            }
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let breath = f64::from(noise >> 16) / 65_536.0 - 0.5;
            let syllable = (TAU * 4.0 * seconds).sin().max(0.0).sqrt();
            (syllable * (voice(phase, fundamental) * 9_000.0 + breath * 600.0)) as i16
        })
        .collect()
}

/// The harmonics of a fundamental below 3.4 kHz, under formants at 600 and 1,700 Hz.
fn voice(phase: f64, fundamental: f64) -> f64 {
    let loudness = |hz: f64| {
        let formant = |at: f64, width: f64| (-((hz - at) / width).powi(2)).exp();
        formant(600.0, 400.0) + 0.4 * formant(1_700.0, 500.0) + 0.03
    };
    let harmonics = (3_400.0 / fundamental) as u32;
    let sum: f64 = (1..=harmonics)
        .map(|number| {
            let number = f64::from(number);
            loudness(number * fundamental) * (TAU * number * phase).sin()
        })
        .sum();
    sum / 4.0
}

/// A sweep from 400 to 3,000 Hz, which is like itself at one place only.
fn mark(seconds: f64) -> Option<f64> {
    let length = MARK_SAMPLES as f64 / f64::from(RATE_HZ);
    if seconds >= length {
        return None;
    }
    let hz_now = 400.0 + 1_300.0 * seconds / length;
    let window = (std::f64::consts::PI * seconds / length).sin();
    Some(window * (TAU * hz_now * seconds).sin())
}

/// The mark as it is looked for: at the telephone's rate, of length 1.
pub(super) fn template() -> Vec<f32> {
    let mark: Vec<f64> = (0..MARK_SAMPLES)
        .filter_map(|at| mark(at as f64 / f64::from(RATE_HZ)))
        .collect();
    let norm = mark
        .iter()
        .map(|sample| sample * sample)
        .sum::<f64>()
        .sqrt();
    mark.iter().map(|sample| (sample / norm) as f32).collect()
}

fn encode(samples: &[i16]) -> Result<Vec<Vec<u8>>> {
    let mut encoder = Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip)?;
    encoder.set_bitrate(Bitrate::BitsPerSecond(BITS_PER_S))?;
    encoder.set_inband_fec(true)?;
    let mut packets = Vec::new();
    // Twice, and the second time kept: where the end meets the beginning the coder has heard what comes before.
    for frame in samples
        .chunks_exact(OPUS_FRAME)
        .chain(samples.chunks_exact(OPUS_FRAME))
    {
        let mut packet = vec![0; OCTETS_MAX];
        let octets = encoder.encode(frame, &mut packet)?;
        packet.truncate(octets);
        packets.push(packet);
    }
    Ok(packets.split_off(PACKETS))
}

/// What a telephone hears.
pub(super) fn decode_ulaw(payload: &[u8]) -> Vec<i16> {
    payload.iter().map(|octet| linear(*octet)).collect()
}

/// How far the coder shifts a mark, found by decoding it on the spot.
fn shift(opus: &[Vec<u8>]) -> Result<usize> {
    let mut decoder = OpusEar::new()?;
    let heard: Vec<i16> = opus
        .iter()
        .flat_map(|packet| decoder.decode(packet))
        .collect();
    // The second mark: what comes before the first one is the decoder's beginning.
    let from = MARK_EVERY * FRAME;
    let window = heard
        .get(from..from + 5 * FRAME)
        .ok_or("too little was decoded")?;
    ear::find(window, &template()).ok_or_else(|| "Opus does not keep the mark".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_keeps_the_mark_and_shifts_it_by_its_lookahead() {
        let speech = Speech::new().unwrap();
        assert_eq!(speech.opus.len(), PACKETS);
        // 6.5 ms are what libopus documents for this application.
        assert!(
            (20..=100).contains(&speech.opus_shift),
            "{}",
            speech.opus_shift
        );
        let mean: usize = speech.opus.iter().map(Vec::len).sum::<usize>() / PACKETS;
        assert!((30..=120).contains(&mean), "{mean} octets a packet");
        assert!(Speech::is_marked(0, 0) && Speech::is_marked(0, 50) && !Speech::is_marked(0, 1));
    }
}
