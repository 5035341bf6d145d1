//! Opus with two channels, for recordings.

use audiopus::coder::Encoder as OpusEncoder;
use audiopus::{Application, Bitrate, Channels, Signal};

use super::opus::sample_rate;
use super::{NoCoder, Rate};

/// Bits per second of both channels together: two voices at what a call spends on one.
const BITRATE: i32 = 48_000;

/// How hard the encoder tries, of 10: recordings are no calls, and a writer has many of them.
const COMPLEXITY: u8 = 5;

/// Encodes frames of 20 ms whose samples stand by turns of both channels.
#[derive(Debug)]
pub struct StereoEncoder {
    inner: OpusEncoder,
}

impl StereoEncoder {
    /// An encoder at the start of its stream.
    ///
    /// # Errors
    /// When the library has no memory for it.
    pub fn new(rate: Rate) -> Result<Self, NoCoder> {
        let made = OpusEncoder::new(sample_rate(rate), Channels::Stereo, Application::Voip);
        let mut inner = made.map_err(|_| NoCoder)?;
        // The library clamps what it can, and keeps its own value where it cannot.
        let _ = inner.set_bitrate(Bitrate::BitsPerSecond(BITRATE));
        let _ = inner.set_complexity(COMPLEXITY);
        let _ = inner.set_signal(Signal::Voice);
        Ok(Self { inner })
    }

    /// Samples of its rate by which what comes out is behind what went in.
    #[must_use]
    pub fn lookahead(&self) -> u32 {
        self.inner.lookahead().unwrap_or(0)
    }

    /// Encodes a frame to the start of `out` and says how many octets there are; `None` when its length is none of Opus, or `out` is too short.
    #[allow(
        clippy::needless_pass_by_ref_mut,
        reason = "the state behind the library's pointer changes"
    )]
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        self.inner.encode(samples, out).ok()
    }
}
