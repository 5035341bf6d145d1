//! What the gateway itself says in a call: digits to the SIP side, notices to the agent.

use std::time::{Duration, Instant};

use super::packer::{Packed, Packer, Target};
use super::transcoder::SPEECH_MAX;
use super::{Bridge, BrowserEnd, PACKET_MAX, TO_AGENT, TO_CALLER, ToSip};
use crate::browser_leg::BrowserFormats;
use crate::codec::{Codec, FRAME_LEN_MAX, Rate};
use crate::g711::Law;
use crate::insertion::FRAME_LEN;
use crate::limits::{TONE_MAX, TONE_MIN};
use crate::packet;
use crate::stream::{Stamp, TICKS_PER_MS};
use crate::telephone_event::{GAP, PAYLOAD_LEN, TONE};
use crate::tone::Tone;

/// The beep: frequency and level of the tone that warns of recording (ITU-T P.311 has no rule; 1400 Hz is what networks use), loud enough to
/// be heard over speech and not louder.
const BEEP_HZ: f64 = 1_400.0;
const BEEP_DBM0: f64 = -12.0;

/// How long a beep lasts.
const BEEP: Duration = Duration::from_millis(200);

/// Silence before keys that are encoded between packets which another encoder made: what both remember of the sound before has faded by then, and the
/// key itself is clean. G.722 forgets by a 256th a sample.
const LEAD: Duration = Duration::from_millis(100);

/// So long after the caller's last packet a notice sounds alone; his packets carry it until then.
const ALONE_AFTER: Duration = Duration::from_millis(60);

/// The laws of G.711 between which a packet is handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Laws {
    from: Law,
    pub(super) to: Law,
}

impl Laws {
    /// `None` of any other codec.
    pub(super) const fn between(from: Codec, to: Codec) -> Option<Self> {
        match (from, to) {
            (Codec::G711(from), Codec::G711(to)) => Some(Self { from, to }),
            _ => None,
        }
    }
}

/// A frame of a notice for the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The browser's payload type.
    pub payload_type: u8,
    /// Its numbers.
    pub stamp: Stamp,
    /// 20 ms of audio.
    pub payload: [u8; FRAME_LEN],
}

/// The beep as it sounds, and for how long.
pub(super) fn notice() -> (Tone, Duration) {
    (Tone::notice(BEEP_HZ, BEEP_DBM0), BEEP)
}

impl Bridge {
    /// Queues digits for the SIP side: as telephone events, or in band where it takes none. Each lasts `tone`, within bounds. Returns how
    /// many were refused.
    pub fn send_digits(&mut self, now: Instant, digits: &str, tone: Option<Duration>) -> usize {
        let tone = tone.unwrap_or(TONE).clamp(TONE_MIN, TONE_MAX);
        match self.plan {
            None => digits.chars().count(),
            Some(plan) if plan.format.telephone_event.is_some() => {
                self.digits_out.push(now, digits, tone)
            }
            Some(plan) => {
                self.lead_in(now, plan.format.codec);
                let keys = digits.chars().map(Tone::key);
                let refused = keys.filter(|key| {
                    let taken = key
                        .as_ref()
                        .is_some_and(|key| self.keys_out.push(now, Some(key.clone()), tone));
                    // A pause behind each, or two equal keys would be one.
                    !(taken && self.keys_out.push(now, None, GAP))
                });
                refused.count()
            }
        }
    }

    /// Silence before what sounds next towards the SIP side, where packets of the agent's speech go to this codec's far end as they come, and its
    /// decoder remembers them.
    pub(super) fn lead_in(&mut self, now: Instant, codec: Codec) {
        let handed_over = self.transcoders[TO_CALLER].is_none();
        let remembers = matches!(codec, Codec::G722 | Codec::Opus);
        if handed_over && remembers && !self.keys_out.is_sounding() {
            self.keys_out.push(now, None, LEAD);
        }
    }

    /// Plays a short tone to the agent.
    pub fn beep(&mut self, now: Instant) {
        // One that finds the queue full is one beep among hundreds.
        self.notices
            .push(now, Some(Tone::notice(BEEP_HZ, BEEP_DBM0)), BEEP);
        self.notices.push(now, None, GAP);
        if let Some(at) = self.mixable_at {
            self.notices.defer(at + ALONE_AFTER);
        }
    }

    /// What is sent of a packet of the caller's that is handed over: with a notice over it, while one sounds. `None` leaves it as it is.
    pub(super) fn over(&mut self, now: Instant, laws: Laws, speech: &[u8]) -> Option<Vec<u8>> {
        self.mixable_at = Some(now);
        self.last_heard.note(now, laws.from, speech);
        if !self.notices.is_sounding() {
            return None;
        }
        let mut mixed = Vec::with_capacity(speech.len());
        for part in speech.chunks(FRAME_LEN) {
            let mut samples = [0; FRAME_LEN];
            let samples = &mut samples[..part.len()];
            for (sample, octet) in samples.iter_mut().zip(part) {
                *sample = laws.from.decode(*octet);
            }
            self.notices.mix(now, Rate::Narrow, samples);
            mixed.extend(samples.iter().map(|sample| laws.to.encode(*sample)));
        }
        self.notices.defer(now + ALONE_AFTER);
        Some(mixed)
    }

    /// When the next packet of a digit or notice, or of speech that is decoded, is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = [
            self.digits_out.poll_timeout(),
            self.keys_out
                .poll_timeout()
                .filter(|_| self.transcoders[TO_CALLER].is_none()),
            self.notices
                .poll_timeout()
                .filter(|_| self.transcoders[TO_AGENT].is_none()),
            self.speech_at(),
            self.tap_at(),
        ];
        own.into_iter().flatten().min()
    }

    /// Writes the next packet of a digit that is due; call until `None`.
    pub fn poll_digit(&mut self, now: Instant, out: &mut [u8; PACKET_MAX]) -> Option<ToSip> {
        self.poll_event(now, out)
            .or_else(|| self.poll_key(now, out))
    }

    fn poll_event(&mut self, now: Instant, out: &mut [u8; PACKET_MAX]) -> Option<ToSip> {
        loop {
            let packet = self.digits_out.poll(now)?;
            if packet.first {
                let at = self.to_sip.event_timestamp(now);
                // Called late, several keys are due at once. Two with one timestamp would be one key (RFC 4733 section 2.3).
                let least = (TONE_MIN + GAP).as_millis() as u32 * self.to_sip.ticks_per_ms();
                let too_close = at.wrapping_sub(self.digit_timestamp) < least;
                self.digit_timestamp = if too_close {
                    self.digit_timestamp.wrapping_add(least)
                } else {
                    at
                };
            }
            let plan = self.plan?;
            // On hold nothing is sent; the digit passes unheard instead of being kept for a later moment.
            let Some((to, payload_type)) = plan
                .remote
                .filter(|_| plan.to_caller)
                .zip(plan.format.telephone_event)
            else {
                continue;
            };
            let timestamp = self.digit_timestamp.wrapping_add(packet.segment);
            let sequence = self.to_sip.insert(now, timestamp, PAYLOAD_LEN);
            let stamp = Stamp {
                sequence,
                timestamp,
                marker: packet.first,
            };
            let fields = self.fields(stamp, payload_type);
            let len = packet::write(out, &fields, &packet.event.to_bytes(), None)?;
            return Some(ToSip {
                len,
                to,
                first: false,
            });
        }
    }

    /// A key in band where the agent's speech is handed over, or nobody speaks. It is encoded for itself: to the far end's decoder it follows
    /// the speech before it as the next packet of the stream.
    fn poll_key(&mut self, now: Instant, out: &mut [u8; PACKET_MAX]) -> Option<ToSip> {
        if self.transcoders[TO_CALLER].is_some() {
            return None;
        }
        loop {
            if !self.keys_out.is_sounding() {
                self.keys_packer = None;
                return None;
            }
            let plan = self.plan?;
            let packer = self.keys_packer(plan.format.codec, plan.format.packet_ms)?;
            let rate = packer.rate();
            let mut samples = [0; FRAME_LEN_MAX];
            let samples = &mut samples[..packer.frame_ms() * rate.per_ms()];
            if !self.keys_out.poll_linear(now, rate, samples) {
                return None;
            }
            let mut payload = [0; SPEECH_MAX];
            let packed = self.keys_packer.as_mut()?.push(samples, &mut payload);
            let to = plan.remote.filter(|_| plan.to_caller);
            let (Some(to), Packed::Packet { len, ms }) = (to, packed) else {
                continue;
            };
            let stamp = self.to_sip.insert_audio_of(now, ms, len);
            let fields = self.fields(stamp, plan.format.payload_type);
            let len = packet::write(out, &fields, &payload[..len], None)?;
            return Some(ToSip {
                len,
                to,
                first: false,
            });
        }
    }

    /// What makes packets of keys; `None` without memory for an encoder: the keys are lost then.
    fn keys_packer(&mut self, codec: Codec, packet_ms: usize) -> Option<&Packer> {
        if self.keys_packer.is_none() {
            let target = Target {
                codec,
                packet_ms,
                // The silence before a key is what makes it clean.
                dtx: false,
            };
            match Packer::new(target, codec.rate_between(codec)) {
                Ok(packer) => self.keys_packer = Some(Box::new(packer)),
                Err(_) => self.keys_out.clear(),
            }
        }
        self.keys_packer.as_deref()
    }

    /// The law of a notice that sounds alone: that of the caller's speech before it and behind it, since a browser that is sent another payload type drops
    /// what it has not played yet.
    fn law_of_notices(&self, formats: Option<BrowserFormats>) -> Law {
        let of_speech = || {
            let (target, _) = formats?.target(self.plan?.format.codec)?;
            match target {
                Codec::G711(law) => Some(law),
                _ => None,
            }
        };
        let is_spoken = formats.is_some_and(|formats| formats.mu.is_some());
        let spoken = if is_spoken { Law::Mu } else { Law::A };
        self.law_sent.or_else(of_speech).unwrap_or(spoken)
    }

    /// The next frame of a notice that is due; call until `None`. It passes unheard where the agent may hear nothing.
    pub fn poll_notice(
        &mut self,
        now: Instant,
        mut browser: Option<BrowserEnd<'_>>,
    ) -> Option<Notice> {
        if self.transcoders[TO_AGENT].is_some() {
            return None;
        }
        let hears = self.plan.is_some_and(|plan| plan.to_agent);
        loop {
            let formats = browser.as_ref().map(|end| end.formats);
            let law = self.law_of_notices(formats);
            let payload = self.notices.poll(now, law)?;
            let payload_type = formats.and_then(|formats| formats.of(Codec::G711(law)));
            let end = browser.as_mut().filter(|_| hears).zip(payload_type);
            if let Some((end, payload_type)) = end {
                end.stream.set_clock(TICKS_PER_MS);
                self.sent_to_agent += 1;
                return Some(Notice {
                    payload_type,
                    stamp: end.stream.insert_audio(now, payload.len()),
                    payload,
                });
            }
        }
    }
}
