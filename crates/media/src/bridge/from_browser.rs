//! What the browser sends.

use std::time::Instant;

use super::notices::Laws;
use super::packer::Target;
use super::{Bridge, BridgePlan, Dropped, FromBrowser, PACKET_MAX, TO_CALLER, ToSip, Way, way};
use crate::browser_leg::BrowserFormats;
use crate::codec::Codec;
use crate::limits::RTP_PAYLOAD_MAX;
use crate::packet;
use crate::playout::Arrival;
use crate::stream::{Incoming, TICKS_PER_MS};

impl Bridge {
    /// Judges, numbers and writes a packet of the browser.
    ///
    /// # Errors
    /// When it goes no further at once.
    pub fn from_browser(
        &mut self,
        now: Instant,
        packet: FromBrowser<'_>,
        formats: BrowserFormats,
        out: &mut [u8; PACKET_MAX],
    ) -> Result<ToSip, Dropped> {
        let plan = self.plan.ok_or(Dropped::Closed)?;
        let FromBrowser {
            incoming,
            payload_type,
            payload,
        } = packet;
        if payload.len() > RTP_PAYLOAD_MAX {
            return Err(Dropped::Malformed);
        }
        let codec = formats.codec(payload_type);
        if codec.is_none() && formats.telephone_event != Some(payload_type) {
            return Err(Dropped::PayloadType);
        }
        let clock = codec.map(Codec::ticks_per_ms);
        let Incoming {
            ssrc,
            sequence,
            timestamp,
            ..
        } = incoming;
        self.from_browser
            .receive(now, ssrc, sequence, timestamp, clock);
        self.from_browser.carried(payload.len());
        let to = plan
            .remote
            .filter(|_| plan.to_caller)
            .ok_or(Dropped::Closed)?;
        if !self.taps.is_empty() {
            self.overhear_browser(now, codec, &packet);
        }
        let (payload_type, map) = match codec {
            Some(codec) => match way(codec, plan.format.codec) {
                Way::Relay(map) => {
                    self.forget(TO_CALLER);
                    self.traffic[TO_CALLER].relay((codec, plan.format.codec), &self.from_browser);
                    (plan.format.payload_type, map)
                }
                Way::Decode => return Err(self.say(now, codec, &plan, packet)),
            },
            None => (self.relayed_key(now, &plan, packet)?, None),
        };
        let laws = codec.and_then(|codec| Laws::between(codec, plan.format.codec));
        let carries = laws.is_some() || codec.is_none();
        if self.is_replaced(carries) {
            self.to_sip.skip(incoming);
            return Err(Dropped::Replaced);
        }
        let stamp = if codec.is_some() {
            self.to_sip.stamp(now, incoming, payload.len())
        } else {
            self.to_sip.stamp_event(now, incoming, payload.len())
        };
        let Some(stamp) = stamp else {
            self.unplaced[TO_CALLER] += 1;
            return Err(Dropped::Late);
        };
        let fields = self.fields(stamp, payload_type);
        let len = packet::write(out, &fields, payload, map).ok_or(Dropped::Malformed)?;
        if carries {
            self.over_agent(now, laws, payload, &mut out[packet::HEADER_LEN..len]);
        }
        Ok(ToSip {
            len,
            to,
            first: std::mem::take(&mut self.first_to_caller),
        })
    }

    /// Something of ours sounds in the place of a packet that is handed over: a key, or a notice where the packet cannot carry it.
    fn is_replaced(&self, carries: bool) -> bool {
        let notice_sounds = self.notices[TO_CALLER].sounds.is_sounding();
        self.digits_out.is_sounding() || self.keys_out.is_sounding() || (notice_sounds && !carries)
    }

    /// Gives a packet to the mouth's decoder.
    fn say(
        &mut self,
        now: Instant,
        from: Codec,
        plan: &BridgePlan,
        packet: FromBrowser<'_>,
    ) -> Dropped {
        let to = Target::of(&plan.format);
        // What is handed over behind it follows what was encoded, not its own row of numbers.
        self.to_sip.interrupt();
        self.traffic[TO_CALLER].decode((from, to.codec), &self.from_browser);
        let Ok(mouth) = self.lead(TO_CALLER, now, (from, to)) else {
            return Dropped::NoCoder;
        };
        mouth.insert(now, Arrival::of(packet.incoming, packet.payload));
        Dropped::Decoded
    }

    /// The payload type under which a telephone event of the browser is handed over. Where that cannot be, because the clocks differ, the key
    /// is sent as one of ours. Where the SIP side takes no events it is dropped: what then becomes of keys is not decided here.
    fn relayed_key(
        &mut self,
        now: Instant,
        plan: &BridgePlan,
        packet: FromBrowser<'_>,
    ) -> Result<u8, Dropped> {
        let incoming = packet.incoming;
        let clock = plan.format.codec.ticks_per_ms();
        let same = self.transcoders[TO_CALLER].is_none()
            && clock == TICKS_PER_MS
            && plan.format.event_ticks_per_ms == TICKS_PER_MS;
        if let Some(payload_type) = plan.format.telephone_event.filter(|_| same) {
            return Ok(payload_type);
        }
        let Incoming {
            ssrc,
            sequence,
            timestamp,
            ..
        } = incoming;
        if let Some(mouth) = &mut self.transcoders[TO_CALLER] {
            mouth.pause(now, ssrc, sequence, timestamp);
        } else {
            self.to_sip.skip(incoming);
        }
        let key = self.browser_digits.receive(ssrc, timestamp, packet.payload);
        if plan.format.telephone_event.is_none() {
            return Err(Dropped::PayloadType);
        }
        if let Some(key) = key {
            self.send_digits(now, key.encode_utf8(&mut [0; 4]), None);
        }
        Err(Dropped::Silence)
    }
}
