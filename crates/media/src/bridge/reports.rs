//! RTCP of the SIP side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Bridge, Dropped, FarEnd, TO_CALLER};
use crate::codec::FRAME;
use crate::emodel;
use crate::limits::{JITTER_REPORTED_MAX, PARTIES_MET_MAX, PLAYOUT_WAITING_MS_MAX};
use crate::rtcp::{self, LastSenderReport, NtpClock, ReportBlock, Rtcp, SenderInfo};
use crate::stream::OutgoingStream;
use crate::xr;

/// What share of our packets a receiver loses, in percent, as its reports say. Losses come in bursts, and a report tells of some seconds only: what one says
/// is believed at once, and forgotten by half with each that says less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss(u8);

impl Loss {
    /// A report has come.
    pub(super) fn report(&mut self, percent: u8) {
        self.0 = percent.max(self.0 / 2);
    }

    /// What counts now.
    pub(super) const fn percent(self) -> u8 {
        self.0
    }
}

/// So many packets behind the last report another one was overtaken by that.
const OVERTAKEN_MAX: i32 = 3_000;

/// The numbers of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// That of its next packet, extended.
    pub(super) next: u64,
    /// How many no packet had.
    pub(super) left_out: u64,
}

impl Used {
    pub(super) const fn of(stream: &OutgoingStream) -> Self {
        Self {
            next: stream.next_sequence(),
            left_out: stream.left_out(),
        }
    }
}

/// What the caller of the present has lost of our stream, by what he says from one report to the next (RFC 3550 section 6.4.4). His own totals begin where
/// he first heard of the stream: whoever talked before somebody else did counts as lost what that one was sent. What the agent's leg had lost before us he counts
/// as well, by the numbers that are missing; that is not his leg's.
#[derive(Debug, Default)]
pub(super) struct Reception {
    /// The first number that is meant for him, extended.
    first: u64,
    /// He has been sent nothing of the stream before that.
    is_new: bool,
    /// Packets lost, and the highest number, as he said last.
    last: Option<(i32, u32)>,
    lost: i64,
    of: u64,
    /// What those two were when the present stream began, which has a count of its own.
    before: (i64, u64),
    /// Numbers that the stream has left out: when his count began, and when he said so last.
    left_out: (u64, u64),
    /// To whom the stream has gone.
    met: Vec<SocketAddr>,
}

impl Reception {
    /// The stream goes to this party from its next number on.
    pub(super) fn meet(&mut self, party: SocketAddr, numbers: Used) {
        let mut met = std::mem::take(&mut self.met);
        let is_new = met.len() < PARTIES_MET_MAX && !met.contains(&party);
        if is_new {
            met.push(party);
        }
        *self = Self {
            first: numbers.next,
            is_new,
            left_out: (numbers.left_out, numbers.left_out),
            met,
            ..Self::default()
        };
    }

    /// What the same party is sent is another stream from its next number on: nobody has heard of that before.
    pub(super) fn begin_anew(&mut self, party: Option<SocketAddr>, numbers: Used) {
        let (lost, of) = self.totals();
        (self.lost, self.of) = (i64::try_from(lost).unwrap_or(i64::MAX), of);
        self.before = (self.lost, self.of);
        self.first = numbers.next;
        self.left_out = (numbers.left_out, numbers.left_out);
        self.is_new = true;
        self.last = None;
        self.met.clear();
        self.met.extend(party);
    }

    /// Takes a report of the stream. `false` where it tells of what others were sent, too.
    pub(super) fn report(&mut self, block: &ReportBlock, numbers: Used) -> bool {
        let sent = numbers.next.saturating_sub(self.first);
        self.left_out.1 = numbers.left_out;
        // The low 16 bits are what he was told.
        let ahead = u64::from((block.highest as u16).wrapping_sub(self.first as u16));
        if ahead >= sent {
            // Some name no number at all. Of one who is new there it is his total that counts, and of all that he was sent.
            let is_total = self.is_new && self.last.is_none();
            if is_total {
                self.begins(block.cumulative_lost, sent);
            }
            return is_total;
        }
        let said = (block.cumulative_lost, block.highest);
        let Some((lost, highest)) = self.last else {
            self.last = Some(said);
            // He counts the times that the numbers turn over from his first one on.
            let span = i64::from(said.1) - i64::from(self.first as u16);
            let of = if span < 0 { span + 0x1_0000 } else { span } + 1;
            let is_alone = self.is_new && i64::from(said.0) <= of && of.unsigned_abs() <= sent;
            if is_alone {
                self.begins(said.0, of.unsigned_abs());
            } else {
                self.left_out.0 = numbers.left_out;
            }
            return is_alone;
        };
        // A number of 24 bits with a sign, which turns over as those of 32 do.
        let lost = said.0.wrapping_sub(lost) << 8 >> 8;
        let of = said.1.wrapping_sub(highest) as i32;
        if (-OVERTAKEN_MAX..0).contains(&of) {
            return false;
        }
        self.last = Some(said);
        // What is far behind has begun anew: it goes on from here.
        let of = u64::try_from(of).ok().filter(|of| *of <= sent);
        if let Some(of) = of {
            self.lost += i64::from(lost);
            self.of += of;
        }
        of.is_some()
    }

    /// All that he says is of this stream and of him.
    fn begins(&mut self, lost: i32, of: u64) {
        self.lost = self.before.0 + i64::from(lost);
        self.of = self.before.1 + of;
    }

    /// Packets lost, and of how many.
    pub(super) fn totals(&self) -> (u64, u64) {
        let (before, now) = self.left_out;
        let left_out = now.saturating_sub(before);
        let lost = u64::try_from(self.lost).unwrap_or(0);
        (
            lost.saturating_sub(left_out),
            self.of.saturating_sub(left_out),
        )
    }
}

impl Bridge {
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
                        self.last_sender_report = Some((ssrc, (rtcp::middle(ntp), now)));
                    }
                    blocks
                }
                Rtcp::ReceiverReport { blocks, .. } => blocks,
                Rtcp::Extended(report) => {
                    let own = self.to_sip.ssrc();
                    let of_ours = xr::voip_metrics(report).find(|block| block.ssrc == own);
                    self.far_voip = of_ours.or(self.far_voip);
                    continue;
                }
                // A peer's BYE ends its source, not the call; the next packet would begin it anew.
                Rtcp::SourceDescription | Rtcp::Goodbye(_) | Rtcp::Other(_) => continue,
            };
            for block in blocks
                .iter()
                .filter(|block| block.ssrc == self.to_sip.ssrc())
            {
                if self.reception.report(&block, Used::of(&self.to_sip)) {
                    self.losses[TO_CALLER].report(block.loss_percent());
                }
                let (lost, of) = self.reception.totals();
                let ticks_per_s = f64::from(plan.format.codec.ticks_per_ms()) * 1_000.0;
                self.far_end[TO_CALLER] = Some(FarEnd {
                    lost,
                    of,
                    // A peer may write any number there: one that is no jitter is none.
                    jitter: Some(Duration::from_secs_f64(
                        f64::from(block.jitter) / ticks_per_s,
                    ))
                    .filter(|jitter| *jitter < JITTER_REPORTED_MAX),
                });
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
        let sends = self.sent_at_reports.is_sender(packets);
        let sender = sends.then(|| SenderInfo {
            ntp: clock.ntp(now),
            timestamp: self.to_sip.event_timestamp(now),
            packets: packets as u32,
            octets: octets as u32,
        });
        let block = self.from_sip.report().map(|block| {
            let last = self.last_sender_report;
            let of_it = last.filter(|(ssrc, _)| *ssrc == block.ssrc);
            let echo = LastSenderReport::echo(now, of_it.map(|(_, report)| report));
            (block, echo)
        });
        let report = rtcp::Report {
            ssrc: self.to_sip.ssrc(),
            sender,
            block,
            cname,
            extended: self.voip_report(),
        };
        Some((to, rtcp::write(out, &report)))
    }

    /// How the SIP side sounds here, where it wants to know. Losses, and what the network adds, are those of its own leg; the browser's leg and the
    /// loudness of speech are not in it.
    fn voip_report(&self) -> Option<[u8; xr::REPORT_LEN]> {
        let plan = self.plan.filter(|plan| plan.voip_metrics)?;
        let ssrc = self.from_sip.ssrc()?;
        let heard = self.measured().to_agent;
        let (bursts, packet) = self.from_sip.bursts();
        let expected = self.from_sip.distinct() + heard.lost?;
        let share = |part: u64| part as f64 / expected.max(1) as f64;
        let length = |packets: f64| packet.unwrap_or(FRAME).mul_f64(packets);
        let playout = heard.playout_delay.unwrap_or_default();
        let (lost, all, runs) = bursts.losses;
        let scored = |one_way: Option<Duration>| {
            emodel::score(emodel::Inputs {
                one_way,
                loss: heard.loss,
                burst_ratio: heard
                    .burst_ratio
                    .or_else(|| emodel::burst_ratio(lost, all, runs)),
                codec: plan.format.codec,
            })
        };
        let trip = self.round_trip;
        let conversation = scored(trip.map(|trip| trip / 2 + playout + packet.unwrap_or(FRAME)));
        let metrics = xr::VoipMetrics {
            ssrc,
            loss: share(heard.lost?),
            discard: share(heard.late.unwrap_or(0)),
            burst_density: bursts.burst_density,
            gap_density: bursts.gap_density,
            burst: length(bursts.burst_packets),
            gap: length(bursts.gap_packets),
            round_trip: trip,
            end_system: None,
            signal_dbm: None,
            noise_dbm: None,
            echo_loss_db: None,
            r: conversation.map(|score| score.r.round() as u8),
            mos_lq: scored(Some(Duration::ZERO)).map(|score| score.mos),
            mos_cq: conversation.map(|score| score.mos),
            jitter_buffer: playout,
        };
        let end = if heard.playout_delay.is_some() {
            let longest = Duration::from_millis(PLAYOUT_WAITING_MS_MAX as u64);
            xr::End::Decodes { longest }
        } else {
            xr::End::HandsOver
        };
        Some(xr::report(self.to_sip.ssrc(), &metrics, end))
    }
}
