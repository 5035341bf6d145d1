//! The VoIP metrics block of RTCP extended reports (RFC 3611 section 4.7): how a call sounds at its far end, in that end's own words, and at ours.

use std::time::Duration;

use crate::bursts::GMIN;

/// Octets of the head of an extended report: that of any RTCP packet, and who reports.
const HEAD: usize = 8;

/// The block's type, and its length in words without its head.
const VOIP: (u8, u16) = (7, 8);

/// A byte that stands for "not measured" (RFC 3611 section 4.7.4 and 4.7.5).
const UNKNOWN: u8 = 127;

/// What the far end measured of one of our streams. What it did not measure is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VoipMetrics {
    /// The stream.
    pub ssrc: u32,
    /// Share of packets that never came, 0 to 1.
    pub loss: f64,
    /// Share of packets that came too late to be heard, 0 to 1.
    pub discard: f64,
    /// Share of packets lost or too late within bursts, 0 to 1.
    pub burst_density: f64,
    /// The same between bursts.
    pub gap_density: f64,
    /// Mean length of bursts.
    pub burst: Duration,
    /// Mean length of gaps.
    pub gap: Duration,
    /// Round trip between the two ends of RTP.
    pub round_trip: Option<Duration>,
    /// What the far end itself adds, from the wire to the ear and from the mouth to the wire.
    pub end_system: Option<Duration>,
    /// Level of speech, in dBm.
    pub signal_dbm: Option<i8>,
    /// Level of what is heard without speech, in dBm.
    pub noise_dbm: Option<i8>,
    /// Residual echo return loss, in dB.
    pub echo_loss_db: Option<u8>,
    /// Transmission rating.
    pub r: Option<u8>,
    /// Opinion score of listening.
    pub mos_lq: Option<f64>,
    /// Opinion score of a conversation.
    pub mos_cq: Option<f64>,
    /// The present delay of its jitter buffer.
    pub jitter_buffer: Duration,
}

/// Octets of a report with one such block.
pub const REPORT_LEN: usize = HEAD + 36;

/// The packet type of an extended report.
const EXTENDED_REPORT: u8 = 207;

/// How speech is treated at the end that reports (RFC 3611 section 4.7.6 and 4.7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Packets are handed over: who plays them is not known here, nor what it does about losses.
    HandsOver,
    /// It is decoded here, by an adaptive jitter buffer of so much at most.
    Decodes {
        /// The longest a packet waits.
        longest: Duration,
    },
}

/// Writes an extended report of `from` with one block. What was not measured is written as unknown.
#[must_use]
pub fn report(from: u32, metrics: &VoipMetrics, end: End) -> [u8; REPORT_LEN] {
    let share = |share: f64| (share * 256.0).clamp(0.0, 255.0) as u8;
    let ms = |span: Duration| u16::try_from(span.as_millis()).unwrap_or(u16::MAX);
    let level = |level: Option<i8>| level.map_or(UNKNOWN, i8::cast_unsigned);
    let opinion = |score: Option<f64>| {
        score.map_or(UNKNOWN, |score| {
            (score * 10.0).round().clamp(10.0, 50.0) as u8
        })
    };
    let (config, longest) = match end {
        End::HandsOver => (0, Duration::ZERO),
        // Enhanced concealment, adaptive buffer.
        End::Decodes { longest } => (0b1011_0000, longest),
    };
    let spans = |spans: [Duration; 4]| spans.map(|span| ms(span).to_be_bytes());
    let words = (REPORT_LEN / 4 - 1) as u16;
    let mut packet = [0; REPORT_LEN];
    let mut rest = &mut packet[..];
    let mut put = |octets: &[u8]| {
        let (here, behind) = std::mem::take(&mut rest).split_at_mut(octets.len());
        here.copy_from_slice(octets);
        rest = behind;
    };
    put(&[0x80, EXTENDED_REPORT]);
    put(&words.to_be_bytes());
    put(&from.to_be_bytes());
    put(&[VOIP.0, 0]);
    put(&VOIP.1.to_be_bytes());
    put(&metrics.ssrc.to_be_bytes());
    put(&[
        share(metrics.loss),
        share(metrics.discard),
        share(metrics.burst_density),
        share(metrics.gap_density),
    ]);
    let unknown = Duration::ZERO;
    let (trip, own) = (metrics.round_trip, metrics.end_system);
    put(spans([
        metrics.burst,
        metrics.gap,
        trip.unwrap_or(unknown),
        own.unwrap_or(unknown),
    ])
    .as_flattened());
    put(&[
        level(metrics.signal_dbm),
        level(metrics.noise_dbm),
        metrics.echo_loss_db.unwrap_or(UNKNOWN),
        GMIN,
        metrics.r.unwrap_or(UNKNOWN),
        // No other network behind us is measured by itself.
        UNKNOWN,
        opinion(metrics.mos_lq),
        opinion(metrics.mos_cq),
        config,
        0,
    ]);
    for span in [metrics.jitter_buffer, longest, longest] {
        put(&ms(span).to_be_bytes());
    }
    packet
}

/// The VoIP metrics blocks of an extended report, given whole; ends at the first block that is not.
pub fn voip_metrics(packet: &[u8]) -> impl Iterator<Item = VoipMetrics> {
    let mut rest = packet.get(HEAD..).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let (&kind, words) = (rest.first()?, rest.get(2..4)?);
            let words = u16::from_be_bytes(words.try_into().ok()?);
            let (block, after) = rest.split_at_checked((usize::from(words) + 1) * 4)?;
            rest = after;
            if (kind, words) == VOIP {
                return metrics(block);
            }
        }
    })
}

/// The block has its 36 octets.
fn metrics(block: &[u8]) -> Option<VoipMetrics> {
    let byte = |at: usize| block.get(at).copied();
    let known = |at: usize| byte(at).map(|value| (value != UNKNOWN).then_some(value));
    let share = |at: usize| byte(at).map(|value| f64::from(value) / 256.0);
    let level = |at: usize| known(at).map(|value| value.map(u8::cast_signed));
    let short = |at: usize| Some(u16::from_be_bytes(block.get(at..at + 2)?.try_into().ok()?));
    let ms = |at: usize| short(at).map(|ms| Duration::from_millis(ms.into()));
    let not_zero = |at: usize| ms(at).map(|span| (!span.is_zero()).then_some(span));
    // Ten times the score, from 1 to 5.
    let opinion = |at: usize| {
        let score = |value: &u8| (10..=50).contains(value);
        known(at).map(|value| value.filter(score).map(|value| f64::from(value) / 10.0))
    };
    Some(VoipMetrics {
        ssrc: u32::from_be_bytes(block.get(4..8)?.try_into().ok()?),
        loss: share(8)?,
        discard: share(9)?,
        burst_density: share(10)?,
        gap_density: share(11)?,
        burst: ms(12)?,
        gap: ms(14)?,
        round_trip: not_zero(16)?,
        end_system: not_zero(18)?,
        signal_dbm: level(20)?,
        noise_dbm: level(21)?,
        echo_loss_db: known(22)?,
        r: known(24)?.filter(|r| *r <= 100),
        mos_lq: opinion(26)?,
        mos_cq: opinion(27)?,
        jitter_buffer: ms(30)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A report of a telephone: a receiver reference time block that we have no use for, then the metrics.
    fn report(r: u8, mos: [u8; 2]) -> Vec<u8> {
        let mut packet = vec![0x80, 207, 0, 13, 0, 0, 0, 9];
        packet.extend([4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
        packet.extend([7, 0, 0, 8, 0, 0, 0, 5]);
        packet.extend([13, 2, 64, 1, 0, 120, 7, 208, 0, 85, 0, 60]);
        // -22 dBm of speech, noise not measured.
        packet.extend([0xea, 127, 55, 16, r, 127, mos[0], mos[1]]);
        packet.extend([0xb0, 0, 0, 40, 0, 80, 0, 200]);
        packet
    }

    #[test]
    fn a_telephones_metrics_are_read() {
        let packet = report(88, [41, 40]);
        assert_eq!(packet.len(), (13 + 1) * 4);
        let read: Vec<_> = voip_metrics(&packet).collect();
        let ms = Duration::from_millis;
        assert_eq!(
            read,
            [VoipMetrics {
                ssrc: 5,
                loss: 13.0 / 256.0,
                discard: 2.0 / 256.0,
                burst_density: 0.25,
                gap_density: 1.0 / 256.0,
                burst: ms(120),
                gap: ms(2_000),
                round_trip: Some(ms(85)),
                end_system: Some(ms(60)),
                signal_dbm: Some(-22),
                noise_dbm: None,
                echo_loss_db: Some(55),
                r: Some(88),
                mos_lq: Some(4.1),
                mos_cq: Some(4.0),
                jitter_buffer: ms(40),
            }]
        );
    }

    /// What the telephone did not measure is unknown, and so is what cannot be a score.
    #[test]
    fn what_was_not_measured_is_unknown() {
        for (r, mos) in [(127, [127, 127]), (200, [9, 51])] {
            let read = voip_metrics(&report(r, mos)).next().unwrap();
            assert_eq!((read.r, read.mos_lq, read.mos_cq), (None, None, None));
        }
    }

    /// What is written is what is read, with unknown for what nobody measured.
    #[test]
    fn our_own_metrics_are_read_back() {
        let known = VoipMetrics {
            end_system: None,
            jitter_buffer: Duration::from_millis(40),
            ..voip_metrics(&super::tests::report(88, [41, 40]))
                .next()
                .unwrap()
        };
        let unknown = VoipMetrics {
            round_trip: None,
            signal_dbm: None,
            echo_loss_db: None,
            r: None,
            mos_lq: None,
            mos_cq: None,
            ..known
        };
        for metrics in [known, unknown] {
            let longest = Duration::from_millis(600);
            let packet = super::report(9, &metrics, End::Decodes { longest });
            let read: Vec<_> = voip_metrics(&packet).collect();
            assert_eq!(read, [metrics]);
        }
        let packet = super::report(9, &unknown, End::HandsOver);
        assert_eq!(
            packet[36..38],
            [0, 0],
            "nothing is said of a buffer that is not ours"
        );
    }

    /// Lengths that lie, and every way to cut a report short.
    #[test]
    fn short_reports_are_nothing() {
        let whole = report(88, [41, 40]);
        for len in 0..whole.len() {
            assert_eq!(voip_metrics(&whole[..len]).count(), 0, "{len}");
        }
        let mut lies = whole;
        lies[11] = 200;
        assert_eq!(voip_metrics(&lies).count(), 0);
    }
}
