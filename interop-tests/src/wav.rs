//! Recordings, read again.

use std::path::Path;

use crate::tone::Ear;

/// Left and right of a WAV file at 8 kHz.
///
/// # Panics
/// When it is none.
pub fn channels(file: &Path) -> [Vec<i16>; 2] {
    let octets = std::fs::read(file).expect("the recording");
    assert_eq!(&octets[24..28], 8_000_u32.to_le_bytes());
    let sample = |octets: &[u8]| i16::from_le_bytes([octets[0], octets[1]]);
    let samples: Vec<i16> = octets[44..].chunks_exact(2).map(sample).collect();
    [0, 1].map(|channel| samples.iter().skip(channel).step_by(2).copied().collect())
}

/// How many tenths of a second of a channel are this tone.
pub fn tenths_of(hz: u32, channel: &[i16]) -> usize {
    let is_tone = |samples: &&[i16]| {
        let mut ear = Ear::default();
        ear.hear(samples.iter().copied());
        ear.hears(hz)
    };
    channel.chunks_exact(800).filter(is_tone).count()
}
