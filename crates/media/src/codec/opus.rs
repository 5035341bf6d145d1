//! Opus (RFC 6716) through libopus, mono, at the rate of the path.

use audiopus::coder::{Decoder as OpusDecoder, Encoder as OpusEncoder};
use audiopus::packet::{self, Packet};
use audiopus::{Application, Bitrate, Channels, MutSignals, SampleRate, Signal};

use super::{NoCoder, OpusTuning, PACKET_MS_MAX, Rate};

pub(super) const fn sample_rate(rate: Rate) -> SampleRate {
    match rate {
        Rate::Narrow => SampleRate::Hz8000,
        Rate::Wide => SampleRate::Hz16000,
    }
}

/// How many samples a packet becomes; `None` when its head (RFC 6716 section 3.1) makes no sense.
pub(super) fn samples_of(payload: &[u8], rate: Rate) -> Option<usize> {
    let packet = Packet::try_from(payload).ok()?;
    packet::nb_samples(packet, sample_rate(rate)).ok()
}

/// Whether a packet repeats the one before it: LBRR, the flag of which lies behind the voice activity flags of the first channel of a SILK
/// frame (RFC 6716 section 4.2.3). CELT has none.
pub(super) fn repeats_the_one_before(payload: &[u8]) -> bool {
    let [head, first, ..] = payload else {
        return false;
    };
    let configuration = head >> 3;
    if configuration >= 16 {
        return false;
    }
    // SILK frames of 20 ms in one Opus frame: 10 and 20 ms have one, 40 two, 60 three. Hybrid has 10 and 20 ms only.
    let silk_frames = match configuration {
        0..=11 => [1, 1, 2, 3][usize::from(configuration & 3)],
        _ => 1,
    };
    // Frame codes 1 and 2 put their lengths elsewhere than code 0 puts audio; only code 0 and 1 begin with it at once.
    head & 3 <= 1 && first >> (7 - silk_frames) & 1 == 1
}

#[derive(Debug)]
pub(super) struct Decoder {
    inner: OpusDecoder,
    rate: Rate,
}

impl Decoder {
    pub(super) fn new(rate: Rate) -> Result<Self, NoCoder> {
        // Mono, also for a stereo stream: libopus mixes it down.
        let inner = OpusDecoder::new(sample_rate(rate), Channels::Mono).map_err(|_| NoCoder)?;
        Ok(Self { inner, rate })
    }

    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        let packet = Packet::try_from(payload).ok()?;
        let out = MutSignals::try_from(out).ok()?;
        self.inner.decode(Some(packet), out, false).ok()
    }

    pub(super) fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        if !repeats_the_one_before(next) || !self.is_whole(out) {
            return false;
        }
        let (Ok(packet), Ok(out)) = (Packet::try_from(next), MutSignals::try_from(out)) else {
            return false;
        };
        self.inner.decode(Some(packet), out, true).is_ok()
    }

    pub(super) fn conceal(&mut self, out: &mut [i16]) -> bool {
        if !self.is_whole(out) {
            return false;
        }
        MutSignals::try_from(out).is_ok_and(|out| self.inner.decode(None, out, false).is_ok())
    }

    /// Guesses come in steps of 2.5 ms.
    fn is_whole(&self, out: &[i16]) -> bool {
        let step = self.rate.per_ms() * 5 / 2;
        let longest = self.rate.per_ms() * PACKET_MS_MAX;
        !out.is_empty() && out.len().is_multiple_of(step) && out.len() <= longest
    }
}

#[derive(Debug)]
pub(super) struct Encoder {
    inner: OpusEncoder,
    /// Nothing is sent while nobody speaks.
    dtx: bool,
    /// Nobody spoke at last, and the far end knows.
    still: bool,
    /// What the library was told last.
    loss_percent: u8,
}

impl Encoder {
    pub(super) fn new(rate: Rate, tuning: OpusTuning) -> Result<Self, NoCoder> {
        let made = OpusEncoder::new(sample_rate(rate), Channels::Mono, Application::Voip);
        let mut inner = made.map_err(|_| NoCoder)?;
        let bitrate = i32::try_from(tuning.bitrate).unwrap_or(i32::MAX);
        // The library clamps what it can, and keeps its own value where it cannot.
        let _ = inner.set_bitrate(Bitrate::BitsPerSecond(bitrate));
        let _ = inner.set_complexity(tuning.complexity.min(10));
        let _ = inner.set_signal(Signal::Voice);
        let _ = inner.set_inband_fec(tuning.fec);
        let _ = inner.set_dtx(tuning.dtx);
        Ok(Self {
            inner,
            dtx: tuning.dtx,
            still: false,
            loss_percent: 0,
        })
    }

    pub(super) fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        let octets = self.inner.encode(samples, out).ok()?;
        // One octet, or two, say that nobody speaks and need not be sent (`opus_encode`). The first of them is all the same: a decoder makes
        // background of its own from then on, where it would take silence for a loss.
        let still = self.dtx && octets <= 2;
        let known = std::mem::replace(&mut self.still, still);
        (!still || !known).then_some(octets)
    }

    pub(super) fn set_loss_percent(&mut self, percent: u8) {
        let percent = percent.min(100);
        if percent != self.loss_percent && self.inner.set_packet_loss_perc(percent).is_ok() {
            self.loss_percent = percent;
        }
    }
}
