//! Records of calls and the recordings that they name, read again.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::opus::OpusEars;
use crate::tone::{Ear, RATE_HZ};
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
    let number = |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().expect("four"));
    assert_eq!(number(24), 8_000);
    assert_eq!(
        number(40) as usize,
        octets.len() - 44,
        "its head says how long it is"
    );
    let sample = |octets: &[u8]| i16::from_le_bytes([octets[0], octets[1]]);
    let samples: Vec<i16> = octets[44..].chunks_exact(2).map(sample).collect();
    [0, 1].map(|channel| samples.iter().skip(channel).step_by(2).copied().collect())
}

/// Left and right of an Ogg file of Opus (RFC 7845), as another library decodes them at 8 kHz.
///
/// # Panics
/// When it is none.
pub fn opus_channels(file: &Path) -> [Vec<i16>; 2] {
    let octets = std::fs::read(file).expect("the recording");
    let packets = ogg_packets(&octets);
    let [head, tags, speech @ ..] = &packets[..] else {
        panic!("{} packets in {}", packets.len(), file.display());
    };
    assert!(head.starts_with(b"OpusHead") && tags.starts_with(b"OpusTags"));
    assert_eq!(head[9], 2, "channels");
    let mut ears = OpusEars::new().expect("memory for a decoder");
    let mut channels = [Vec::new(), Vec::new()];
    for packet in speech {
        let decoded = ears.decode(packet).expect("a packet of Opus");
        for (channel, more) in channels.iter_mut().zip(decoded) {
            channel.extend(more);
        }
    }
    channels
}

/// The packets in the pages of an Ogg file (RFC 3533 section 6).
fn ogg_packets(mut octets: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut packet) = (Vec::new(), Vec::new());
    while let Some(page) = octets.strip_prefix(b"OggS") {
        let (lengths, mut body) = page[23..].split_at(usize::from(page[22]));
        for length in lengths {
            let (segment, rest) = body.split_at(usize::from(*length));
            packet.extend(segment);
            if *length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
            body = rest;
        }
        octets = body;
    }
    assert!(octets.is_empty(), "{} octets of no page", octets.len());
    packets
}

/// Two who talk are apart in a WAV file: left has one's tone, right the other's, each for so many tenths of a second at least and nothing of the other.
///
/// # Panics
/// When that is not so.
pub fn holds_apart(file: &Path, hz: [u32; 2], tenths_min: usize) {
    are_apart(&channels(file), hz, tenths_min);
}

/// The same of the samples of a file.
///
/// # Panics
/// When it is not so.
pub fn are_apart([left, right]: &[Vec<i16>; 2], [left_hz, right_hz]: [u32; 2], tenths_min: usize) {
    for (channel, own, other) in [(left, left_hz, right_hz), (right, right_hz, left_hz)] {
        let heard = (tenths_of(own, channel), tenths_of(other, channel));
        assert!(heard.0 >= tenths_min && heard.1 == 0, "{own} Hz: {heard:?}");
    }
}

/// What a channel says from beginning to end, by tenths of a second: each tone of `tones` and each silence once, with the milliseconds that it lasts.
/// Edges, which are neither, are left out.
pub fn story(channel: &[i16], tones: &[u32]) -> Vec<(Option<u32>, usize)> {
    let mut story: Vec<(Option<u32>, usize)> = Vec::new();
    for tenth in channel.chunks_exact(800) {
        let mut ear = Ear::default();
        ear.hear(tenth.iter().copied());
        let tone = tones.iter().copied().find(|hz| ear.hears(*hz));
        if tone.is_none() && !ear.silent() {
            continue;
        }
        match story.last_mut() {
            Some((last, lasts_ms)) if *last == tone => *lasts_ms += 100,
            _ => story.push((tone, 100)),
        }
    }
    story
}

/// The longest stretch in which nothing is heard, in milliseconds: where it begins and ends.
pub fn longest_silence_ms(channel: &[i16]) -> (usize, usize) {
    let (mut longest, mut begins) = (0..0, 0);
    for (at, sample) in channel.iter().enumerate() {
        if sample.unsigned_abs() >= 300 {
            begins = at + 1;
        } else if at + 1 - begins > longest.len() {
            longest = begins..at + 1;
        }
    }
    let ms = |samples: usize| samples * 1_000 / RATE_HZ as usize;
    (ms(longest.start), ms(longest.end))
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
