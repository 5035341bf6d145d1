//! From frames of samples to packets as long as their receiver wants them.

use crate::codec::{
    Codec, Encoder, FRAME_MS, NoCoder, OpusTuning, PACKET_MS_SENT_MAX, Rate, STEP_MS,
};

/// Samples of the longest packet at the highest rate.
const HELD_MAX: usize = Rate::Wide.per_ms() * PACKET_MS_SENT_MAX;

/// An encoder, and the samples that are no whole packet yet.
#[derive(Debug)]
pub(super) struct Packer {
    rate: Rate,
    encoder: Encoder,
    packet_len: usize,
    held: Vec<i16>,
}

impl Packer {
    /// Packets of `packet_ms`, as [`Codec::packet_ms`] gives it.
    ///
    /// # Errors
    /// When the codec's library has no memory for an encoder.
    pub(super) fn new(codec: Codec, rate: Rate, packet_ms: usize) -> Result<Self, NoCoder> {
        let packet_len = (packet_ms * rate.per_ms()).clamp(1, HELD_MAX);
        // The usual packet is one frame, and nothing is ever held.
        let is_frame = packet_len == rate.frame_len();
        Ok(Self {
            rate,
            encoder: Encoder::new(codec, rate, OpusTuning::default())?,
            packet_len,
            held: Vec::with_capacity(if is_frame { 0 } else { packet_len }),
        })
    }

    /// The codec.
    pub(super) const fn codec(&self) -> Codec {
        self.encoder.codec()
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

    /// Takes a frame. Octets of the packet that it completes; 0 where it completes none, or the codec keeps still.
    pub(super) fn push(&mut self, frame: &[i16], out: &mut [u8]) -> usize {
        if self.held.is_empty() && frame.len() == self.packet_len {
            return self.encoder.encode(frame, out).unwrap_or(0);
        }
        if self.held.len() + frame.len() > self.packet_len {
            self.held.clear();
            return 0;
        }
        self.held.extend_from_slice(frame);
        if self.held.len() < self.packet_len {
            return 0;
        }
        let len = self.encoder.encode(&self.held, out).unwrap_or(0);
        self.held.clear();
        len
    }

    /// What the far end loses, so that Opus can make good for it.
    pub(super) fn set_loss_percent(&mut self, percent: u8) {
        self.encoder.set_loss_percent(percent);
    }
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
                let mut packer = Packer::new(codec, rate, packet_ms).unwrap();
                let frame = vec![1_000; packer.frame_ms() * rate.per_ms()];
                let decoder = crate::codec::Decoder::new(codec, rate).unwrap();
                let mut out = [0; 640];
                let mut since = 0;
                for _ in 0..60 {
                    since += packer.frame_ms();
                    let len = packer.push(&frame, &mut out);
                    assert_eq!(len > 0, since == packet_ms, "{codec:?} {asked}");
                    if len > 0 {
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
