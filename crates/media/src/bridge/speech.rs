//! Frames of the directions that are decoded, as their clocks bring them.

use std::time::{Duration, Instant};

use super::packer::{Packed, Target};
use super::transcoder::{Manner, SPEECH_MAX, Transcoder};
use super::{Bridge, BrowserEnd, PACKET_MAX, TO_AGENT, TO_CALLER, ToSip};
use crate::codec::{Codec, NoCoder};
use crate::limits::JITTER_REPORTED_MAX;
use crate::packet;
use crate::stream::Stamp;

/// A frame for the browser: the first `len` octets of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    /// The browser's payload type.
    pub payload_type: u8,
    /// Its numbers.
    pub stamp: Stamp,
    /// Octets of it.
    pub len: usize,
    /// The first one since this direction was opened.
    pub first: bool,
}

/// What a browser says of what it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BrowserReport {
    /// The share of packets that it lost lately, in percent.
    pub loss_percent: Option<u8>,
    /// Round-trip time.
    pub round_trip: Option<Duration>,
    /// Packets that it lost since its last report; `None` where some may be those of another call.
    pub lost: Option<u64>,
    /// Its interarrival jitter now.
    pub jitter: Option<Duration>,
}

impl Bridge {
    /// What leads a direction from this codec to that target: what is there, where it can turn to them, else a new one.
    ///
    /// # Errors
    /// When a codec's library has no memory.
    pub(super) fn lead(
        &mut self,
        way: usize,
        now: Instant,
        (from, to): (Codec, Target),
    ) -> Result<&mut Transcoder, NoCoder> {
        let turns = |there: &mut Box<Transcoder>| there.turns(from, to);
        if !self.transcoders[way].as_mut().is_some_and(turns) {
            self.retire(way);
            let former = self.resting[way].take().map(|packer| *packer);
            let made = Transcoder::new(now, from, to, former)?;
            self.transcoders[way] = Some(made);
        }
        let percent = self.losses[way].percent();
        let leading = self.transcoders[way].as_mut().expect("there, or just made");
        leading.set_loss_percent(percent);
        Ok(leading)
    }

    /// A direction is handed over from now on, or to somebody else: the far end's decoder knows nothing of our encoder.
    pub(super) fn forget(&mut self, way: usize) {
        self.retire(way);
        self.resting[way] = None;
    }

    /// The browser reports (RTCP): what share of our packets it lost, in percent, for Opus to repeat itself accordingly; how long a packet
    /// takes there and back; and what it lost since its last report.
    pub fn browser_reports(&mut self, report: BrowserReport) {
        if let Some(percent) = report.loss_percent {
            self.losses[TO_AGENT].report(percent);
        }
        self.browser_round_trip = report.round_trip.or(self.browser_round_trip);
        if report.lost.is_none() && report.jitter.is_none() {
            return;
        }
        let sent_before = std::mem::replace(&mut self.sent_at_told, self.sent_to_agent);
        let far = self.far_end[TO_AGENT].get_or_insert_default();
        if let Some(lost) = report.lost {
            far.lost = far.lost.saturating_add(lost);
            far.of += self.sent_to_agent - sent_before;
        }
        far.jitter = report.jitter.filter(|jitter| *jitter < JITTER_REPORTED_MAX);
    }

    /// When the next frame of a decoded direction is due.
    pub(super) fn speech_at(&self) -> Option<Instant> {
        let ear = self.transcoders[TO_AGENT]
            .as_ref()
            .map(|ear| ear.poll_timeout());
        let mouth = self.transcoders[TO_CALLER]
            .as_ref()
            .map(|mouth| mouth.poll_timeout());
        [ear, mouth].into_iter().flatten().min()
    }

    /// The next frame for the browser that is due; call until `None`. Without a browser nothing is decoded any longer.
    pub fn poll_ear(
        &mut self,
        now: Instant,
        mut browser: Option<BrowserEnd<'_>>,
        out: &mut [u8; SPEECH_MAX],
    ) -> Option<Speech> {
        loop {
            let ear = self.transcoders[TO_AGENT].as_mut()?;
            let target = ear.to();
            let end = browser
                .as_mut()
                .and_then(|end| Some((end.formats.of(target)?, &mut *end.stream)));
            let Some((payload_type, stream)) = end else {
                self.retire(TO_AGENT);
                return None;
            };
            let packed = ear.poll(now, (&mut self.notices[TO_AGENT].sounds, Manner::Over), out)?;
            stream.set_clock(target.ticks_per_ms());
            let len = match packed {
                Packed::Nothing => continue,
                Packed::Still { ms } => {
                    stream.keep_still(ms);
                    continue;
                }
                Packed::Packet { len, .. } => len,
            };
            self.sent_to_agent += 1;
            return Some(Speech {
                payload_type,
                stamp: stream.insert_audio(now, len),
                len,
                first: std::mem::take(&mut self.first_to_agent),
            });
        }
    }

    /// Writes the next frame for the SIP side that is due; call until `None`.
    pub fn poll_mouth(&mut self, now: Instant, out: &mut [u8; PACKET_MAX]) -> Option<ToSip> {
        loop {
            let mouth = self.transcoders[TO_CALLER].as_mut()?;
            let notices = &mut self.notices[TO_CALLER];
            let sounds = if self.keys_out.is_sounding() || self.digits_out.is_sounding() {
                // A notice would break a key, and is not heard beside an event.
                notices.wait(now);
                (&mut self.keys_out, Manner::Instead)
            } else {
                (&mut notices.sounds, Manner::Over)
            };
            let mut speech = [0; SPEECH_MAX];
            let packed = mouth.poll(now, sounds, &mut speech)?;
            let plan = self.plan?;
            let Some(to) = plan.remote.filter(|_| plan.to_caller) else {
                continue;
            };
            let (len, ms) = match packed {
                Packed::Nothing => continue,
                // An event takes the place of speech, and its time; the far end would hear both otherwise.
                Packed::Packet { ms, .. } if self.digits_out.is_sounding() => {
                    self.to_sip.keep_still(ms);
                    continue;
                }
                Packed::Still { ms } => {
                    self.to_sip.keep_still(ms);
                    continue;
                }
                Packed::Packet { len, ms } => (len, ms),
            };
            let stamp = self.to_sip.insert_audio_of(now, ms, len);
            let fields = self.fields(stamp, plan.format.payload_type);
            let len = packet::write(out, &fields, &speech[..len], None)?;
            return Some(ToSip {
                len,
                to,
                first: std::mem::take(&mut self.first_to_caller),
            });
        }
    }
}
