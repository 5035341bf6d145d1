//! What the SIP side sends.

use std::net::SocketAddr;
use std::time::Instant;

use super::notices::Laws;
use super::packer::Target;
use super::{
    Bridge, BridgePlan, BrowserEnd, Dropped, Forward, FromSip, Numbers, TO_AGENT, Way, incoming,
    way,
};
use crate::codec::Codec;
use crate::g711::Law;
use crate::limits::{FORMER_SSRC_BARRED, RTP_PAYLOAD_MAX};
use crate::packet::Header;
use crate::playout::Arrival;

/// The static payload type of comfort noise (RFC 3389 section 4). Peers send it without having agreed to.
const COMFORT_NOISE: u8 = 13;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Speech(Codec),
    Event,
    Silence,
}

/// A packet that has passed its judges.
pub(super) struct Passed<'d> {
    pub(super) header: Header,
    pub(super) datagram: &'d [u8],
    pub(super) content: Content,
}

impl<'d> Passed<'d> {
    /// The packet, for those who decode it.
    pub(super) fn arrival(&self) -> Arrival<'d> {
        let payload = &self.datagram[self.header.payload.clone()];
        Arrival::of(incoming(&self.header), payload)
    }
}

impl Bridge {
    /// Judges and numbers a packet of the SIP side. `browser` is `None` while nobody is patched and connected.
    ///
    /// # Errors
    /// When the packet is not the SIP side's, or cannot be read: then it has changed nothing.
    pub fn from_sip(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
        browser: Option<BrowserEnd<'_>>,
    ) -> Result<FromSip, Dropped> {
        let judged = self.judge(now, source, datagram, browser);
        match judged {
            Err(Dropped::WrongSource) => self.other_address += 1,
            Err(Dropped::PayloadType) => self.other_format += 1,
            Ok(FromSip {
                forward: Err(Dropped::Late),
                ..
            }) => self.unplaced[TO_AGENT] += 1,
            _ => {}
        }
        judged
    }

    fn judge(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
        browser: Option<BrowserEnd<'_>>,
    ) -> Result<FromSip, Dropped> {
        let plan = self
            .plan
            .filter(|plan| plan.remote == Some(source))
            .ok_or(Dropped::WrongSource)?;
        let header = Header::parse(datagram).map_err(|_| Dropped::Malformed)?;
        if header.payload.len() > RTP_PAYLOAD_MAX {
            return Err(Dropped::Malformed);
        }
        let content = content(&plan, header.payload_type).ok_or(Dropped::PayloadType)?;
        self.bar_former(now, header.ssrc)?;
        let (ssrc, sequence, timestamp) = (header.ssrc, header.sequence, header.timestamp);
        let clock = match content {
            Content::Speech(codec) => Some(codec.ticks_per_ms()),
            Content::Event | Content::Silence => None,
        };
        self.from_sip.receive(now, ssrc, sequence, timestamp, clock);
        self.from_sip.carried(header.payload.len());
        let key = if content == Content::Event {
            self.digits_in
                .receive(ssrc, timestamp, &datagram[header.payload.clone()])
        } else {
            None
        };
        let digit = key.filter(|_| self.key_pace.take(now));
        let is_key_flood = key.is_some() && digit.is_none();
        let passed = Passed {
            header,
            datagram,
            content,
        };
        if plan.to_agent && !self.taps.is_empty() {
            self.overhear_sip(now, &passed);
        }
        let forward = self.forward(now, plan, passed, browser);
        Ok(FromSip {
            digit,
            is_key_flood,
            forward,
        })
    }

    fn forward(
        &mut self,
        now: Instant,
        plan: BridgePlan,
        packet: Passed<'_>,
        browser: Option<BrowserEnd<'_>>,
    ) -> Result<Forward, Dropped> {
        let browser = browser.filter(|_| plan.to_agent).ok_or(Dropped::Closed)?;
        let arrived = incoming(&packet.header);
        let formats = browser.formats;
        let mut laws = None;
        let (payload_type, map) = match packet.content {
            Content::Speech(codec) => {
                let Some((target, payload_type)) = formats.target(self.as_before(codec)) else {
                    browser.stream.skip(arrived);
                    return Err(Dropped::PayloadType);
                };
                match way(codec, target) {
                    Way::Relay(map) => {
                        self.forget(TO_AGENT);
                        self.traffic[TO_AGENT].relay((codec, target), &self.from_sip);
                        browser.stream.set_clock(target.ticks_per_ms());
                        laws = Laws::between(codec, target);
                        self.law_sent = laws.map(|laws| laws.to);
                        (payload_type, map)
                    }
                    Way::Decode => {
                        return Err(self.hear(now, (codec, target), &packet, browser));
                    }
                }
            }
            Content::Event | Content::Silence if self.transcoders[TO_AGENT].is_some() => {
                if let Some(ear) = &mut self.transcoders[TO_AGENT] {
                    ear.pause(now, arrived.ssrc, arrived.sequence, arrived.timestamp);
                }
                return Err(Dropped::Silence);
            }
            Content::Event => {
                let event = formats.telephone_event.filter(|_| {
                    // The browser's events and its audio share one clock, and so must ours.
                    plan.format.event_ticks_per_ms == plan.format.codec.ticks_per_ms()
                        && plan.format.codec != Codec::Opus
                });
                let Some(payload_type) = event else {
                    browser.stream.skip(arrived);
                    return Err(Dropped::PayloadType);
                };
                (payload_type, None)
            }
            Content::Silence => {
                browser.stream.skip(arrived);
                return Err(Dropped::Silence);
            }
        };
        let is_event = packet.content == Content::Event;
        if self.notices[TO_AGENT].sounds.is_sounding() && !is_event && laws.is_none() {
            browser.stream.skip(arrived);
            return Err(Dropped::Replaced);
        }
        let payload = packet.header.payload;
        let stamp = if is_event {
            browser.stream.stamp_event(now, arrived, payload.len())
        } else {
            browser.stream.stamp(now, arrived, payload.len())
        };
        let stamp = stamp.ok_or(Dropped::Late)?;
        self.sent_to_agent += 1;
        let first = std::mem::take(&mut self.first_to_agent);
        let speech = &packet.datagram[payload.clone()];
        let instead = laws.and_then(|laws| self.over(now, laws, stamp.timestamp, speech));
        Ok(Forward {
            payload_type,
            stamp,
            payload,
            map,
            instead,
            first,
        })
    }

    /// A browser that is sent another payload type drops what it has not played yet, and that is heard: it goes on with the law that it has.
    const fn as_before(&self, codec: Codec) -> Codec {
        match (codec, self.law_sent) {
            (Codec::G711(_), Some(law)) => Codec::G711(law),
            _ => codec,
        }
    }

    /// Gives a packet to the ear's decoder.
    fn hear(
        &mut self,
        now: Instant,
        (from, target): (Codec, Codec),
        packet: &Passed<'_>,
        browser: BrowserEnd<'_>,
    ) -> Dropped {
        let to = Target::to_browser(target, &browser.formats);
        // What is handed over behind it follows what was encoded, not its own row of numbers.
        browser.stream.interrupt();
        self.traffic[TO_AGENT].decode((from, to.codec), &self.from_sip);
        let Ok(ear) = self.lead(TO_AGENT, now, (from, to)) else {
            return Dropped::NoCoder;
        };
        ear.insert(now, packet.arrival());
        Dropped::Decoded
    }

    /// When one SSRC replaces another, the former one is barred for a while, so that two never alternate.
    fn bar_former(&mut self, now: Instant, ssrc: u32) -> Result<(), Dropped> {
        if self
            .former
            .is_some_and(|(former, until)| former == ssrc && now < until)
        {
            return Err(Dropped::Late);
        }
        if let Some(present) = self.from_sip.ssrc().filter(|present| *present != ssrc) {
            self.former = Some((present, now + FORMER_SSRC_BARRED));
        }
        Ok(())
    }
}

/// What a payload type means under this plan.
fn content(plan: &BridgePlan, payload_type: u8) -> Option<Content> {
    let format = plan.format;
    let theirs = Numbers {
        speech: format.payload_type,
        telephone_event: format.telephone_event,
    };
    let by = |numbers: Numbers| {
        if numbers.telephone_event == Some(payload_type) {
            Some(Content::Event)
        } else {
            (numbers.speech == payload_type).then_some(Content::Speech(format.codec))
        }
    };
    if let Some(content) = format.ours.and_then(by).or_else(|| by(theirs)) {
        Some(content)
    } else if payload_type == COMFORT_NOISE {
        Some(Content::Silence)
    } else {
        [Law::Mu, Law::A]
            .into_iter()
            .find(|law| law.payload_type() == payload_type)
            .map(|law| Content::Speech(Codec::G711(law)))
    }
}
