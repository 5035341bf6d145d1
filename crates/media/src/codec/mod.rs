//! Speech codecs, as the paths that decode need them: samples of one rate in, samples of one rate out.
//!
//! Where one end is G.711 every codec runs at 8 kHz: Opus codes any stream at that rate, and of G.722 the lower band is what G.711 could
//! carry. Elsewhere they run at 16 kHz. So no path needs a resampler but the one
//! that leads from 8 kHz into G.722. Why: `docs/adr/0005`.

mod g722;
mod opus;
mod stereo;

pub use stereo::StereoEncoder;

use std::time::Duration;

use thiserror::Error;

use crate::g711::Law;

/// A codec of speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// PCMU or PCMA.
    G711(Law),
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus (RFC 6716).
    Opus,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::G711(Law::Mu),
        Self::G711(Law::A),
        Self::G722,
        Self::Opus,
    ];

    /// Ticks of its RTP clock in a millisecond. G.722's is 8 kHz by an error of long ago (RFC 3551 section 4.5.2), Opus's is always 48 kHz
    /// (RFC 7587 section 4.1).
    #[must_use]
    pub const fn ticks_per_ms(self) -> u32 {
        match self {
            Self::G711(_) | Self::G722 => 8,
            Self::Opus => 48,
        }
    }

    /// How long packets to a peer are that asked for `ptime` and takes at most `most`, both in milliseconds (RFC 8866 sections 6.4 and 6.5): what it asked
    /// for within 10 to 60 ms, in steps of 10 ms; of the lengths that Opus has (RFC 6716 section 2.1.4) the next shorter one.
    #[must_use]
    pub fn packet_ms(self, ptime: Option<u16>, most: Option<u16>) -> usize {
        let wanted = ptime.map_or(FRAME_MS, usize::from);
        let most = most.map_or(PACKET_MS_SENT_MAX, usize::from);
        let steps = wanted.min(most).clamp(STEP_MS, PACKET_MS_SENT_MAX) / STEP_MS;
        let steps = match (self, steps) {
            (Self::Opus, 3) => 2,
            (Self::Opus, 5) => 4,
            (_, steps) => steps,
        };
        steps * STEP_MS
    }

    /// The rate at which a path between these two ends runs.
    #[must_use]
    pub fn rate_between(self, other: Self) -> Rate {
        match (self, other) {
            (Self::G711(_), _) | (_, Self::G711(_)) => Rate::Narrow,
            _ => Rate::Wide,
        }
    }
}

/// Samples per second of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// 8 kHz.
    Narrow,
    /// 16 kHz.
    Wide,
}

impl Rate {
    /// Samples in a millisecond.
    #[must_use]
    pub const fn per_ms(self) -> usize {
        match self {
            Self::Narrow => 8,
            Self::Wide => 16,
        }
    }

    /// Samples per second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
        }
    }

    /// Samples of one frame.
    #[must_use]
    pub const fn frame_len(self) -> usize {
        self.per_ms() * FRAME_MS
    }

    /// How long so many samples last.
    #[must_use]
    pub const fn length_of(self, samples: usize) -> Duration {
        Duration::from_micros(samples as u64 * 1_000 / self.per_ms() as u64)
    }
}

/// The step in which a decoded path works: the packet time of nearly every endpoint, and of every browser.
pub const FRAME_MS: usize = 20;

/// The same as a span of time.
pub const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);

/// Samples of a frame at the highest rate.
pub const FRAME_LEN_MAX: usize = Rate::Wide.frame_len();

/// The step of packet times, in which paths work whose packets are no whole frames.
pub const STEP_MS: usize = 10;

/// The longest packet that is made for a peer that asks for long ones: more delay is not worth the headers that it saves.
pub const PACKET_MS_SENT_MAX: usize = 60;

/// The longest audio of one packet: what an Opus packet can hold (RFC 6716 section 2.1.4), and twice what the peers of a telephone send.
pub const PACKET_MS_MAX: usize = 120;

/// Samples of the longest packet at the highest rate.
pub const PACKET_LEN_MAX: usize = Rate::Wide.per_ms() * PACKET_MS_MAX;

/// A codec that could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the codec library gives no coder: out of memory")]
pub struct NoCoder;

/// Turns packets into samples.
#[derive(Debug)]
pub struct Decoder {
    rate: Rate,
    kind: DecoderKind,
}

#[derive(Debug)]
enum DecoderKind {
    G711(Law),
    G722(g722::Decoder),
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder at the start of its stream.
    ///
    /// # Errors
    /// When the library has no memory for it.
    pub fn new(codec: Codec, rate: Rate) -> Result<Self, NoCoder> {
        let kind = match codec {
            Codec::G711(law) => DecoderKind::G711(law),
            Codec::G722 => DecoderKind::G722(g722::Decoder::new(rate)),
            Codec::Opus => DecoderKind::Opus(opus::Decoder::new(rate)?),
        };
        Ok(Self { rate, kind })
    }

    /// The rate of its samples. G.711 has 8 kHz, whatever was asked for.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        match self.kind {
            DecoderKind::G711(_) => Rate::Narrow,
            _ => self.rate,
        }
    }

    /// How many samples a payload becomes; `None` when it is none of this codec, or longer than [`PACKET_MS_MAX`].
    #[must_use]
    pub fn samples_of(&self, payload: &[u8]) -> Option<usize> {
        let samples = match &self.kind {
            DecoderKind::G711(_) => payload.len(),
            DecoderKind::G722(_) => payload.len() * self.rate.per_ms() / Rate::Narrow.per_ms(),
            DecoderKind::Opus(_) => opus::samples_of(payload, self.rate)?,
        };
        (samples > 0 && samples <= self.rate().per_ms() * PACKET_MS_MAX).then_some(samples)
    }

    /// Decodes a payload to the start of `out` and says how many samples there are. `None` when the payload cannot be decoded or `out` is
    /// too short for it.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        let samples = self.samples_of(payload)?;
        let out = out.get_mut(..samples)?;
        match &mut self.kind {
            DecoderKind::G711(law) => {
                for (sample, octet) in out.iter_mut().zip(payload) {
                    *sample = law.decode(*octet);
                }
                Some(samples)
            }
            DecoderKind::G722(decoder) => decoder.decode(payload, out),
            DecoderKind::Opus(decoder) => decoder.decode(payload, out),
        }
    }

    /// Fills `out` with what the packet before `next` said, out of what `next` repeats of it. `false` when it repeats nothing; the decoder
    /// is then as it was.
    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        match &mut self.kind {
            DecoderKind::G711(_) | DecoderKind::G722(_) => false,
            DecoderKind::Opus(decoder) => decoder.recover(next, out),
        }
    }

    /// Whether [`Decoder::recover`] finds the packet before this one in it.
    #[must_use]
    pub fn repeats(&self, payload: &[u8]) -> bool {
        match &self.kind {
            DecoderKind::G711(_) | DecoderKind::G722(_) => false,
            DecoderKind::Opus(_) => opus::repeats_the_one_before(payload),
        }
    }

    /// Fills `out` with the codec's own guess at what was lost. `false` when it has none; then the caller has to guess.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        match &mut self.kind {
            DecoderKind::G711(_) | DecoderKind::G722(_) => false,
            DecoderKind::Opus(decoder) => decoder.conceal(out),
        }
    }
}

/// Turns samples into packets.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    kind: EncoderKind,
}

#[derive(Debug)]
enum EncoderKind {
    G711(Law),
    G722(g722::Encoder),
    Opus(opus::Encoder),
}

impl Encoder {
    /// An encoder at the start of its stream.
    ///
    /// # Errors
    /// When the library has no memory for it.
    pub fn new(codec: Codec, rate: Rate, tuning: OpusTuning) -> Result<Self, NoCoder> {
        let kind = match codec {
            Codec::G711(law) => EncoderKind::G711(law),
            Codec::G722 => EncoderKind::G722(g722::Encoder::new(rate)?),
            Codec::Opus => EncoderKind::Opus(opus::Encoder::new(rate, tuning)?),
        };
        Ok(Self { codec, kind })
    }

    /// The codec.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Encodes samples to the start of `out` and says how many octets there are. `None` when there is nothing to send: the length is none
    /// of the codec, `out` is too short, or Opus keeps still while nobody speaks.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        match &mut self.kind {
            EncoderKind::G711(law) => {
                let out = out.get_mut(..samples.len())?;
                for (octet, sample) in out.iter_mut().zip(samples) {
                    *octet = law.encode(*sample);
                }
                Some(samples.len())
            }
            EncoderKind::G722(encoder) => encoder.encode(samples, out),
            EncoderKind::Opus(encoder) => encoder.encode(samples, out),
        }
    }

    /// Tells what share of the packets the far end loses, in percent; Opus spends bits on repeating itself accordingly.
    pub fn set_loss_percent(&mut self, percent: u8) {
        if let EncoderKind::Opus(encoder) = &mut self.kind {
            encoder.set_loss_percent(percent);
        }
    }
}

/// How Opus is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusTuning {
    /// Bits per second.
    pub bitrate: u32,
    /// 0 (cheap) to 10 (best).
    pub complexity: u8,
    /// Each packet repeats the one before it, coarsely, as far as losses ask for it.
    pub fec: bool,
    /// While nobody speaks nothing is sent but a packet that says so, and one of background every 400 ms (RFC 7587 section 3.1.3). For
    /// receivers that want it.
    pub dtx: bool,
}

impl Default for OpusTuning {
    /// Speech on a telephone: 32 kbit/s, at which levels are kept within 0.1 dB (24 kbit/s let some fall by more), at complexity 5, which costs half of
    /// complexity 10 and sounds the same at this rate.
    fn default() -> Self {
        Self {
            bitrate: 32_000,
            complexity: 5,
            fec: true,
            dtx: false,
        }
    }
}

#[cfg(test)]
mod tests;
