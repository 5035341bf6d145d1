//! The project's own load: many agents with a call each, and what that costs the program in the middle.
//!
//! One process plays everybody around it: agents' pages (the agent WebSocket, and `rtc` as the
//! browser), SIP Server, and the callers' telephones. The program under load is a process apart, so
//! its processor time and memory are its own. The same pages and telephones also stand around
//! rtpengine, Janus and a bare UDP relay, in turns within one run: figures of one machine and one
//! hour are compared, never figures of two days.
//!
//! | file | plays or measures |
//! |---|---|
//! | [`field`] | pages and telephones: one thread, one poll loop, 20 ms audio both ways |
//! | [`stamp`] | the send time inside each packet's payload |
//! | `speech` | for calls that are transcoded: speech in PCMU and Opus, with marks that are found again |
//! | [`share`] | a part of a core for the gateway |
//! | [`sip_server`], [`sip_text`] | INVITE, NOTIFY talk, ACK, BYE, and 200 for every REGISTER |
//! | [`agents`] | sign-in over the agent WebSocket |
//! | [`rival`] | other people's programs that do the same: rtpengine, Janus |
//! | [`bare_relay`] | the floor: the same packets through the same sockets, nothing done to them |
//! | [`vitals`] | processor time, memory and threads of a process, from `/proc` |
//! | [`subject`], [`round`] | the programs in the middle, and one turn with one of them |
//! | [`signalling`] | calls a second at rising rates, until the gateway does not follow |
//! | [`overload`] | calls that grow until they are refused, and what the others hear meanwhile |
//! | [`soak`] | everything that comes and goes, for long |
//! | [`registering`] | ten thousand registered DNs: time, processor, memory |
//! | [`report`] | medians, spreads, ratios; the table and the JSON |

pub mod agents;
pub mod bare_relay;
pub mod field;
pub mod overload;
pub mod registering;
pub mod report;
pub mod rival;
pub mod round;
pub mod samples;
pub mod share;
pub mod signalling;
pub mod sip_server;
pub mod sip_text;
pub mod soak;
mod speech;
pub mod stamp;
pub mod subject;
pub mod vitals;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Result, Site};

/// What becomes of the audio in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// PCMU on both sides: packets are handed on.
    Relay,
    /// Opus at the pages, PCMU at the telephones: everything is decoded and coded again.
    Transcode,
}

impl Case {
    /// The gateway is to carry calls of so many agents in this way, on so many media workers.
    fn configure(self, config: &mut Value, agents: usize, workers: u16) {
        let agents: Vec<Value> = (0..agents).map(|agent| json!({"dn": dn(agent)})).collect();
        config["agents"] = json!(agents);
        config["media"]["workers"] = json!(workers);
        config["media"]["ports"] = json!("16384-32767");
        self.speak(config);
    }

    /// The pages speak what this takes.
    fn speak(self, config: &mut Value) {
        config["webrtc"]["codecs"] = match self {
            Self::Relay => json!(["pcmu"]),
            Self::Transcode => json!(["opus"]),
        };
        if self == Self::Transcode {
            config["webrtc"]["codec_policy"] = json!("opus");
        }
    }

    /// What pages and telephones say.
    const fn sound(self) -> field::Sound {
        match self {
            Self::Relay => field::Sound::Stamps,
            Self::Transcode => field::Sound::Speech,
        }
    }
}

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What becomes of the audio.
    pub case: Case,
    /// Calls that are up at the same time.
    pub sessions: usize,
    /// Turns of each program.
    pub rounds: usize,
    /// The steady window of a turn.
    pub window: Duration,
    /// Media workers of talkbridge, threads of rtpengine and event loops of Janus; 0 is talkbridge's default.
    pub workers: u16,
    /// rtpengine has as many threads as it takes when it is told nothing.
    pub as_shipped: bool,
    /// Rivals that have no turns, and why.
    pub absent: BTreeMap<subject::Kind, String>,
    /// Turns of a second build of talkbridge too, to compare a change with what was before it.
    pub baseline: Option<std::path::PathBuf>,
}

/// Calls set up in a second. Slow enough that a call is measured in the company of those that are
/// up, and not in a queue behind those that start with it.
pub const CALLS_PER_S: u32 = 50;

/// The share of the sessions with which the first look at the memory is taken: what a session costs
/// is the slope between it and all of them, so that what is paid once is no part of it.
pub const FIRST_SHARE: f64 = 0.2;

/// After the last call is up, before anything is measured.
pub const SETTLE: Duration = Duration::from_secs(2);

/// The DN of a session.
pub fn dn(session: usize) -> String {
    format!("{}", 10_000 + session)
}

/// Where everybody is. Ports follow from the session's number, so nobody has to carry them about.
#[derive(Debug, Clone, Copy)]
pub struct Map {
    page_host: std::net::IpAddr,
    caller_host: std::net::IpAddr,
}

impl Map {
    /// The map of a site.
    pub fn of(site: &Site) -> Self {
        Self {
            page_host: site.browsers(),
            caller_host: site.media(),
        }
    }

    /// A map with hosts of its own.
    pub fn new(page_host: std::net::IpAddr, caller_host: std::net::IpAddr) -> Self {
        Self {
            page_host,
            caller_host,
        }
    }

    /// The host of the pages.
    pub fn page_host(&self) -> std::net::IpAddr {
        self.page_host
    }

    /// The host of the telephones.
    pub fn caller_host(&self) -> std::net::IpAddr {
        self.caller_host
    }

    /// The page's UDP socket.
    pub fn page(&self, session: usize) -> SocketAddr {
        SocketAddr::new(self.page_host, port(session))
    }

    /// The telephone's RTP socket. The port above it, where RTCP goes, stays free.
    pub fn caller(&self, session: usize) -> SocketAddr {
        SocketAddr::new(self.caller_host, port(session))
    }

    /// The session of one of these ports.
    pub fn session(port: u16) -> Option<usize> {
        port.checked_sub(FIRST_PORT)
            .map(|above| usize::from(above / 2))
    }
}

const FIRST_PORT: u16 = 20_000;

fn port(session: usize) -> u16 {
    FIRST_PORT + 2 * u16::try_from(session).expect("sessions are limited to SESSIONS_MAX")
}

/// What fits into the ports of one host.
pub const SESSIONS_MAX: usize = 5_000;

/// Measures what the plan asks for.
///
/// # Errors
/// When a program does not start or a call does not come about: then there is nothing to compare.
pub async fn media(plan: &Plan) -> Result<report::Report> {
    if plan.sessions == 0 || plan.sessions > SESSIONS_MAX || plan.rounds == 0 {
        return Err(format!("1 to {SESSIONS_MAX} sessions and one round at least").into());
    }
    let mut plan = plan.clone();
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        for kind in subject::Kind::all(&plan) {
            match round::measure(&plan, kind).await {
                Ok(measured) => {
                    report::progress(number, plan.rounds, &measured);
                    rounds.push(measured);
                }
                // What others cannot carry is a result, and no reason to lose ours.
                Err(error) if subject::Kind::RIVALS.contains(&kind) => {
                    report::left_out(kind, error.as_ref());
                    plan.absent.insert(kind, error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(report::Report::of(&plan, rounds))
}
