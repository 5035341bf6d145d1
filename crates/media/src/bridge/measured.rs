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
    /// Packets that never came, of those that were to be handed over.
    pub relay_lost: Option<u64>,
    /// Speech that was guessed because it was lost or late; only where it is decoded here.
    pub concealed: Option<Duration>,
    /// The share that this is of what was decoded here, 0 to 1.
    pub concealed_share: Option<f64>,
    /// How long packets wait for their turn; only while they are decoded here.
    pub playout_delay: Option<Duration>,
    /// The share of speech that did not come over the near leg as it was said, 0 to 1: guessed where it was decoded here, lost where it was handed over.
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
    /// The last packet was handed over, and so were those before it since so many had come and been lost.
    relays: Option<Count>,
    /// What came and was lost of all that was handed over before that.
    before: Count,
    codecs: Option<(Codec, Codec)>,
}

/// Packets that came, and that never did.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    came: u64,
    lost: u64,
}

impl Count {
    fn of(stats: &ReceiveStats) -> Self {
        Self {
            came: stats.distinct(),
            lost: stats.lost().unwrap_or(0),
        }
    }

    const fn since(self, then: Self) -> Self {
        Self {
            came: self.came.saturating_sub(then.came),
            lost: self.lost.saturating_sub(then.lost),
        }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            came: self.came + other.came,
            lost: self.lost + other.lost,
        }
    }
}

impl Traffic {
    /// The newest packet of these is handed over.
    pub(super) fn relay(&mut self, (from, to): (Codec, Codec), stats: &ReceiveStats) {
        if self.relays.is_none() {
            self.relays = Some(if self.relayed || self.decoded {
                Count::of(stats)
            } else {
                Count::default()
            });
        }
        self.relayed = true;
        self.codecs = Some((from, to));
    }

    /// The newest packet of these is decoded.
    pub(super) fn decode(&mut self, (from, to): (Codec, Codec), stats: &ReceiveStats) {
        self.before = self.relayed(stats);
        self.relays = None;
        self.decoded = true;
        self.codecs = Some((from, to));
    }

    /// What was handed over.
    fn relayed(&self, stats: &ReceiveStats) -> Count {
        self.relays.map_or(self.before, |then| {
            self.before.and(Count::of(stats).since(then))
        })
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
                far_end: self.far_end[way],
                ..report(
                    stats,
                    round_trip,
                    self.unplaced[way],
                    (&played, &self.traffic[way]),
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

/// What was not heard as it was said: its share, and how much longer than by chance it lasted.
fn near_loss(stats: &ReceiveStats, played: &Played, relayed: Count) -> (Option<f64>, Option<f64>) {
    if played.is_empty() {
        let lost = stats.lost();
        let all = lost
            .map(|lost| lost + stats.distinct())
            .filter(|all| *all > 0);
        // Exact up to 2^53 packets.
        let loss = lost.zip(all).map(|(lost, all)| lost as f64 / all as f64);
        return (loss, None);
    }
    // Where speech is decoded here, what was not heard as it was said is known; elsewhere the browser or the far end knows.
    let frames = |span: Duration| span.as_millis() as u64 / FRAME.as_millis() as u64;
    let concealed = frames(played.concealed);
    let all = concealed + frames(played.speech);
    let ratio = emodel::burst_ratio(concealed, all, played.concealments);
    // Each way counts by what was said in it. Packets of a call are of one length but for rare ones, and the last is as good as any.
    let packet = stats.bursts().1.unwrap_or(FRAME).as_secs_f64();
    let handed_s = (relayed.came + relayed.lost) as f64 * packet;
    let lost_s = relayed.lost as f64 * packet;
    let (concealed_s, played_s) = (
        played.concealed.as_secs_f64(),
        (played.speech + played.concealed).as_secs_f64(),
    );
    let all_s = handed_s + played_s;
    let ratio = ratio.map(|ratio| {
        emodel::burst_ratio_of_both((concealed_s / all_s, ratio), (lost_s / all_s, 1.0))
    });
    (Some((concealed_s + lost_s) / all_s), ratio)
}

fn report(
    stats: &ReceiveStats,
    round_trip: Option<Duration>,
    unplaced: u64,
    (played, traffic): (&Played, &Traffic),
    (network, far_loss, codec): (Option<Duration>, Option<f64>, Codec),
) -> DirectionReport {
    let decoded = !played.is_empty();
    let relayed = traffic.relayed(stats);
    let (loss, burst_ratio) = near_loss(stats, played, relayed);
    let concealed_share = decoded.then(|| {
        let heard = played.speech + played.concealed;
        played.concealed.as_secs_f64() / heard.as_secs_f64()
    });
    let decodes = decoded && traffic.relays.is_none();
    let playout_delay = played.delay.filter(|_| decodes);
    // What both ends keep in their own buffers is not known here, but for one packet that nobody can do without.
    let one_way = network.map(|network| network + playout_delay.unwrap_or_default() + FRAME);
    DirectionReport {
        packets: stats.packets(),
        octets: stats.octets(),
        lost: stats.lost(),
        relay_lost: traffic.relayed.then_some(relayed.lost),
        // Nobody places or plays a repetition: it is among those that were refused.
        late: stats
            .duplicates()
            .map(|again| (unplaced + played.late).saturating_sub(again)),
        duplicates: stats.duplicates(),
        jitter: stats.jitter(),
        round_trip,
        concealed: decoded.then_some(played.concealed),
        concealed_share,
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
        path: traffic.path(),
        codecs: traffic.codecs,
        ..DirectionReport::default()
    }
}
