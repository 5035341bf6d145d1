//! What the gateway itself says to the SIP side: digits, and notices that sound alone.

use std::time::{Duration, Instant};

use super::packer::{Packed, Packer, Target};
use super::transcoder::SPEECH_MAX;
use super::{Bridge, PACKET_MAX, TO_AGENT, TO_CALLER, ToSip};
use crate::codec::{Codec, FRAME_LEN_MAX};
use crate::insertion::Insertion;
use crate::limits::{TONE_MAX, TONE_MIN};
use crate::packet;
use crate::stream::Stamp;
use crate::telephone_event::{GAP, PAYLOAD_LEN, TONE};
use crate::tone::Tone;

/// Silence before keys that are encoded between packets which another encoder made: what both remember of the sound before has faded by then, and the
/// key itself is clean. G.722 forgets by a 256th a sample.
const LEAD: Duration = Duration::from_millis(100);

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
                if let Some(lead) = self.lead_in(plan.format.codec)
                    && !self.keys_out.is_sounding()
                {
                    self.keys_out.push(now, None, lead);
                }
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

    /// Silence before what sounds towards the SIP side, where packets of the agent's speech go to this codec's far end as they come, and its
    /// decoder remembers them.
    pub(super) fn lead_in(&self, codec: Codec) -> Option<Duration> {
        let handed_over = self.transcoders[TO_CALLER].is_none();
        let remembers = matches!(codec, Codec::G722 | Codec::Opus);
        (handed_over && remembers).then_some(LEAD)
    }

    /// When the next packet of a digit or notice, or of speech that is decoded, is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = [
            self.digits_out.poll_timeout(),
            self.alone_at(),
            self.speech_at(),
            self.tap_at(),
        ];
        own.into_iter().flatten().min()
    }

    /// When the next packet is due of what sounds where nothing else is encoded.
    fn alone_at(&self) -> Option<Instant> {
        let to_agent = &self.notices[TO_AGENT].sounds;
        let ways = [(TO_AGENT, to_agent), (TO_CALLER, self.to_caller_alone())];
        let alone = |(way, _): &(usize, _)| self.transcoders[*way].is_none();
        let due = ways.into_iter().filter(alone);
        due.filter_map(|(_, sounds)| sounds.poll_timeout()).min()
    }

    /// What sounds to the SIP side: keys, and notices behind them.
    fn to_caller_alone(&self) -> &Insertion {
        if self.keys_out.is_sounding() {
            &self.keys_out
        } else {
            &self.notices[TO_CALLER].sounds
        }
    }

    /// Writes the next packet of a digit, or of a notice, that is due; call until `None`.
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

    /// A key in band, or a notice, where the agent's speech is handed over, or nobody speaks. It is encoded for itself: to the far end's decoder it
    /// follows the speech before it as the next packet of the stream. A notice waits for the keys.
    fn poll_key(&mut self, now: Instant, out: &mut [u8; PACKET_MAX]) -> Option<ToSip> {
        if self.transcoders[TO_CALLER].is_some() {
            return None;
        }
        loop {
            let keys_sound = self.keys_out.is_sounding();
            let notices = &mut self.notices[TO_CALLER];
            if !keys_sound && !notices.sounds.is_sounding() {
                self.keys_packer = None;
                return None;
            }
            if keys_sound || self.digits_out.is_sounding() {
                notices.wait(now);
            }
            let plan = self.plan?;
            self.to_caller_alone()
                .poll_timeout()
                .filter(|at| *at <= now)?;
            let packer = self.keys_packer(plan.format.codec, plan.format.packet_ms)?;
            let rate = packer.rate();
            let mut samples = [0; FRAME_LEN_MAX];
            let samples = &mut samples[..packer.frame_ms() * rate.per_ms()];
            let sounds = if keys_sound {
                &mut self.keys_out
            } else {
                &mut self.notices[TO_CALLER].sounds
            };
            if !sounds.poll_linear(now, rate, samples) {
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

    /// What makes packets of keys and notices; `None` without memory for an encoder: they are lost then.
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
                Err(_) => {
                    self.keys_out.clear();
                    self.notices[TO_CALLER].sounds.clear();
                }
            }
        }
        self.keys_packer.as_deref()
    }
}
