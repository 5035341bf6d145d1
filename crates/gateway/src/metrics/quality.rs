//! How calls that are over sounded, as histograms: each figure once for each call that measured it, and not at all for the others.

use control::{EndDirection, EndMedia};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::Histograms;
use super::labels::LegDir;

/// Where opinions change: below 3.5 people complain.
const MOS: [f64; 8] = [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.2, 4.4];

/// Jitter in seconds: a quiet LAN at one end, a cell at the edge of its reach at the other. Above 30 ms it is heard.
const JITTER: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];

/// Shares of what was lost or guessed: one in a thousand is not heard, one in ten is no conversation.
const SHARE: [f64; 9] = [0.0, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];

/// Round trips in seconds, from a building to a satellite.
const ROUND_TRIP: [f64; 10] = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.3, 0.6, 1.0];

fn mos() -> Histogram {
    Histogram::new(MOS)
}

fn jitter() -> Histogram {
    Histogram::new(JITTER)
}

fn share() -> Histogram {
    Histogram::new(SHARE)
}

fn round_trip() -> Histogram {
    Histogram::new(ROUND_TRIP)
}

/// The histograms. `in` is what came over a leg, `out` what its far end says of what it was sent.
#[derive(Clone, Debug)]
pub(super) struct Quality {
    pub(super) mos: Histograms<LegDir>,
    pub(super) jitter: Histograms<LegDir>,
    pub(super) loss: Histograms<LegDir>,
    pub(super) round_trip: Histograms<LegDir>,
    pub(super) concealed: Histograms<LegDir>,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            mos: Family::new_with_constructor(mos),
            jitter: Family::new_with_constructor(jitter),
            loss: Family::new_with_constructor(share),
            round_trip: Family::new_with_constructor(round_trip),
            concealed: Family::new_with_constructor(share),
        }
    }
}

impl Quality {
    /// A call is over.
    pub(super) fn observe(&self, media: &EndMedia) {
        self.direction(("sip", "browser"), &media.to_agent);
        self.direction(("browser", "sip"), &media.to_caller);
        if let Some(share) = media
            .browser
            .as_ref()
            .and_then(|browser| browser.received.concealed)
        {
            // The browser guesses what it is not given in time: what the agent heard, measured where she hears.
            note(&self.concealed, "browser", "out", share);
        }
    }

    fn direction(&self, (from, to): (&'static str, &'static str), direction: &EndDirection) {
        let (came, left) = (&direction.received, &direction.sent);
        if let Some(score) = &direction.score {
            note(&self.mos, from, "in", score.mos);
        }
        if let Some(ms) = came.jitter_ms {
            note(&self.jitter, from, "in", ms / 1e3);
        }
        if let Some(ms) = left.jitter_ms {
            note(&self.jitter, to, "out", ms / 1e3);
        }
        let distinct = came.packets.saturating_sub(came.duplicates.unwrap_or(0));
        if let Some(share) = came
            .lost
            .and_then(|lost| ratio(lost, distinct.saturating_add(lost)))
        {
            note(&self.loss, from, "in", share);
        }
        let reported = left.lost.zip(left.lost_of);
        if let Some(share) = reported.and_then(|(lost, of)| ratio(lost, of)) {
            note(&self.loss, to, "out", share);
        }
        if let Some(ms) = came.rtt_ms {
            note(&self.round_trip, from, "in", ms / 1e3);
        }
        if let Some(share) = direction.concealed {
            note(&self.concealed, from, "in", share);
        }
    }
}

fn note(histograms: &Histograms<LegDir>, leg: &'static str, dir: &'static str, value: f64) {
    histograms
        .get_or_create(&LegDir { leg, dir })
        .observe(value);
}

/// What a peer counts may be more than there was.
fn ratio(part: u64, all: u64) -> Option<f64> {
    // Exact up to 2^53 packets.
    (all > 0).then(|| (part as f64 / all as f64).min(1.0))
}

#[cfg(test)]
pub(super) mod tests {
    use control::{BrowserReceived, BrowserStats, EndReceived, EndScore, EndSent};

    use super::super::{Metrics, Sources};
    use super::*;

    /// A call of which everything was measured one way, and nothing the other.
    pub(in super::super) fn measured() -> EndMedia {
        let to_agent = EndDirection {
            received: EndReceived {
                packets: 980,
                lost: Some(20),
                jitter_ms: Some(4.0),
                rtt_ms: Some(40.0),
                ..EndReceived::default()
            },
            concealed_ms: Some(400.0),
            concealed: Some(0.02),
            sent: EndSent {
                packets: 1_000,
                lost: Some(100),
                lost_of: Some(1_000),
                jitter_ms: Some(25.0),
                ..EndSent::default()
            },
            score: Some(EndScore {
                r: 70.0,
                mos: 3.6,
                one_way_ms: 80.0,
                loss: 0.118,
                far_loss: Some(0.1),
                burst_ratio: None,
            }),
            ..EndDirection::default()
        };
        let received = BrowserReceived {
            concealed: Some(0.15),
            ..BrowserReceived::default()
        };
        EndMedia {
            to_agent,
            to_caller: EndDirection::default(),
            browser: Some(BrowserStats {
                received,
                ..BrowserStats::default()
            }),
        }
    }

    /// Each figure is counted for the leg where it was measured, in seconds and shares.
    #[test]
    fn figures_stand_where_they_were_measured() {
        let metrics = Metrics::new(Sources::default());
        metrics.quality.observe(&measured());
        let text = metrics.text(None);
        for line in [
            "talkbridge_mos_sum{leg=\"sip\",dir=\"in\"} 3.6",
            "talkbridge_jitter_seconds_sum{leg=\"sip\",dir=\"in\"} 0.004",
            "talkbridge_jitter_seconds_sum{leg=\"browser\",dir=\"out\"} 0.025",
            "talkbridge_loss_ratio_sum{leg=\"sip\",dir=\"in\"} 0.02",
            "talkbridge_loss_ratio_sum{leg=\"browser\",dir=\"out\"} 0.1",
            "talkbridge_rtt_seconds_sum{leg=\"sip\",dir=\"in\"} 0.04",
            "talkbridge_concealed_ratio_sum{leg=\"sip\",dir=\"in\"} 0.02",
            "talkbridge_concealed_ratio_sum{leg=\"browser\",dir=\"out\"} 0.15",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    /// A customer who came behind ten minutes of music lost a tenth of what he was sent, which is little of what left in all; and of a leg whose receiver has
    /// not told of any packet nothing is known.
    #[test]
    fn loss_is_of_what_its_receiver_told_of() {
        let mut media = measured();
        media.to_caller.sent = EndSent {
            packets: 32_000,
            lost: Some(200),
            lost_of: Some(2_000),
            ..EndSent::default()
        };
        media.to_agent.sent.lost = None;
        media.to_agent.sent.lost_of = None;
        let metrics = Metrics::new(Sources::default());
        metrics.quality.observe(&media);
        let text = metrics.text(None);
        let line = "talkbridge_loss_ratio_sum{leg=\"sip\",dir=\"out\"} 0.1\n";
        assert!(text.contains(line), "{text}");
        let none = "talkbridge_loss_ratio_sum{leg=\"browser\",dir=\"out\"}";
        assert!(!text.contains(none), "{text}");
    }

    /// A figure that nobody measured would be a lie in every average.
    #[test]
    fn an_unmeasured_call_leaves_nothing() {
        let metrics = Metrics::new(Sources::default());
        metrics.quality.observe(&EndMedia::default());
        let text = metrics.text(None);
        for name in [
            "mos",
            "jitter_seconds",
            "loss_ratio",
            "rtt_seconds",
            "concealed_ratio",
        ] {
            let sample = format!("talkbridge_{name}_count");
            assert!(!text.contains(&sample), "{text}");
        }
    }
}
