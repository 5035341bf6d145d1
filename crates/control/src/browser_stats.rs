//! What a browser says of its connection, read out of the `report` of `stats`: a page may say anything, and what is no measurement is unknown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{MAX_CODEC_BYTES, MAX_MILLISECONDS};

/// The browser's own measurements (`getStats`), as far as its page told them. `null` is "not told", never "none".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BrowserStats {
    /// Round trip to the gateway in ms.
    pub rtt_ms: Option<f64>,
    /// What the agent hears.
    pub received: BrowserReceived,
    /// What her microphone says.
    pub sent: BrowserSent,
}

/// What the browser received. Counts are of this call, where the page says cumulative ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BrowserReceived {
    /// Packets that came.
    pub packets: Option<u64>,
    /// Packets that never came.
    pub lost: Option<u64>,
    /// Interarrival jitter in ms.
    pub jitter_ms: Option<f64>,
    /// How long packets wait in the browser's jitter buffer, in ms.
    pub jitter_buffer_ms: Option<f64>,
    /// The share of samples that the browser made up, from 0 to 1.
    pub concealed: Option<f64>,
    /// The codec, as a media type.
    pub codec: Option<String>,
}

/// What the browser sent, as the gateway's RTCP told it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BrowserSent {
    /// Packets that left.
    pub packets: Option<u64>,
    /// Packets that never arrived.
    pub lost: Option<u64>,
    /// Interarrival jitter at the gateway in ms.
    pub jitter_ms: Option<f64>,
}

/// Counts of a connection since it was made. A connection outlives its calls, so the counts of a call are a difference of two of these ([`BrowserSpan`]).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BrowserCounts {
    received: Option<u64>,
    lost: Option<u64>,
    samples: Option<f64>,
    concealed: Option<f64>,
    sent: Option<u64>,
    sent_lost: Option<u64>,
}

impl BrowserCounts {
    /// Reads the counts of a `report`.
    #[must_use]
    pub fn read(report: &Value) -> Self {
        let (received, sent) = (&report["received"], &report["sent"]);
        Self {
            received: count(&received["packets"]),
            lost: count(&received["lost"]),
            samples: amount(&received["samples"]),
            concealed: amount(&received["concealed_samples"]),
            sent: count(&sent["packets"]),
            sent_lost: count(&sent["lost"]),
        }
    }

    /// Nothing has gone down since: it is the same connection. What is not told says nothing.
    fn follows(&self, before: &Self) -> bool {
        let grew = |now: Option<u64>, before: Option<u64>| {
            now.zip(before).is_none_or(|(now, before)| now >= before)
        };
        grew(self.received, before.received) && grew(self.sent, before.sent)
    }

    /// Each count with its counterpart; one that is not told by `self` is not known.
    fn with(
        &self,
        other: &Self,
        count: impl Fn(u64, u64) -> u64,
        amount: impl Fn(f64, f64) -> f64,
    ) -> Self {
        let counts =
            |own: Option<u64>, other: Option<u64>| own.map(|own| count(own, other.unwrap_or(0)));
        let amounts =
            |own: Option<f64>, other: Option<f64>| own.map(|own| amount(own, other.unwrap_or(0.0)));
        Self {
            received: counts(self.received, other.received),
            lost: counts(self.lost, other.lost),
            samples: amounts(self.samples, other.samples),
            concealed: amounts(self.concealed, other.concealed),
            sent: counts(self.sent, other.sent),
            sent_lost: counts(self.sent_lost, other.sent_lost),
        }
    }

    fn less(&self, since: &Self) -> Self {
        self.with(since, u64::saturating_sub, |now, since| {
            (now - since).max(0.0)
        })
    }

    fn plus(&self, more: &Self) -> Self {
        self.with(more, u64::saturating_add, |now, more| now + more)
    }
}

/// What a call has of the counts that reports tell, over all connections that it had: a reload of the page makes a new one, which counts from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BrowserSpan {
    /// The counts of the present connection when the call, or the connection, began.
    since: BrowserCounts,
    /// Its counts now.
    last: BrowserCounts,
    /// What the connections before it had counted in this call.
    before: BrowserCounts,
}

impl BrowserSpan {
    /// The call begins where the connection has these counts.
    #[must_use]
    pub fn from(since: BrowserCounts) -> Self {
        Self {
            since,
            last: since,
            before: BrowserCounts::default(),
        }
    }

    /// What has been counted in the call by the time of a report.
    fn until(&mut self, now: BrowserCounts) -> BrowserCounts {
        if !now.follows(&self.last) {
            self.before = self.last.less(&self.since).plus(&self.before);
            self.since = BrowserCounts::default();
        }
        self.last = BrowserCounts {
            received: now.received.or(self.last.received),
            lost: now.lost.or(self.last.lost),
            samples: now.samples.or(self.last.samples),
            concealed: now.concealed.or(self.last.concealed),
            sent: now.sent.or(self.last.sent),
            sent_lost: now.sent_lost.or(self.last.sent_lost),
        };
        now.less(&self.since).plus(&self.before)
    }
}

impl BrowserStats {
    /// Reads a `report` of the call whose `span` it is.
    #[must_use]
    pub fn read(report: &Value, span: &mut BrowserSpan) -> Self {
        let counts = span.until(BrowserCounts::read(report));
        let samples = counts.samples.filter(|samples| *samples > 0.0);
        let concealed = counts.concealed.zip(samples);
        let received = &report["received"];
        let sent = &report["sent"];
        Self {
            rtt_ms: milliseconds(&report["rtt_ms"]),
            received: BrowserReceived {
                packets: counts.received,
                lost: counts.lost,
                jitter_ms: milliseconds(&received["jitter_ms"]),
                jitter_buffer_ms: milliseconds(&received["jitter_buffer_ms"]),
                concealed: concealed
                    .map(|(made_up, all)| made_up / all)
                    .or_else(|| amount(&received["concealed"]))
                    .filter(|share| *share <= 1.0),
                codec: codec(&received["codec"]),
            },
            sent: BrowserSent {
                packets: counts.sent,
                lost: counts.sent_lost,
                jitter_ms: milliseconds(&sent["jitter_ms"]),
            },
        }
    }
}

/// A count is a whole number; browsers print some of them with a fraction of zero, and `packetsLost` may be negative.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let whole = value.as_f64().filter(|whole| whole.fract() == 0.0)?;
        // Exact below 2^53; whoever counts more has made it up.
        (whole < 9.0e15).then_some(whole.max(0.0) as u64)
    })
}

fn amount(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .filter(|amount| amount.is_finite() && *amount >= 0.0)
}

fn milliseconds(value: &Value) -> Option<f64> {
    amount(value).filter(|ms| *ms <= MAX_MILLISECONDS)
}

/// A media type is a short word of a known alphabet.
fn codec(value: &Value) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-.+".contains(c);
    let name = value.as_str()?;
    (name.len() <= MAX_CODEC_BYTES && name.chars().all(plain)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(received: u64, lost: i64, samples: u64, concealed: u64) -> Value {
        json!({
            "rtt_ms": 21.5,
            "received": {
                "packets": received, "lost": lost, "jitter_ms": 3.5, "jitter_buffer_ms": 48,
                "concealed": 0.9, "samples": samples, "concealed_samples": concealed, "codec": "audio/PCMU",
            },
            "sent": {"packets": received, "lost": 0, "jitter_ms": 1},
        })
    }

    /// One connection carries the calls of a whole shift: what an earlier call lost is not this one's.
    #[test]
    fn counts_are_those_of_the_call() {
        let mut span = BrowserSpan::from(BrowserCounts::read(&report(1_000, 40, 160_000, 80_000)));
        let stats = BrowserStats::read(&report(1_500, 45, 240_000, 80_800), &mut span);
        assert_eq!(stats.received.packets, Some(500));
        assert_eq!(stats.received.lost, Some(5));
        assert_eq!(stats.received.concealed, Some(0.01));
        assert_eq!(stats.sent.packets, Some(500));
        assert_eq!(
            (stats.rtt_ms, stats.received.jitter_buffer_ms),
            (Some(21.5), Some(48.0))
        );
    }

    /// A reload makes a new connection, which counts from zero, and in a long call beyond what the one before had counted.
    #[test]
    fn a_new_connection_counts_anew() {
        let mut span = BrowserSpan::from(BrowserCounts::read(&report(1_000, 40, 160_000, 80_000)));
        let mut read = |report| {
            let received = BrowserStats::read(&report, &mut span).received;
            (received.packets, received.lost, received.concealed)
        };
        let first = read(report(100, 1, 16_000, 160));
        assert_eq!(first, (Some(100), Some(1), Some(0.01)));
        let later = read(report(1_100, 11, 176_000, 1_760));
        assert_eq!(later, (Some(1_100), Some(11), Some(0.01)));
        let again = read(report(300, 3, 48_000, 480));
        assert_eq!(again, (Some(1_400), Some(14), Some(0.01)));
        // A page that tells nothing for once has the same connection.
        assert_eq!(read(json!({})), (None, None, None));
        let last = read(report(1_900, 3, 304_000, 480));
        assert_eq!((last.0, last.1), (Some(3_000), Some(14)));
    }

    /// A page may say anything; nothing of it becomes a number that nobody measured.
    #[test]
    fn what_is_no_measurement_is_unknown() {
        let absurd = json!({
            "rtt_ms": -4, "received": {
                "packets": "many", "lost": -3, "jitter_ms": 1e300, "concealed": 7, "codec": "<script>",
            },
            "sent": [1, 2],
        });
        let stats = BrowserStats::read(&absurd, &mut BrowserSpan::default());
        let nothing = BrowserStats {
            received: BrowserReceived {
                // More came than was sent: nothing is lost.
                lost: Some(0),
                ..BrowserReceived::default()
            },
            ..BrowserStats::default()
        };
        assert_eq!(stats, nothing);
        for odd in [json!(null), json!(7), json!([{"received": 1}]), json!("x")] {
            let stats = BrowserStats::read(&odd, &mut BrowserSpan::default());
            assert_eq!(stats, BrowserStats::default());
        }
    }
}
