//! What a call's media was like, each direction apart. What was not measured is `None`.

use std::time::Duration;

use super::{Bridge, TO_AGENT, TO_CALLER};
use crate::codec::{Codec, FRAME};
use crate::emodel::{self, Inputs, Score};
use crate::playout::PlayoutReport;
use crate::stats::ReceiveStats;
use crate::xr::VoipMetrics;

/// Which way packets of a direction took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// All were handed over as they came, or by a table of laws.
    Relay,
    /// All were decoded and encoded again.
    Transcode,
    /// Some so, some so: an end changed its codec.
    Both,
}

/// What the receiver of a direction says of it (RTCP).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FarEnd {
    /// Packets of ours that never reached it, as far as its reports tell of this call and this party alone.
    pub lost: u64,
    /// Of how many it said so; 0 while it has not.
    pub of: u64,
    /// Interarrival jitter there.
    pub jitter: Option<Duration>,
}

impl FarEnd {
    /// The share that never reached it. A peer may count more than there were.
    fn loss(self) -> Option<f64> {
        // Exact up to 2^53 packets.
        (self.of > 0).then(|| (self.lost as f64 / self.of as f64).min(1.0))
    }
}

/// Measurements of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DirectionReport {
    /// Packets accepted.
    pub packets: u64,
    /// Octets of their payloads.
    pub octets: u64,
    /// Packets that never came.
    pub lost: Option<u64>,
    /// Packets that came too late to be heard.
    pub late: Option<u64>,
    /// Packets that came again.
    pub duplicates: Option<u64>,
    /// Interarrival jitter.
    pub jitter: Option<Duration>,
    /// Round-trip time by RTCP of the leg that the packets came over.
    pub round_trip: Option<Duration>,
    /// Speech that was guessed because it was lost or late; only where it is decoded here.
    pub concealed: Option<Duration>,
    /// How long packets wait for their turn; only where they are decoded here.
    pub playout_delay: Option<Duration>,
    /// The share of speech that did not come over the near leg as it was said, 0 to 1: guessed where it is decoded here, else lost.
    pub loss: Option<f64>,
    /// The share of packets that the far leg lost, 0 to 1, in its receiver's own words; `None` where it has none.
    pub far_loss: Option<f64>,
    /// How much longer than by chance losses were; only where they are decoded here, and some were.
    pub burst_ratio: Option<f64>,
    /// The E-model's verdict, with what it was made of: the loss of both legs, or of the near one alone where `far_loss` is `None`.
    pub score: Option<Score>,
    /// Which way packets took; `None` while none went on.
    pub path: Option<Path>,
    /// The codec that came last, and the one in which it went on.
    pub codecs: Option<(Codec, Codec)>,
    /// Packets that went on to the other leg, those of our own among them.
    pub sent: u64,
    /// Octets of their payloads; `None` towards the browser, whose stream outlives the call.
    pub sent_octets: Option<u64>,
    /// What their receiver says of them; `None` until it has.
    pub far_end: Option<FarEnd>,
    /// How it sounds to the receiver, in its own words (RFC 3611); only where that is the SIP side and says so.
    pub far_voip: Option<VoipMetrics>,
}

/// Who went which way in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    relayed: bool,
    decoded: bool,
    codecs: Option<(Codec, Codec)>,
}

impl Traffic {
    pub(super) const fn relay(&mut self, from: Codec, to: Codec) {
        self.relayed = true;
        self.codecs = Some((from, to));
    }

    pub(super) const fn decode(&mut self, from: Codec, to: Codec) {
        self.decoded = true;
        self.codecs = Some((from, to));
    }

    const fn path(self) -> Option<Path> {
        match (self.relayed, self.decoded) {
            (true, false) => Some(Path::Relay),
            (false, true) => Some(Path::Transcode),
            (true, true) => Some(Path::Both),
            (false, false) => None,
        }
    }
}

/// Measurements of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// What came from the SIP side.
    pub to_agent: DirectionReport,
    /// What came from the browser.
    pub to_caller: DirectionReport,
}

/// What decoders of one direction have played, over all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Played {
    speech: Duration,
    concealed: Duration,
    /// Losses in a row count once.
    concealments: u64,
    late: u64,
    delay: Option<Duration>,
}

impl Played {
    fn and(self, report: &PlayoutReport) -> Self {
        Self {
            speech: self.speech + report.speech,
            concealed: self.concealed + report.concealed,
            concealments: self.concealments + report.concealments,
            late: self.late + report.late + report.duplicates,
            delay: report.delay.or(self.delay),
        }
    }

    /// Nothing was decoded.
    fn is_empty(&self) -> bool {
        self.speech.is_zero() && self.concealed.is_zero()
    }
}

impl Bridge {
    /// What decodes and encodes this direction is no longer needed; its encoder rests.
    pub(super) fn retire(&mut self, way: usize) {
        if let Some(transcoder) = self.transcoders[way].take() {
            self.played[way] = self.played[way].and(&transcoder.measured());
            self.resting[way] = transcoder.retire().map(Box::new);
        }
    }

    /// What was measured since the call began.
    #[must_use]
    pub fn measured(&self) -> Report {
        let codec = self
            .plan
            .map_or(Codec::G711(crate::g711::Law::Mu), |plan| plan.format.codec);
        let half = |round_trip: Option<Duration>| round_trip.map(|trip| trip / 2);
        let network = half(self.round_trip)
            .zip(half(self.browser_round_trip))
            .map(|(sip, browser)| sip + browser);
        let direction = |way: usize, stats, round_trip| {
            let played = self.transcoders[way]
                .as_ref()
                .map_or(self.played[way], |now| {
                    self.played[way].and(&now.measured())
                });
            DirectionReport {
                path: self.traffic[way].path(),
                codecs: self.traffic[way].codecs,
                far_end: self.far_end[way],
                ..report(
                    stats,
                    round_trip,
                    self.unplaced[way],
                    &played,
                    (network, self.far_end[way].and_then(FarEnd::loss), codec),
                )
            }
        };
        Report {
            to_agent: DirectionReport {
                sent: self.sent_to_agent,
                ..direction(TO_AGENT, &self.from_sip, self.round_trip)
            },
            to_caller: DirectionReport {
                sent: self.secure.sent_before.0 + self.to_sip.sent().0,
                sent_octets: Some(self.secure.sent_before.1 + self.to_sip.sent().1),
                far_voip: self.far_voip,
                ..direction(TO_CALLER, &self.from_browser, self.browser_round_trip)
            },
        }
    }
}

fn report(
    stats: &ReceiveStats,
    round_trip: Option<Duration>,
    unplaced: u64,
    played: &Played,
    (network, far_loss, codec): (Option<Duration>, Option<f64>, Codec),
) -> DirectionReport {
    let decoded = !played.is_empty();
    let (packets, lost) = (stats.packets(), stats.lost());
    let all = lost.map(|lost| lost + packets).filter(|all| *all > 0);
    // Where speech is decoded here, what was not heard as it was said is known; elsewhere the browser or the far end knows.
    let (loss, burst_ratio) = if decoded {
        let heard = (played.speech + played.concealed).as_secs_f64();
        let frames = |span: Duration| span.as_millis() as u64 / FRAME.as_millis() as u64;
        let concealed = frames(played.concealed);
        let all = concealed + frames(played.speech);
        let ratio = emodel::burst_ratio(concealed, all, played.concealments);
        (Some(played.concealed.as_secs_f64() / heard), ratio)
    } else {
        // Exact up to 2^53 packets.
        (
            lost.zip(all).map(|(lost, all)| lost as f64 / all as f64),
            None,
        )
    };
    let playout_delay = played.delay.filter(|_| decoded);
    // What both ends keep in their own buffers is not known here, but for one packet that nobody can do without.
    let one_way = network.map(|network| network + playout_delay.unwrap_or_default() + FRAME);
    DirectionReport {
        packets,
        octets: stats.octets(),
        lost,
        // Nobody places or plays a repetition: it is among those that were refused.
        late: stats
            .duplicates()
            .map(|again| (unplaced + played.late).saturating_sub(again)),
        duplicates: stats.duplicates(),
        jitter: stats.jitter(),
        round_trip,
        concealed: decoded.then_some(played.concealed),
        playout_delay,
        loss,
        far_loss,
        burst_ratio,
        score: emodel::score(Inputs {
            one_way,
            loss: loss.map(|near| emodel::loss_of_both(near, far_loss.unwrap_or(0.0))),
            burst_ratio: burst_ratio.map(|ratio| {
                let (near, far) = (loss.unwrap_or(0.0), far_loss.unwrap_or(0.0));
                emodel::burst_ratio_of_both((near, ratio), (far, 1.0))
            }),
            codec,
        }),
        ..DirectionReport::default()
    }
}
