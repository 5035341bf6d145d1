//! Records of calls and the recordings that they name, read again.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tone::Ear;
use crate::wait::{eventually, eventually_some};

/// The first record in a file, once it is whole.
///
/// # Panics
/// When none comes.
pub async fn end_record(file: &Path) -> Value {
    eventually_some("the record of the call", || {
        let text = std::fs::read_to_string(file).ok()?;
        serde_json::from_str(text.lines().next()?).ok()
    })
    .await
}

/// The file that a record of a call says of a recording, once it is whole.
///
/// # Panics
/// When it does not come.
pub async fn recorded(folder: &Path, recording: &Value) -> PathBuf {
    let name = recording["file"].as_str().unwrap_or_default();
    let file = folder.join(name);
    eventually(&format!("{} is there", file.display()), || file.exists()).await;
    file
}

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

/// Two who talk are apart: left has one's tone, right the other's, each for so many tenths of a second at least and nothing of the other.
///
/// # Panics
/// When that is not so.
pub fn holds_apart(file: &Path, [left_hz, right_hz]: [u32; 2], tenths_min: usize) {
    let [left, right] = channels(file);
    for (channel, own, other) in [(&left, left_hz, right_hz), (&right, right_hz, left_hz)] {
        let heard = (tenths_of(own, channel), tenths_of(other, channel));
        assert!(heard.0 >= tenths_min && heard.1 == 0, "{own} Hz: {heard:?}");
    }
}

/// How many tenths of a second of a channel are this tone.
fn tenths_of(hz: u32, channel: &[i16]) -> usize {
    let is_tone = |samples: &&[i16]| {
        let mut ear = Ear::default();
        ear.hear(samples.iter().copied());
        ear.hears(hz)
    };
    channel.chunks_exact(800).filter(is_tone).count()
}
