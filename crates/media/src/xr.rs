//! The VoIP metrics block of RTCP extended reports (RFC 3611 section 4.7): how a call sounds at its far end, in that end's own words.

use std::time::Duration;

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
