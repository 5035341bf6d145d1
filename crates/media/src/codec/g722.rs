//! G.722 (ITU-T G.722) at 64 kbit/s, whole or only its lower band.

use audio_codec::g722::{Bitrate, G722Decoder, G722Encoder};
use audio_codec::{BoxedResampler, Decoder as _, Encoder as _};

use super::{NoCoder, PACKET_LEN_MAX, Rate};

/// Octets are codes one by one; "packed" is for rates below 64 kbit/s.
const PACKED: bool = false;

pub(super) struct Decoder(Box<G722Decoder>);

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("G722Decoder")
    }
}

impl Decoder {
    pub(super) fn new(rate: Rate) -> Self {
        let narrow = rate == Rate::Narrow;
        let decoder = G722Decoder::with_options(Bitrate::Mode1_64000, PACKED, narrow);
        Self(Box::new(decoder))
    }

    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        self.0.decode_into(payload, out).ok()
    }
}

pub(super) struct Encoder {
    inner: Box<G722Encoder>,
    /// From 8 kHz. The library's own encoder for that rate shifts its codes away (`>>` binds after `-`), so it gets 16 kHz always.
    upsampler: Option<Box<BoxedResampler>>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("G722Encoder")
    }
}

impl Encoder {
    /// # Errors
    /// None in practice: the resampler refuses rates of zero only.
    pub(super) fn new(rate: Rate) -> Result<Self, NoCoder> {
        let inner = G722Encoder::with_options(Bitrate::Mode1_64000, false, PACKED);
        let upsampler = match rate {
            Rate::Wide => None,
            Rate::Narrow => {
                let (from, to) = (Rate::Narrow.hz() as usize, Rate::Wide.hz() as usize);
                let made = BoxedResampler::new(from, to).map_err(|_| NoCoder)?;
                Some(Box::new(made))
            }
        };
        Ok(Self {
            inner: Box::new(inner),
            upsampler,
        })
    }

    pub(super) fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        let Some(upsampler) = &mut self.upsampler else {
            return self.inner.encode_into(samples, out).ok();
        };
        let mut wide = [0; PACKET_LEN_MAX];
        let written = upsampler.resample_into(samples, &mut wide).ok()?;
        self.inner.encode_into(&wide[..written], out).ok()
    }
}
