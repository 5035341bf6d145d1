//! Opus as other people's library codes it, at the telephone's rate.

use audiopus::coder::{Decoder, Encoder};
use audiopus::packet::Packet;
use audiopus::{Application, Bitrate, Channels, MutSignals, SampleRate};

use crate::Result;
use crate::tone::FRAME;

/// What Chromium spends on a voice.
pub const BITS_PER_S: i32 = 32_000;

/// Octets of a packet at most (RFC 6716 section 3.4 allows 1,275 a frame).
pub const OCTETS_MAX: usize = 1_500;

/// A decoder.
pub struct OpusEar(Decoder);

impl OpusEar {
    /// One that has heard nothing.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> Result<Self> {
        Ok(Self(Decoder::new(SampleRate::Hz8000, Channels::Mono)?))
    }

    /// What a packet says; nothing where it is none.
    pub fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        // Packets have 120 ms at most.
        let mut samples = vec![0; 6 * FRAME];
        let decoded = Packet::try_from(payload).and_then(|packet| {
            let out = MutSignals::try_from(&mut samples[..])?;
            self.0.decode(Some(packet), out, false)
        });
        samples.truncate(decoded.unwrap_or(0));
        samples
    }
}

impl std::fmt::Debug for OpusEar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusEar").finish_non_exhaustive()
    }
}

/// A decoder of two channels.
pub struct OpusEars(Decoder);

impl OpusEars {
    /// One that has heard nothing.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> Result<Self> {
        Ok(Self(Decoder::new(SampleRate::Hz8000, Channels::Stereo)?))
    }

    /// What a packet says, left and right.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(&mut self, payload: &[u8]) -> Result<[Vec<i16>; 2]> {
        // Packets have 120 ms at most.
        let mut samples = vec![0; 2 * 6 * FRAME];
        let packet = Packet::try_from(payload)?;
        let out = MutSignals::try_from(&mut samples[..])?;
        let each = self.0.decode(Some(packet), out, false)?;
        samples.truncate(2 * each);
        let channel = |at: usize| samples.iter().skip(at).step_by(2).copied().collect();
        Ok([channel(0), channel(1)])
    }
}

impl std::fmt::Debug for OpusEars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusEars").finish_non_exhaustive()
    }
}

/// An encoder.
pub struct OpusMouth(Encoder);

impl OpusMouth {
    /// One that has said nothing.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> Result<Self> {
        let mut encoder = Encoder::new(SampleRate::Hz8000, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITS_PER_S))?;
        Ok(Self(encoder))
    }

    /// 20 ms as a packet.
    ///
    /// # Errors
    /// Those of the library.
    pub fn encode(&mut self, samples: &[i16; FRAME]) -> Result<Vec<u8>> {
        let mut packet = vec![0; OCTETS_MAX];
        let octets = self.0.encode(samples, &mut packet)?;
        packet.truncate(octets);
        Ok(packet)
    }
}

impl std::fmt::Debug for OpusMouth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusMouth").finish_non_exhaustive()
    }
}
