//! From frames of samples to packets as long as their receiver wants them.

use super::SipFormat;
use crate::browser_leg::BrowserFormats;
use crate::codec::{
    Codec, Encoder, FRAME_MS, NoCoder, OpusTuning, PACKET_MS_SENT_MAX, Rate, STEP_MS,
};

/// Samples of the longest packet at the highest rate.
const HELD_MAX: usize = Rate::Wide.per_ms() * PACKET_MS_SENT_MAX;

/// What is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) codec: Codec,
    /// Length of its packets in milliseconds, as [`Codec::packet_ms`] gives it.
    pub(super) packet_ms: usize,
    /// Opus sends nothing while nobody speaks.
    pub(super) dtx: bool,
}

impl Target {
    /// What the browser is sent.
    pub(super) const fn to_browser(codec: Codec, formats: &BrowserFormats) -> Self {
        Self {
            codec,
            packet_ms: FRAME_MS,
            dtx: formats.dtx,
        }
    }

    /// What the SIP side is sent.
    pub(super) const fn of(format: &SipFormat) -> Self {
        Self {
            codec: format.codec,
            packet_ms: format.packet_ms,
            dtx: format.dtx,
        }
    }
}

/// What a frame comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// It completes no packet.
    Nothing,
    /// It completes one of so many milliseconds that is not sent, because nobody speaks.
    Still { ms: u32 },
    /// It completes one of so many octets and milliseconds.
    Packet { len: usize, ms: u32 },
}

/// An encoder, and the samples that are no whole packet yet.
#[derive(Debug)]
pub(super) struct Packer {
    target: Target,
    rate: Rate,
    encoder: Encoder,
    packet_len: usize,
    /// From the next packet on.
    next_len: usize,
    held: Vec<i16>,
}

impl Packer {
    /// # Errors
    /// When the codec's library has no memory for an encoder.
    pub(super) fn new(target: Target, rate: Rate) -> Result<Self, NoCoder> {
        let packet_len = samples_of(target, rate);
        let tuning = OpusTuning {
            dtx: target.dtx,
            ..OpusTuning::default()
        };
        // The usual packet is one frame, and nothing is ever held.
        let is_frame = packet_len == rate.frame_len();
        Ok(Self {
            target,
            rate,
            encoder: Encoder::new(target.codec, rate, tuning)?,
            packet_len,
            next_len: packet_len,
            held: Vec::with_capacity(if is_frame { 0 } else { packet_len }),
        })
    }

    /// The codec.
    pub(super) const fn codec(&self) -> Codec {
        self.target.codec
    }

    /// Makes this from the next packet on, if packets of another length are all that is new.
    pub(super) fn turns(&mut self, target: Target, rate: Rate) -> bool {
        let same = self.target.codec == target.codec && self.target.dtx == target.dtx;
        let turns = same && self.rate == rate;
        if turns && self.target != target {
            self.target = target;
            self.next_len = samples_of(target, rate);
            if self.held.is_empty() {
                self.packet_len = self.next_len;
            }
        }
        turns
    }

    /// What is no packet yet is forgotten. The encoder stays: the far end's decoder remembers, too.
    pub(super) fn rest(&mut self) {
        self.held.clear();
        self.packet_len = self.next_len;
    }

    /// Its samples' rate.
    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Milliseconds of the frames that it wants, one after the other: packets are whole numbers of them.
    pub(super) const fn frame_ms(&self) -> usize {
        let frame_len = self.rate.per_ms() * FRAME_MS;
        if self.packet_len.is_multiple_of(frame_len) {
            FRAME_MS
        } else {
            STEP_MS
        }
    }

    /// Takes a frame, and writes the packet that it completes.
    pub(super) fn push(&mut self, frame: &[i16], out: &mut [u8]) -> Packed {
        let len = if self.held.is_empty() && frame.len() == self.packet_len {
            self.encoder.encode(frame, out)
        } else {
            if self.held.len() + frame.len() > self.packet_len {
                self.held.clear();
                return Packed::Nothing;
            }
            self.held.extend_from_slice(frame);
            if self.held.len() < self.packet_len {
                return Packed::Nothing;
            }
            let len = self.encoder.encode(&self.held, out);
            self.held.clear();
            len
        };
        let ms = (self.packet_len / self.rate.per_ms()) as u32;
        self.packet_len = self.next_len;
        len.map_or(Packed::Still { ms }, |len| Packed::Packet { len, ms })
    }

    /// What the far end loses, so that Opus can make good for it.
    pub(super) fn set_loss_percent(&mut self, percent: u8) {
        self.encoder.set_loss_percent(percent);
    }
}

/// Samples of a packet.
fn samples_of(target: Target, rate: Rate) -> usize {
    (target.packet_ms * rate.per_ms()).clamp(1, HELD_MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::g711::Law;

    /// Every codec in every packet time: packets come evenly, are as long as they were asked to be, and nothing is left out.
    #[test]
    fn packets_are_as_long_as_they_were_asked_to_be() {
        for codec in [Codec::G711(Law::A), Codec::G722, Codec::Opus] {
            for asked in 1..=80 {
                let packet_ms = codec.packet_ms(Some(asked), None);
                assert!(packet_ms <= usize::from(asked).max(10), "{codec:?} {asked}");
                let rate = codec.rate_between(codec);
                let target = Target {
                    codec,
                    packet_ms,
                    dtx: false,
                };
                let mut packer = Packer::new(target, rate).unwrap();
                let frame = vec![1_000; packer.frame_ms() * rate.per_ms()];
                let decoder = crate::codec::Decoder::new(codec, rate).unwrap();
                let mut out = [0; 640];
                let mut since = 0;
                for _ in 0..60 {
                    since += packer.frame_ms();
                    let packed = packer.push(&frame, &mut out);
                    let whole = packed != Packed::Nothing;
                    assert_eq!(whole, since == packet_ms, "{codec:?} {asked}");
                    if let Packed::Packet { len, ms } = packed {
                        assert_eq!(ms as usize, packet_ms);
                        let samples = decoder.samples_of(&out[..len]).unwrap();
                        assert_eq!(samples, packet_ms * rate.per_ms());
                        since = 0;
                    }
                }
            }
        }
    }

    #[test]
    fn a_packet_time_is_what_both_lines_allow() {
        let law = Codec::G711(Law::Mu);
        assert_eq!(law.packet_ms(None, None), 20);
        assert_eq!(law.packet_ms(Some(30), None), 30);
        assert_eq!(law.packet_ms(Some(60), Some(40)), 40);
        assert_eq!(law.packet_ms(None, Some(10)), 10);
        assert_eq!(law.packet_ms(Some(200), None), 60);
        assert_eq!(law.packet_ms(Some(5), Some(5)), 10);
        assert_eq!(Codec::Opus.packet_ms(Some(30), None), 20);
        assert_eq!(Codec::Opus.packet_ms(Some(50), None), 40);
    }
}
