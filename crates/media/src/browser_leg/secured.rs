//! Packets of speech of a leg: secured, opened, counted and reported on (RFC 3711, RFC 3550 section 6).
//!
//! This is the path of every packet between the gateway and a browser: two look-ups, one pass of the cipher, no allocation. ICE and DTLS decide
//! where it leads and with which keys, and have no other part in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::types::{Counts, Endpoint, LegOutput, LegState, Refusal, SendPacket};
use super::{BrowserFormats, BrowserLeg, Heard, keys};
use crate::bridge::SEALED_MAX;
use crate::codec::Codec;
use crate::limits::{MOVED_SPEECH_AFTER, RTP_PAYLOAD_MAX};
use crate::packet::{self, Fields, Header};
use crate::rtcp::{self, LastSenderReport, NtpClock, ReportBlock, Rtcp, SenderInfo, SentAtReports};
use crate::srtp::{self, Receiver, Sender};
use crate::stats::{Block, ReceiveStats};
use crate::stream::TICKS_PER_MS;

/// From the handshake to the first report: half of the shortest interval (RFC 3550 section 6.2).
const FIRST_REPORT_AFTER: Duration = Duration::from_millis(1_250);

/// Shortest time between two reports, and by how much it varies: 5 s on average, so that many legs do not report at once (RFC 3550 section 6.2).
const REPORT_INTERVAL_MS: (u32, u32) = (2_500, 5_000);

/// The golden ratio in 32 bits: multiples of it are spread evenly.
const SPREAD: u32 = 0x9e37_79b9;

/// Octets of the largest compound with its tag: a report, and a BYE.
const SEALED_RTCP_MAX: usize = rtcp::COMPOUND_MAX + rtcp::GOODBYE_LEN + srtp::RTCP_OVERHEAD;

/// What all legs of a worker tell browsers in their reports.
#[derive(Clone, Debug)]
pub struct Reporting {
    /// The clock of sender reports.
    pub clock: NtpClock,
    /// Our canonical name.
    pub cname: Arc<str>,
}

/// The secured streams of a leg, both ways.
#[derive(Debug)]
pub(super) struct Secured {
    slot: keys::Slot,
    /// Made of the slot's keys when the first packet wants them.
    contexts: Option<Box<(Sender, Receiver)>>,
    /// Our stream; known once descriptions are exchanged.
    pub(super) ssrc: Option<u32>,
    pub(super) report_at: Option<Instant>,
    /// Reports made so far, for the spread of their times.
    reports: u32,
    heard: ReceiveStats,
    sent: Sent,
    sent_at_reports: SentAtReports,
    /// The source of the last sender report, the middle of its time, and when it came.
    last_sender_report: Option<(u32, (u32, Instant))>,
}

/// What was sent so far.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    packets: u64,
    octets: u64,
    /// The newest timestamp, its moment, and its payload type.
    newest: Option<(u32, Instant, u8)>,
}

impl Sent {
    fn count(&mut self, now: Instant, packet: &SendPacket<'_>) {
        self.packets += 1;
        self.octets += packet.payload.len() as u64;
        // What is repeated with the timestamp of its beginning, an event, was new when it began.
        let newer = self
            .newest
            .is_none_or(|(newest, ..)| packet.timestamp.wrapping_sub(newest) as i32 > 0);
        if newer {
            self.newest = Some((packet.timestamp, now, packet.payload_type));
        }
    }
}

impl Secured {
    pub(super) fn new(slot: keys::Slot) -> Self {
        Self {
            slot,
            contexts: None,
            ssrc: None,
            report_at: None,
            reports: 0,
            heard: ReceiveStats::default(),
            sent: Sent::default(),
            sent_at_reports: SentAtReports::default(),
            last_sender_report: None,
        }
    }

    /// We are the one who begins the handshake, because the browser's description says so.
    pub(super) fn begins_handshake(&self) -> bool {
        self.slot.active.get() == Some(&true)
    }

    /// `None` before the handshake has come to its end.
    fn contexts(&mut self) -> Option<&mut (Sender, Receiver)> {
        if self.contexts.is_none() {
            let keys = self.slot.keys.get()?;
            let contexts = (Sender::new(&keys.send), Receiver::new(&keys.receive, None));
            self.contexts = Some(Box::new(contexts));
        }
        self.contexts.as_deref_mut()
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.report_at.get_or_insert(now + FIRST_REPORT_AFTER);
    }

    /// Writes and secures a report about what was heard since the last one; returns its octets.
    fn report(
        &mut self,
        now: Instant,
        formats: BrowserFormats,
        reporting: &Reporting,
        goodbye: bool,
        out: &mut [u8; SEALED_RTCP_MAX],
    ) -> Option<usize> {
        let ssrc = self.ssrc?;
        let Sent {
            packets, octets, ..
        } = self.sent;
        let sends = self.sent_at_reports.is_sender(packets);
        let newest = self.sent.newest.filter(|_| sends);
        let sender = newest.map(|(timestamp, at, payload_type)| {
            let passed = now.saturating_duration_since(at).as_micros();
            let codec = formats.codec(payload_type);
            let ticks_per_ms = codec.map_or(TICKS_PER_MS, Codec::ticks_per_ms);
            let ticks = passed * u128::from(ticks_per_ms) / 1_000;
            SenderInfo {
                ntp: reporting.clock.ntp(now),
                // Timestamps and counts are taken modulo 2^32.
                timestamp: timestamp.wrapping_add(ticks as u32),
                packets: packets as u32,
                octets: octets as u32,
            }
        });
        let block = self.block(now);
        let report = rtcp::Report {
            ssrc,
            sender,
            block,
            cname: &reporting.cname,
            extended: None,
        };
        let plain = out.first_chunk_mut().expect("a sealed report is longer");
        let mut len = rtcp::write(plain, &report).len();
        if goodbye {
            let end = out.get_mut(len..len + rtcp::GOODBYE_LEN)?;
            end.copy_from_slice(&rtcp::goodbye(ssrc));
            len += rtcp::GOODBYE_LEN;
        }
        let (sender, _) = self.contexts()?;
        sender.protect_rtcp(out, len)
    }

    /// What is reported of the source that is heard, with the echo of its own last report.
    fn block(&mut self, now: Instant) -> Option<(Block, LastSenderReport)> {
        let block = self.heard.report()?;
        let of_it = self
            .last_sender_report
            .filter(|(ssrc, _)| *ssrc == block.ssrc);
        let echo = LastSenderReport::echo(now, of_it.map(|(_, report)| report));
        Some((block, echo))
    }

    /// A source of the browser has reported. What another one than the present says is no news of it.
    fn reported(&mut self, now: Instant, ssrc: u32, ntp: u64) {
        if self.heard.ssrc() == Some(ssrc) {
            self.last_sender_report = Some((ssrc, (rtcp::middle(ntp), now)));
        }
    }

    /// What the browser says of our stream.
    fn told(&self, now: Instant, clock: &NtpClock, block: &ReportBlock) -> LegOutput {
        LegOutput::Reported {
            loss_percent: Some(block.loss_percent()),
            round_trip: rtcp::round_trip(clock.ntp(now), block),
            counts: Counts {
                lost: u64::try_from(block.cumulative_lost).unwrap_or(0),
                highest: block.highest,
                jitter_ticks: block.jitter,
            },
        }
    }

    fn interval(&mut self) -> Duration {
        let (shortest, spread) = REPORT_INTERVAL_MS;
        self.reports = self.reports.wrapping_add(1);
        let phase = self.ssrc.unwrap_or(0);
        let at = phase.wrapping_add(self.reports.wrapping_mul(SPREAD));
        // The upper half is the better spread.
        Duration::from_millis(u64::from(shortest + (at >> 16) % spread))
    }
}

impl BrowserLeg {
    /// Takes RTP or RTCP that came to the WebRTC port, or on a connection. It is opened in place.
    ///
    /// # Errors
    /// When it is not the browser's: then nothing has changed.
    pub fn receive_rtp(
        &mut self,
        now: Instant,
        source: impl Into<Endpoint>,
        datagram: &mut [u8],
    ) -> Result<Heard, Refusal> {
        let source = source.into();
        self.advance(now);
        if self.state.is_over() {
            return Err(Refusal::Over);
        }
        if !self.is_from_browser(source, datagram) {
            return Err(Refusal::UnknownSource);
        }
        self.paths.note(source);
        // RFC 5761 section 4: the second octet of RTCP lies in 192-223.
        let is_rtcp = matches!(datagram.get(1), Some(192..=223));
        let Some((_, receiver)) = self.secured.contexts() else {
            return Ok(Heard::TooEarly);
        };
        if is_rtcp {
            let opened = receiver.unprotect_rtcp(datagram);
            let len = opened.map_err(|_| Refusal::Srtp)?;
            self.read_reports(datagram.get(..len).unwrap_or_default());
            self.follow(source, MOVED_SPEECH_AFTER);
            return Ok(Heard::Report);
        }
        let opened = receiver.unprotect_rtp(datagram);
        let len = opened.map_err(|_| Refusal::Srtp)?;
        let packet = datagram.get(..len).unwrap_or_default();
        let header = Header::parse(packet).map_err(|_| Refusal::Malformed)?;
        let codec = self.formats.codec(header.payload_type);
        let (ssrc, sequence, timestamp) = (header.ssrc, header.sequence, header.timestamp);
        self.secured.heard.receive(
            now,
            ssrc,
            sequence,
            timestamp,
            codec.map(Codec::ticks_per_ms),
        );
        self.follow(source, MOVED_SPEECH_AFTER);
        Ok(Heard::Media(header))
    }

    /// An authenticated check came from there. The nominated address needs no second look.
    fn is_from_browser(&self, source: Endpoint, datagram: &[u8]) -> bool {
        self.paths.current() == Some(source)
            || self
                .arrival(source, datagram)
                .is_some_and(|input| self.rtc.accepts(&input))
    }

    fn read_reports(&mut self, compound: &[u8]) {
        for packet in rtcp::parse(compound) {
            let blocks = match packet {
                Rtcp::SenderReport { ssrc, ntp, blocks } => {
                    self.secured.reported(self.now, ssrc, ntp);
                    blocks
                }
                Rtcp::ReceiverReport { blocks, .. } => blocks,
                // A browser's BYE ends a source of its; the leg ends by DTLS, or by silence.
                _ => continue,
            };
            let ours = blocks
                .iter()
                .find(|block| Some(block.ssrc) == self.secured.ssrc);
            if let Some(block) = ours {
                let told = self.secured.told(self.now, &self.reporting.clock, &block);
                self.outputs.push_back(told);
            }
        }
    }

    /// Writes and secures a packet for the browser; where it goes, and its octets. `None` when it does not go: not connected, a payload type
    /// that was not negotiated, or too large. Its sequence number is then unused.
    pub fn send(
        &mut self,
        now: Instant,
        packet: &SendPacket<'_>,
        out: &mut [u8; SEALED_MAX],
    ) -> Option<(Endpoint, usize)> {
        self.advance(now);
        if self.state != LegState::Connected
            || packet.payload.len() > RTP_PAYLOAD_MAX
            || !self.formats.contains(packet.payload_type)
        {
            return None;
        }
        let to = self.paths.current()?;
        let fields = Fields {
            marker: packet.marker,
            payload_type: packet.payload_type,
            // The wire carries the low 16 bits.
            sequence: packet.sequence as u16,
            timestamp: packet.timestamp,
            ssrc: self.secured.ssrc?,
        };
        let (sender, _) = self.secured.contexts()?;
        let len = packet::write(out, &fields, packet.payload, packet.map)?;
        let len = sender.protect_rtp(out, len)?;
        self.secured.sent.count(now, packet);
        Some((to, len))
    }

    /// Reports to the browser where it is time to.
    pub(super) fn report_when_due(&mut self) {
        if self.secured.report_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.secured.report_at = Some(self.now + self.secured.interval());
        if self.state == LegState::Connected {
            self.report(false);
        }
    }

    /// Tells the browser what was heard of it, and with `goodbye` that nothing more comes.
    pub(super) fn report(&mut self, goodbye: bool) {
        let mut out = [0; SEALED_RTCP_MAX];
        let Some(to) = self.paths.current() else {
            return;
        };
        let report =
            self.secured
                .report(self.now, self.formats, &self.reporting, goodbye, &mut out);
        if let Some(len) = report {
            let datagram = out[..len].to_vec().into();
            self.outputs.push_back(LegOutput::Transmit { to, datagram });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    /// A key that the caller holds for a second: its packets carry the timestamp of its beginning, and the clock that the browser is told stands where it stood.
    #[test]
    fn a_long_key_does_not_turn_the_clock_back() {
        let (start, mut sent) = (Instant::now(), Sent::default());
        for n in 0..50 {
            let packet = SendPacket {
                payload_type: 101,
                sequence: n,
                timestamp: 1_000,
                marker: n == 0,
                payload: &[5, 10, 0, 160],
                map: None,
            };
            sent.count(start + Duration::from_millis(20 * n), &packet);
        }
        assert_eq!(sent.newest, Some((1_000, start, 101)));
        assert_eq!((sent.packets, sent.octets), (50, 200));
    }

    /// The browser goes on with another source: the echo of a report of the former one would be its round trip.
    #[test]
    fn a_report_is_echoed_to_its_own_source() {
        let (now, mut secured) = (Instant::now(), Secured::new(keys::Slot::default()));
        let later = now + Duration::from_millis(500);
        secured.heard.receive(now, 7, 1, 0, Some(8));
        secured.reported(now, 7, 0x1_0000_0000);
        secured.reported(now, 8, 0x9_0000_0000);
        let (block, echo) = secured.block(later).unwrap();
        assert_eq!(
            (block.ssrc, echo.ntp_middle, echo.delay),
            (7, 0x1_0000, 0x8000)
        );
        secured.heard.receive(later, 8, 1, 0, Some(8));
        let (block, echo) = secured.block(later).unwrap();
        assert_eq!((block.ssrc, echo.ntp_middle, echo.delay), (8, 0, 0));
    }
}
