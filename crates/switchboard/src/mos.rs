//! One number for how well a direction was heard.

use crate::io::DirectionReport;

/// R of a call without any impairment (ITU-T G.107, default values).
const R_MAX: f64 = 93.2;

/// Robustness of G.711 with packet loss concealment against random loss (ITU-T G.113, appendix I).
const BPL_G711: f64 = 25.1;

/// Beyond this one-way delay conversations suffer (ITU-T G.107, simplified form of Id).
const DELAY_KNEE_MS: f64 = 177.3;

/// One packet and the jitter buffer's own: what every path adds to half a round trip.
const PACKET_MS: f64 = 20.0;

/// Mean opinion score by the E-model from loss, jitter and round trip, from 1 to 4.5. `None` unless all three were measured: a
/// score without delay would flatter.
#[must_use]
pub fn opinion(report: &DirectionReport) -> Option<f64> {
    let (lost, jitter_ms, rtt_ms) = (report.lost?, report.jitter_ms?, report.rtt_ms?);
    // Exact up to 2^53 packets.
    #[allow(clippy::cast_precision_loss)]
    let (lost, expected) = (lost as f64, report.packets.saturating_add(lost) as f64);
    if expected == 0.0 {
        return None;
    }
    let loss_percent = 100.0 * lost / expected;
    let delay_ms = rtt_ms / 2.0 + 2.0 * jitter_ms + PACKET_MS;
    let beyond_ms = (delay_ms - DELAY_KNEE_MS).max(0.0);
    let delay_impairment = 0.024f64.mul_add(delay_ms, 0.11 * beyond_ms);
    let loss_impairment = 95.0 * loss_percent / (loss_percent + BPL_G711);
    let r = (R_MAX - delay_impairment - loss_impairment).clamp(0.0, 100.0);
    Some(
        (r * (r - 60.0) * (100.0 - r))
            .mul_add(7e-6, 0.035f64.mul_add(r, 1.0))
            .clamp(1.0, 4.5),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(packets: u64, lost: u64, jitter_ms: f64, rtt_ms: f64) -> DirectionReport {
        DirectionReport {
            packets,
            lost: Some(lost),
            jitter_ms: Some(jitter_ms),
            rtt_ms: Some(rtt_ms),
        }
    }

    #[test]
    fn a_clean_call_is_excellent_and_loss_is_heard() {
        let clean = opinion(&report(1000, 0, 1.0, 10.0)).unwrap_or(0.0);
        let lossy = opinion(&report(900, 100, 1.0, 10.0)).unwrap_or(0.0);
        let late = opinion(&report(1000, 0, 1.0, 800.0)).unwrap_or(0.0);
        assert!((4.3..4.5).contains(&clean), "{clean}");
        assert!((2.5..3.5).contains(&lossy), "{lossy}");
        assert!((2.5..3.5).contains(&late), "{late}");
    }

    #[test]
    fn what_was_not_measured_has_no_score() {
        assert_eq!(opinion(&DirectionReport::default()), None);
        let no_delay = DirectionReport {
            rtt_ms: None,
            ..report(1000, 0, 1.0, 10.0)
        };
        assert_eq!(opinion(&no_delay), None);
        assert_eq!(opinion(&report(0, 0, 0.0, 10.0)), None);
    }
}
