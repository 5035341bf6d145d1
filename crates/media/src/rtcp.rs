//! RTCP (RFC 3550 section 6): what is read of a peer's reports, and our own SR or RR with SDES.
//!
//! A packet is dropped by its length before any of its fields is read: the 4-octet `80 c8 00 00` that once steered
//! other relays is nothing here.

use std::time::{Duration, Instant};

use crate::limits::{RTCP_BLOCKS_MAX, RTCP_PACKETS_MAX};
use crate::stats::Block;
use crate::xr;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const EXTENDED_REPORT: u8 = 207;

/// Octets of one report block.
const BLOCK_LEN: usize = 24;

/// Octets of the largest compound packet that [`write`] makes: SR with one block, SDES with the longest CNAME, XR with one block.
pub const COMPOUND_MAX: usize = 28 + BLOCK_LEN + 4 + 4 + 2 + CNAME_MAX + 4 + xr::REPORT_LEN;

/// Octets of a BYE for one source.
pub const GOODBYE_LEN: usize = 8;

/// Octets of a CNAME that is written; a longer one is cut.
pub const CNAME_MAX: usize = 64;

/// A report block of the peer about one of our streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream it is about.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; negative with repetitions.
    pub cumulative_lost: i32,
    /// Highest sequence number received, extended.
    pub highest: u32,
    /// Jitter in ticks of the stream's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of our last sender report; 0 when none arrived.
    pub last_sender_report: u32,
    /// Time between that report's arrival and this one's departure, in 1/65536 s.
    pub delay: u32,
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtcp<'a> {
    /// Sender report.
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// NTP time of the report, as 32.32 fixed point.
        ntp: u64,
        /// Its blocks.
        blocks: Blocks<'a>,
    },
    /// Receiver report.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// Its blocks.
        blocks: Blocks<'a>,
    },
    /// Source description; what peers call themselves is not used.
    SourceDescription,
    /// These sources end.
    Goodbye(Sources<'a>),
    /// Extended report (RFC 3611), whole; [`crate::xr`] reads it.
    Extended(&'a [u8]),
    /// A type we have no use for (APP, feedback).
    Other(u8),
}

impl ReportBlock {
    /// The share that was lost lately, in percent, rounded up: the smallest loss is one that Opus should know of.
    #[must_use]
    pub fn loss_percent(&self) -> u8 {
        u8::try_from((u32::from(self.fraction_lost) * 100).div_ceil(256)).unwrap_or(100)
    }
}

/// The blocks of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [u8]);

/// The sources of a BYE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources<'a>(&'a [u8]);

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Blocks<'_> {
    /// Each block.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> {
        self.0.chunks_exact(BLOCK_LEN).filter_map(|block| {
            let lost = be32(block, 4)?;
            Some(ReportBlock {
                ssrc: be32(block, 0)?,
                fraction_lost: (lost >> 24) as u8,
                // The lower 24 bits, sign extended.
                cumulative_lost: ((lost << 8) as i32) >> 8,
                highest: be32(block, 8)?,
                jitter: be32(block, 12)?,
                last_sender_report: be32(block, 16)?,
                delay: be32(block, 20)?,
            })
        })
    }
}

impl Sources<'_> {
    /// Each source.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.chunks_exact(4).filter_map(|source| be32(source, 0))
    }
}

/// The packets of a compound, in order; ends at the first one that is not whole.
pub fn parse(datagram: &[u8]) -> impl Iterator<Item = Rtcp<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let (packet, after) = next_packet(rest)?;
        rest = after;
        Some(packet)
    })
    .take(RTCP_PACKETS_MAX)
}

fn next_packet(bytes: &[u8]) -> Option<(Rtcp<'_>, &[u8])> {
    let (&first, &kind) = (bytes.first()?, bytes.get(1)?);
    let words = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let len = (usize::from(words) + 1) * 4;
    let (packet, rest) = bytes.split_at_checked(len)?;
    if first >> 6 != 2 {
        return None;
    }
    let count = usize::from(first & 0x1f).min(RTCP_BLOCKS_MAX);
    let parsed = match kind {
        SENDER_REPORT => Rtcp::SenderReport {
            ssrc: be32(packet, 4)?,
            ntp: (u64::from(be32(packet, 8)?) << 32) | u64::from(be32(packet, 12)?),
            blocks: Blocks(packet.get(28..28 + count * BLOCK_LEN)?),
        },
        RECEIVER_REPORT => Rtcp::ReceiverReport {
            ssrc: be32(packet, 4)?,
            blocks: Blocks(packet.get(8..8 + count * BLOCK_LEN)?),
        },
        SOURCE_DESCRIPTION => Rtcp::SourceDescription,
        GOODBYE => Rtcp::Goodbye(Sources(packet.get(4..4 + count * 4)?)),
        EXTENDED_REPORT => Rtcp::Extended(packet),
        other => Rtcp::Other(other),
    };
    Some((parsed, rest))
}

/// What our own report says.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Our stream.
    pub ssrc: u32,
    /// Present when we sent since the report before last: makes it a sender report.
    pub sender: Option<SenderInfo>,
    /// What we received.
    pub block: Option<(Block, LastSenderReport)>,
    /// Our canonical name.
    pub cname: &'a str,
    /// An extended report of ours.
    pub extended: Option<[u8; xr::REPORT_LEN]>,
}

/// The sender's part of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time of the report, as 32.32 fixed point.
    pub ntp: u64,
    /// The same moment on the stream's clock.
    pub timestamp: u32,
    /// Packets sent, modulo 2^32.
    pub packets: u32,
    /// Payload octets sent, modulo 2^32.
    pub octets: u32,
}

/// The peer's last sender report, as a report block echoes it; zeros when there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSenderReport {
    /// Middle 32 bits of its NTP time.
    pub ntp_middle: u32,
    /// How long ago it came, in 1/65536 s.
    pub delay: u32,
}

impl LastSenderReport {
    /// What is echoed `now` of a sender report: the middle of its time, and when it came.
    #[must_use]
    pub fn echo(now: Instant, last: Option<(u32, Instant)>) -> Self {
        last.map_or_else(Self::default, |(ntp_middle, at)| {
            let delay = now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000;
            Self {
                ntp_middle,
                delay: u32::try_from(delay).unwrap_or(u32::MAX),
            }
        })
    }
}

/// Tells who sends from who only listens: a sender has sent since the report before last (RFC 3550 section 6.4).
#[derive(Clone, Copy, Debug, Default)]
pub struct SentAtReports([u64; 2]);

impl SentAtReports {
    /// One more report leaves, after so many packets: whether it is a sender's.
    pub const fn is_sender(&mut self, packets: u64) -> bool {
        let [last, before_last] = self.0;
        self.0 = [packets, last];
        packets > before_last
    }
}

/// A BYE of one source, to stand behind a report.
#[must_use]
pub fn goodbye(ssrc: u32) -> [u8; GOODBYE_LEN] {
    let mut out = [0x81, GOODBYE, 0, 1, 0, 0, 0, 0];
    out[4..].copy_from_slice(&ssrc.to_be_bytes());
    out
}

/// Writes a compound of SR or RR, SDES, and an extended report where there is one; returns its octets.
pub fn write<'o>(out: &'o mut [u8; COMPOUND_MAX], report: &Report<'_>) -> &'o [u8] {
    let mut writer = Writer { out, at: 0 };
    let count = u8::from(report.block.is_some());
    let (kind, words) = if report.sender.is_some() {
        (SENDER_REPORT, 6)
    } else {
        (RECEIVER_REPORT, 1)
    };
    writer.bytes(&[0x80 | count, kind]);
    writer.bytes(&(words + u16::from(count) * 6).to_be_bytes());
    writer.word(report.ssrc);
    if let Some(sender) = report.sender {
        writer.bytes(&sender.ntp.to_be_bytes());
        writer.word(sender.timestamp);
        writer.word(sender.packets);
        writer.word(sender.octets);
    }
    if let Some((block, last)) = report.block {
        writer.word(block.ssrc);
        let lost = (block.cumulative_lost as u32) & 0x00ff_ffff;
        writer.word((u32::from(block.fraction_lost) << 24) | lost);
        writer.word(block.highest);
        writer.word(block.jitter);
        writer.word(last.ntp_middle);
        writer.word(last.delay);
    }
    let name = report.cname.as_bytes();
    let name = &name[..name.len().min(CNAME_MAX)];
    // One chunk: SSRC, the item, and at least one octet of zero up to the next word.
    let chunk = (4 + 2 + name.len() + 1).next_multiple_of(4);
    writer.bytes(&[0x81, SOURCE_DESCRIPTION]);
    writer.bytes(&((chunk / 4) as u16).to_be_bytes());
    writer.word(report.ssrc);
    writer.bytes(&[1, name.len() as u8]);
    writer.bytes(name);
    writer.bytes(&[0; 4][..chunk - 6 - name.len()]);
    if let Some(extended) = &report.extended {
        writer.bytes(extended);
    }
    let len = writer.at;
    &out[..len]
}

struct Writer<'a> {
    out: &'a mut [u8; COMPOUND_MAX],
    at: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }
}

/// Turns the machine's time into NTP time. It need not agree with anyone's wall clock (RFC 3550 section 4), only run.
#[derive(Clone, Copy, Debug)]
pub struct NtpClock {
    base: Instant,
    /// NTP time at `base`, as 32.32 fixed point.
    at_base: u64,
}

/// Seconds from 1900, where NTP begins, to 1970.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

impl NtpClock {
    /// A clock that shows `unix` (time since 1970) at `base`.
    #[must_use]
    pub fn new(base: Instant, unix: Duration) -> Self {
        let at_base = fixed_point(unix).wrapping_add(NTP_TO_UNIX_S << 32);
        Self { base, at_base }
    }

    /// NTP time, as 32.32 fixed point.
    #[must_use]
    pub fn ntp(&self, now: Instant) -> u64 {
        self.at_base
            .wrapping_add(fixed_point(now.saturating_duration_since(self.base)))
    }
}

fn fixed_point(span: Duration) -> u64 {
    let fraction = (u64::from(span.subsec_nanos()) << 32) / 1_000_000_000;
    (span.as_secs() << 32).wrapping_add(fraction)
}

/// The middle 32 bits of an NTP time: 16 bits of seconds, 16 of fraction.
#[must_use]
pub const fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// Round-trip time by RFC 3550 section 6.4.1: arrival less the echo of our report less the peer's delay. `None` when
/// nothing was echoed, or the sum makes no sense (a peer may write anything there).
#[must_use]
pub fn round_trip(now_ntp: u64, block: &ReportBlock) -> Option<Duration> {
    if block.last_sender_report == 0 {
        return None;
    }
    let units = middle(now_ntp)
        .wrapping_sub(block.last_sender_report)
        .wrapping_sub(block.delay);
    // A clock step of one unit (15 us) below zero is rounding.
    let units = if units == u32::MAX { 0 } else { units };
    let trip = Duration::from_nanos(u64::from(units) * 1_000_000_000 / 65_536);
    (trip < Duration::from_secs(30)).then_some(trip)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use proptest::prelude::*;

    use super::*;

    const BLOCK: Block = Block {
        ssrc: 5,
        fraction_lost: 3,
        cumulative_lost: -2,
        highest: 0x1_0002,
        jitter: 77,
    };

    #[test]
    fn our_own_report_is_read_back() {
        let mut out = [0; COMPOUND_MAX];
        let sender = SenderInfo {
            ntp: 0x1122_3344_5566_7788,
            timestamp: 9,
            packets: 10,
            octets: 1_600,
        };
        let last = LastSenderReport {
            ntp_middle: 0xaabb_ccdd,
            delay: 65_536,
        };
        for cname in ["", "a", "ab", "abc", "abcd", &"x".repeat(100)] {
            let report = Report {
                ssrc: 4,
                sender: Some(sender),
                block: Some((BLOCK, last)),
                cname,
                extended: None,
            };
            let bytes = write(&mut out, &report);
            assert_eq!(bytes.len() % 4, 0);
            let packets: Vec<_> = parse(bytes).collect();
            let Rtcp::SenderReport {
                ssrc: 4,
                ntp: 0x1122_3344_5566_7788,
                blocks,
            } = packets[0]
            else {
                panic!("{packets:?}");
            };
            let block = blocks.iter().next().unwrap();
            assert_eq!(
                (block.ssrc, block.cumulative_lost, block.highest),
                (5, -2, 0x1_0002)
            );
            assert_eq!(
                (block.last_sender_report, block.delay),
                (0xaabb_ccdd, 65_536)
            );
            assert_eq!(packets[1..], [Rtcp::SourceDescription]);
        }
        let empty = Report {
            ssrc: 4,
            sender: None,
            block: None,
            cname: "a",
            extended: None,
        };
        let packets: Vec<_> = parse(write(&mut out, &empty)).collect();
        assert!(matches!(packets[0], Rtcp::ReceiverReport { ssrc: 4, .. }));
    }

    /// The datagrams of AST-2017-008, and lengths that lie.
    #[test]
    fn short_packets_are_nothing() {
        for bytes in [
            &[0x80, 0xc8, 0, 0][..],
            &[0x81, 0xc9, 0, 0],
            &[0x81, 0xc9, 0, 1, 0, 0, 0, 1],
            &[0x80, 0xc8, 0xff, 0xff, 0, 0, 0, 1],
            &[0x9f, 0xcb, 0, 0],
            &[0x00, 0xc9, 0, 1, 0, 0, 0, 1],
            &[0x80],
            &[],
        ] {
            assert_eq!(parse(bytes).count(), 0, "{bytes:02x?}");
        }
    }

    #[test]
    fn goodbye_names_its_sources() {
        let ours = goodbye(7);
        let Some(Rtcp::Goodbye(sources)) = parse(&ours).next() else {
            panic!()
        };
        assert_eq!(sources.iter().collect::<Vec<_>>(), [7]);
        let bytes = [0x82, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let Some(Rtcp::Goodbye(sources)) = parse(&bytes).next() else {
            panic!()
        };
        assert_eq!(sources.iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn round_trip_by_the_book() {
        let base = Instant::now();
        let clock = NtpClock::new(base, Duration::from_secs(1_700_000_000));
        let sent = middle(clock.ntp(base));
        let mut block = ReportBlock {
            ssrc: 1,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest: 0,
            jitter: 0,
            last_sender_report: sent,
            delay: 65_536,
        };
        let trip = round_trip(clock.ntp(base + Duration::from_millis(1_040)), &block).unwrap();
        assert!((trip.as_secs_f64() - 0.040).abs() < 0.001, "{trip:?}");
        block.delay = 3 * 65_536;
        assert_eq!(
            round_trip(clock.ntp(base + Duration::from_secs(1)), &block),
            None
        );
        block.last_sender_report = 0;
        assert_eq!(round_trip(clock.ntp(base), &block), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for packet in parse(&bytes) {
                if let Rtcp::SenderReport { blocks, .. } | Rtcp::ReceiverReport { blocks, .. } = packet {
                    prop_assert!(blocks.iter().count() <= RTCP_BLOCKS_MAX);
                }
            }
        }
    }
}
