//! Whether a call is heard badly now: what administrators are told when it turns bad, and when it is well again.
//!
//! Measurements are of the whole call; what counts is what has gone missing since the one before. Pages are told with each measurement, so that nobody else has to
//! judge.

use control::{BrowserStats, HeardBadly};

use crate::Switchboard;
use crate::ids::CallId;
use crate::io::{DirectionReport, Fact, MediaReport};

/// Share of what was said that may be missing.
const MISSING_MAX: f64 = 0.05;

/// Opinion score below which people complain (ITU-T G.107).
const MOS_MIN: f64 = 3.5;

/// A bad score is of the whole call: it counts while at least this share is missing.
const MISSING_SOME: f64 = 0.01;

/// From mouth to ear, in milliseconds: above this people speak at the same time (ITU-T G.114).
const ONE_WAY_MAX_MS: f64 = 400.0;

/// Speech in a packet, in milliseconds, as concealed speech is counted in packets.
const PACKET_MS: f64 = 20.0;

/// Good measurements, 5 s each, after which a call is well again: a line that drops out now and then is one fault and not twenty.
const GOOD_AGAIN: u8 = 3;

/// How a call has been heard until now.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    arrives: Counted,
    played: Counted,
    said: Counted,
    agent: Ear,
    caller: Ear,
}

/// Packets and losses at the last measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    packets: f64,
    lost: f64,
}

/// One side that hears.
#[derive(Debug, Default)]
struct Ear {
    is_bad: bool,
    /// Measurements in a row that were good since.
    good: u8,
}

impl Hearing {
    /// Takes a measurement. `true` where the call has turned bad for one side, or is well again.
    fn turns(&mut self, report: &MediaReport, browser: Option<&BrowserStats>) -> bool {
        let before = self.badly();
        let arrives = self.arrives.missing(counted(&report.to_agent));
        let received = browser.map(|browser| &browser.received);
        let played = received.and_then(|it| Some(Counted::new(it.packets?, it.lost?)));
        let played = self.played.missing(played);
        let said = self.said.missing(counted(&report.to_caller));
        let agent_hears_badly = is_bad(&report.to_agent, arrives.max(played));
        self.agent.hears(agent_hears_badly);
        self.caller.hears(is_bad(&report.to_caller, said));
        self.badly() != before
    }

    /// Who hears badly now.
    pub(crate) const fn badly(&self) -> HeardBadly {
        HeardBadly {
            to_agent: self.agent.is_bad,
            to_caller: self.caller.is_bad,
        }
    }
}

impl Counted {
    // Counters of a call are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    fn new(packets: u64, lost: u64) -> Self {
        Self {
            packets: packets as f64,
            lost: lost as f64,
        }
    }

    /// The share that has gone missing since last time; 0 where nobody knows.
    fn missing(&mut self, now: Option<Self>) -> f64 {
        let Some(now) = now else {
            return 0.0;
        };
        let before = std::mem::replace(self, now);
        let (came, went) = (now.packets - before.packets, now.lost - before.lost);
        if came >= 0.0 && went > 0.0 {
            went / (came + went)
        } else {
            0.0
        }
    }
}

impl Ear {
    fn hears(&mut self, badly: bool) {
        self.good = if badly {
            0
        } else {
            self.good.saturating_add(1)
        };
        self.is_bad = badly || (self.is_bad && self.good < GOOD_AGAIN);
    }
}

fn counted(report: &DirectionReport) -> Option<Counted> {
    let counts = |lost| Counted::new(report.distinct(), lost);
    match report.concealed_ms {
        Some(concealed_ms) => {
            let handed_over = counts(report.relay_lost.unwrap_or(0));
            Some(Counted {
                lost: concealed_ms / PACKET_MS + handed_over.lost,
                ..handed_over
            })
        }
        None => report.lost.map(counts),
    }
}

fn is_bad(report: &DirectionReport, missing: f64) -> bool {
    let is_late = report.one_way_ms.is_some_and(|ms| ms > ONE_WAY_MAX_MS);
    let is_low = report.mos.is_some_and(|mos| mos < MOS_MIN);
    missing > MISSING_MAX || (is_low && (missing > MISSING_SOME || is_late))
}

impl Switchboard {
    /// A call was measured: whoever watches is told when it turns bad, and when it is well again.
    pub(crate) fn watch_hearing(&mut self, id: CallId, report: &MediaReport) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let browser = call.remembered.browser.as_ref();
        if !call.hearing.turns(report, browser) {
            return;
        }
        let badly = call.hearing.badly();
        let call = call.reference();
        self.fact(Fact::HeardBadly { call, badly });
    }
}
