//! The two sides of one call, joined: RTP of the SIP side to the browser and back.
//!
//! Order of judgement for what comes from the SIP side: source address first, then the header, then the payload type, then
//! whether the plan lets it through. The only source is the address in the session description; nothing is learnt from
//! packets. A direction that the plan closes is silent: nothing is sent in its place.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::browser_leg::BrowserFormats;
use crate::g711::{self, Law};
use crate::insertion::Insertion;
use crate::limits::{FORMER_SSRC_BARRED, RTP_PAYLOAD_MAX};
use crate::packet::{self, Fields, Header};
use crate::rtcp::{self, LastSenderReport, NtpClock, Rtcp, SenderInfo};
use crate::stats::ReceiveStats;
use crate::stream::{Incoming, OutgoingStream, Stamp};
use crate::telephone_event::{Receiver, Sender};

/// The SIP side's formats, as offer and answer left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipFormat {
    /// What we send. Both laws are taken: either costs nothing, and peers switch without saying so.
    pub law: Law,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of telephone-event, when it was agreed.
    pub telephone_event: Option<u8>,
}

/// What a call's media may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgePlan {
    /// Where RTP is sent, and the only address it is taken from.
    pub remote: Option<SocketAddr>,
    /// The same for RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// Formats of the SIP side.
    pub format: SipFormat,
    /// The agent hears the SIP side.
    pub to_agent: bool,
    /// The SIP side hears the agent.
    pub to_caller: bool,
}

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Not from the address in the session description.
    WrongSource,
    /// No RTP, or larger than an audio packet can be.
    Malformed,
    /// A payload type that was not agreed.
    PayloadType,
    /// The plan closes this direction, or nobody is there to hear.
    Closed,
    /// A repetition, or later than can be placed.
    Late,
    /// Audio while a digit or notice of ours sounds in its place.
    Replaced,
}

/// A packet for the browser: its payload is `payload` of the datagram, through `map`.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The browser's payload type.
    pub payload_type: u8,
    /// Its numbers.
    pub stamp: Stamp,
    /// Where the payload lies.
    pub payload: Range<usize>,
    /// Conversion of the law.
    pub map: Option<&'static [u8; 256]>,
    /// The first one since this direction was opened.
    pub first: bool,
}

/// What a packet of the SIP side comes to.
#[derive(Clone, Debug)]
pub struct FromSip {
    /// It begins a digit.
    pub digit: Option<char>,
    /// It goes to the browser, or why not.
    pub forward: Result<Forward, Dropped>,
}

/// A packet of the browser.
#[derive(Clone, Copy, Debug)]
pub struct FromBrowser<'a> {
    /// Its numbers.
    pub incoming: Incoming,
    /// Its payload type.
    pub payload_type: u8,
    /// Its payload.
    pub payload: &'a [u8],
}

/// A datagram for the SIP side, written to the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToSip {
    /// Octets of it.
    pub len: usize,
    /// To whom.
    pub to: SocketAddr,
    /// The first audio since this direction was opened.
    pub first: bool,
}

/// The browser's end of a bridge: what it takes, and the stream it hears.
#[derive(Debug)]
pub struct BrowserEnd<'a> {
    /// Payload types the browser agreed to.
    pub formats: BrowserFormats,
    /// The stream it hears; it outlives the call.
    pub stream: &'a mut OutgoingStream,
}

/// Octets of the largest RTP packet that is written.
pub const PACKET_MAX: usize = packet::HEADER_LEN + RTP_PAYLOAD_MAX;

/// Measurements of one direction; `None` is "not measured".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DirectionReport {
    /// Packets accepted.
    pub packets: u64,
    /// Packets that never came.
    pub lost: Option<u64>,
    /// Interarrival jitter.
    pub jitter: Option<Duration>,
    /// Round-trip time by RTCP.
    pub round_trip: Option<Duration>,
}

/// Measurements of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// What came from the SIP side.
    pub to_agent: DirectionReport,
    /// What came from the browser.
    pub to_caller: DirectionReport,
}

/// The bridge of one call.
#[derive(Debug)]
pub struct Bridge {
    plan: Option<BridgePlan>,
    from_sip: ReceiveStats,
    from_browser: ReceiveStats,
    to_sip: OutgoingStream,
    /// The last SSRC that another one replaced, and until when it is barred.
    former: Option<(u32, Instant)>,
    digits_in: Receiver,
    digits_out: Sender,
    /// Digits in band, where the SIP side takes no events.
    keys_out: Insertion,
    /// Notices for the agent.
    notices: Insertion,
    /// Timestamp of the digit that sounds.
    digit_timestamp: u32,
    /// The next packet of this direction is its first.
    first_to_agent: bool,
    first_to_caller: bool,
    last_sender_report: Option<(u32, Instant)>,
    round_trip: Option<Duration>,
    /// Packets sent at the last report and at the one before.
    sent_at_reports: [u64; 2],
}

impl Bridge {
    /// A bridge without a plan: it passes nothing.
    #[must_use]
    pub fn new(to_sip: OutgoingStream) -> Self {
        Self {
            plan: None,
            from_sip: ReceiveStats::default(),
            from_browser: ReceiveStats::default(),
            to_sip,
            former: None,
            digits_in: Receiver::default(),
            digits_out: Sender::default(),
            keys_out: Insertion::default(),
            notices: Insertion::default(),
            digit_timestamp: 0,
            first_to_agent: true,
            first_to_caller: true,
            last_sender_report: None,
            round_trip: None,
            sent_at_reports: [0; 2],
        }
    }

    /// The present plan.
    #[must_use]
    pub const fn plan(&self) -> Option<&BridgePlan> {
        self.plan.as_ref()
    }

    /// Replaces the plan. `repatched` says that the browser's end is another one than before, or none.
    pub fn set_plan(&mut self, plan: BridgePlan, repatched: bool) {
        let (to_agent, to_caller) = self
            .plan
            .map_or((false, false), |old| (old.to_agent, old.to_caller));
        let moved = self
            .plan
            .is_none_or(|old| old.remote != plan.remote || old.format != plan.format);
        self.first_to_agent |= plan.to_agent && (!to_agent || repatched);
        self.first_to_caller |= plan.to_caller && (!to_caller || repatched);
        if moved || repatched || (plan.to_caller && !to_caller) {
            self.to_sip.interrupt();
        }
        if moved {
            self.former = None;
        }
        if repatched {
            self.from_browser.interrupt();
        }
        if plan.format.telephone_event.is_none() {
            self.digits_out.clear();
        } else {
            self.keys_out.clear();
        }
        self.plan = Some(plan);
    }

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
        let plan = self
            .plan
            .filter(|plan| plan.remote == Some(source))
            .ok_or(Dropped::WrongSource)?;
        let header = Header::parse(datagram).map_err(|_| Dropped::Malformed)?;
        if header.payload.len() > RTP_PAYLOAD_MAX {
            return Err(Dropped::Malformed);
        }
        let is_event = plan.format.telephone_event == Some(header.payload_type);
        let law = match header.payload_type {
            _ if is_event => plan.format.law,
            known if known == plan.format.payload_type => plan.format.law,
            known if known == Law::Mu.payload_type() => Law::Mu,
            known if known == Law::A.payload_type() => Law::A,
            _ => return Err(Dropped::PayloadType),
        };
        self.bar_former(now, header.ssrc)?;
        let (ssrc, sequence, timestamp) = (header.ssrc, header.sequence, header.timestamp);
        self.from_sip
            .receive(now, ssrc, sequence, timestamp, !is_event);
        let digit = if is_event {
            self.digits_in
                .receive(ssrc, timestamp, &datagram[header.payload.clone()])
        } else {
            None
        };
        let forward = self.forward(now, plan, header, (is_event, law), browser);
        Ok(FromSip { digit, forward })
    }

    fn forward(
        &mut self,
        now: Instant,
        plan: BridgePlan,
        header: Header,
        (is_event, law): (bool, Law),
        browser: Option<BrowserEnd<'_>>,
    ) -> Result<Forward, Dropped> {
        let browser = browser.filter(|_| plan.to_agent).ok_or(Dropped::Closed)?;
        let incoming = incoming(&header);
        let formats = browser.formats;
        let other = if law == Law::Mu { Law::A } else { Law::Mu };
        let target = if is_event {
            formats
                .telephone_event
                .map(|payload_type| (payload_type, None))
        } else if let Some(payload_type) = formats.of(law) {
            Some((payload_type, None))
        } else {
            formats
                .of(other)
                .map(|payload_type| (payload_type, g711::conversion(law, other)))
        };
        let Some((payload_type, map)) = target else {
            browser.stream.skip(incoming);
            return Err(Dropped::PayloadType);
        };
        if self.notices.is_sounding() && !is_event {
            browser.stream.skip(incoming);
            return Err(Dropped::Replaced);
        }
        let octets = header.payload.len();
        let stamp = browser
            .stream
            .stamp(now, incoming, octets)
            .ok_or(Dropped::Late)?;
        let first = std::mem::take(&mut self.first_to_agent);
        Ok(Forward {
            payload_type,
            stamp,
            payload: header.payload,
            map,
            first,
        })
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

    /// Judges, numbers and writes a packet of the browser.
    ///
    /// # Errors
    /// When it goes no further.
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
        let is_event = formats.telephone_event == Some(payload_type);
        let law = formats.law(payload_type);
        if law.is_none() && !is_event {
            return Err(Dropped::PayloadType);
        }
        let Incoming {
            ssrc,
            sequence,
            timestamp,
            ..
        } = incoming;
        self.from_browser
            .receive(now, ssrc, sequence, timestamp, !is_event);
        let to = plan
            .remote
            .filter(|_| plan.to_caller)
            .ok_or(Dropped::Closed)?;
        let target = match law {
            None => plan.format.telephone_event.map(|event| (event, None)),
            Some(law) => Some((
                plan.format.payload_type,
                g711::conversion(law, plan.format.law),
            )),
        };
        let sounding = self.digits_out.is_sounding() || self.keys_out.is_sounding();
        let Some((payload_type, map)) = target.filter(|_| !sounding) else {
            self.to_sip.skip(incoming);
            return Err(if sounding {
                Dropped::Replaced
            } else {
                Dropped::PayloadType
            });
        };
        let stamp = self
            .to_sip
            .stamp(now, incoming, payload.len())
            .ok_or(Dropped::Late)?;
        let fields = self.fields(stamp, payload_type);
        let len = packet::write(out, &fields, payload, map).ok_or(Dropped::Malformed)?;
        Ok(ToSip {
            len,
            to,
            first: std::mem::take(&mut self.first_to_caller),
        })
    }

    fn fields(&self, stamp: Stamp, payload_type: u8) -> Fields {
        Fields {
            marker: stamp.marker,
            payload_type,
            // The wire carries the low 16 bits.
            sequence: stamp.sequence as u16,
            timestamp: stamp.timestamp,
            ssrc: self.to_sip.ssrc(),
        }
    }

    /// Takes RTCP of the SIP side.
    ///
    /// # Errors
    /// When it is not the SIP side's, or cannot be read: then it has changed nothing.
    pub fn receive_rtcp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
        clock: &NtpClock,
    ) -> Result<(), Dropped> {
        let plan = self.plan.as_ref().ok_or(Dropped::WrongSource)?;
        if plan.remote_rtcp != Some(source) {
            return Err(Dropped::WrongSource);
        }
        let mut read = 0;
        for packet in rtcp::parse(datagram) {
            read += 1;
            let blocks = match packet {
                Rtcp::SenderReport { ssrc, ntp, blocks } => {
                    if self.from_sip.ssrc() == Some(ssrc) {
                        self.last_sender_report = Some((rtcp::middle(ntp), now));
                    }
                    blocks
                }
                Rtcp::ReceiverReport { blocks, .. } => blocks,
                // A peer's BYE ends its source, not the call; the next packet would begin it anew.
                Rtcp::SourceDescription | Rtcp::Goodbye(_) | Rtcp::Other(_) => continue,
            };
            for block in blocks
                .iter()
                .filter(|block| block.ssrc == self.to_sip.ssrc())
            {
                if let Some(trip) = rtcp::round_trip(clock.ntp(now), &block) {
                    self.round_trip = Some(trip);
                }
            }
        }
        if read == 0 {
            Err(Dropped::Malformed)
        } else {
            Ok(())
        }
    }

    /// Writes our own report. `None` while the SIP side has no RTCP address.
    pub fn report_rtcp<'o>(
        &mut self,
        now: Instant,
        clock: &NtpClock,
        cname: &str,
        out: &'o mut [u8; rtcp::COMPOUND_MAX],
    ) -> Option<(SocketAddr, &'o [u8])> {
        let to = self.plan?.remote_rtcp?;
        let (packets, octets) = self.to_sip.sent();
        let [last, before] = self.sent_at_reports;
        self.sent_at_reports = [packets, last];
        // RFC 3550 section 6.4: a sender is who sent since the report before last.
        let sender = (packets > before).then(|| SenderInfo {
            ntp: clock.ntp(now),
            timestamp: self.to_sip.event_timestamp(now),
            packets: packets as u32,
            octets: octets as u32,
        });
        let echo = self
            .last_sender_report
            .map_or_else(LastSenderReport::default, |(ntp, at)| {
                let delay = now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000;
                LastSenderReport {
                    ntp_middle: ntp,
                    delay: u32::try_from(delay).unwrap_or(u32::MAX),
                }
            });
        let block = self.from_sip.report().map(|block| (block, echo));
        let report = rtcp::Report {
            ssrc: self.to_sip.ssrc(),
            sender,
            block,
            cname,
        };
        Some((to, rtcp::write(out, &report)))
    }

    /// What was measured since the call began.
    #[must_use]
    pub fn measured(&self) -> Report {
        let direction = |stats: &ReceiveStats, round_trip| DirectionReport {
            packets: stats.packets(),
            lost: stats.lost(),
            jitter: stats.jitter(),
            round_trip,
        };
        Report {
            to_agent: direction(&self.from_sip, self.round_trip),
            // The browser's round trip is measured by the browser itself.
            to_caller: direction(&self.from_browser, None),
        }
    }
}

const fn incoming(header: &Header) -> Incoming {
    Incoming {
        ssrc: header.ssrc,
        sequence: header.sequence,
        timestamp: header.timestamp,
        marker: header.marker,
    }
}

mod own;
#[cfg(test)]
mod tests;

pub use own::Notice;
