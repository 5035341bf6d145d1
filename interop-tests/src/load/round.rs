//! One turn of one program: started, filled, measured, ended.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::field::{Direction, Field, Window};
use super::samples::{Percentiles, Samples};
use super::sip_server::CallTimes;
use super::subject::{Kind, Subject};
use super::vitals::{self, CpuTime, percent_of_core};
use super::{FIRST_SHARE, Plan, SETTLE};
use crate::{Result, Site};

/// A program that loses more than this share of the packets has collapsed: it spares itself work, and nobody can talk.
const COLLAPSED_LOSS: f64 = 0.01;

/// As has one that is so late with some: telephones play nothing that comes after a fifth of a second.
const COLLAPSED_DELAY_MS: f64 = 200.0;

/// One direction of the audio, measured.
#[derive(Debug, Clone, Serialize)]
pub struct Way {
    /// Packets sent in the window.
    pub sent: u64,
    /// Of those, how many did not arrive.
    pub lost: u64,
    /// Marks in speech that is transcoded that were not heard at the other end within half a second.
    pub marks_lost: u64,
    /// Time from the sender's call into the kernel to the receiver's return from it.
    pub latency: Option<Percentiles>,
}

impl Way {
    pub(super) fn of(direction: &Direction) -> Self {
        Self {
            sent: direction.sent,
            lost: direction.sent.saturating_sub(direction.received),
            marks_lost: direction.marks_lost,
            latency: direction.latency.percentiles(),
        }
    }

    /// Whether a conversation is possible this way.
    fn is_heard(&self) -> bool {
        let delay_ms = self.latency.map_or(f64::INFINITY, |latency| latency.p99_ms);
        let marks = self.latency.map_or(0, |latency| latency.count);
        self.lost as f64 <= self.sent as f64 * COLLAPSED_LOSS
            && self.marks_lost as f64 <= marks as f64 * COLLAPSED_LOSS
            && delay_ms <= COLLAPSED_DELAY_MS
    }
}

/// What one turn has measured.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// The program in the middle.
    pub kind: Kind,
    /// Processor time of a session, percent of one core.
    pub cpu_percent: f64,
    /// The share of it in the program's own code.
    pub cpu_user_percent: f64,
    /// Memory of a session, KiB: the slope between the first sessions and all of them.
    pub memory_kib: f64,
    /// Resident memory with no session, the first share, all, and all after the window; KiB.
    pub resident_kib: [u64; 4],
    /// Processor time of each thread name, percent of one core, all sessions together.
    pub threads_percent: BTreeMap<String, f64>,
    /// From the telephones to the pages.
    pub to_agent: Way,
    /// From the pages to the telephones.
    pub to_caller: Way,
    /// INVITE to 180, all calls of the turn.
    pub invite_to_ringing: Option<Percentiles>,
    /// NOTIFY talk to the 200 of the INVITE.
    pub talk_to_ok: Option<Percentiles>,
    /// NOTIFY talk to the first packet at the page.
    pub talk_to_agent: Option<Percentiles>,
    /// NOTIFY talk to the first packet at the telephone.
    pub talk_to_caller: Option<Percentiles>,
    /// Packets that reached a session they do not belong to.
    pub stray: u64,
    /// How late the load's own packets were.
    pub load_lateness: Option<Percentiles>,
    /// What the load itself used, percent of one core.
    pub load_cpu_percent: f64,
    /// What everybody else on the machine used meanwhile, percent of one core.
    pub others_cpu_percent: f64,
    /// The samples behind the percentiles of the calls, to be pooled over the turns.
    #[serde(skip)]
    pub samples: CallSamples,
}

impl Round {
    /// Whether the program has kept up with its calls. One that has not is compared with nothing: its figures are those of another task.
    pub fn kept_up(&self) -> bool {
        self.to_agent.is_heard() && self.to_caller.is_heard()
    }
}

/// Durations that come once per call.
#[derive(Debug, Clone, Default)]
pub struct CallSamples {
    /// On the wire.
    pub wire: CallTimes,
    /// To the first packet at the page.
    pub talk_to_agent: Samples,
    /// To the first packet at the telephone.
    pub talk_to_caller: Samples,
}

/// Processor time at one moment.
struct Clocks {
    at: Instant,
    subject: CpuTime,
    threads: BTreeMap<String, CpuTime>,
    load: CpuTime,
    machine_s: f64,
}

impl Clocks {
    fn read(pid: u32) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            subject: vitals::cpu(pid)?,
            threads: vitals::threads(pid)?,
            load: vitals::cpu(std::process::id())?,
            machine_s: vitals::machine_busy_s()?,
        })
    }
}

/// Measures one turn of `kind`.
///
/// # Errors
/// When it does not start or a call does not come about.
pub async fn measure(plan: &Plan, kind: Kind) -> Result<Round> {
    let site = Site::new();
    let map = kind.map(&site)?;
    let field = Field::start(&map, plan.sessions, plan.case.sound())?;
    let orders = field.orders();
    let mut subject = Subject::start(plan, kind, &site, map, &orders).await?;
    let pid = subject.pid()?;

    let first = first_share(plan.sessions);
    let empty_kib = vitals::resident_kib(pid)?;
    let mut calls = subject.connect(0..first, &orders).await?;
    tokio::time::sleep(SETTLE).await;
    let first_kib = vitals::resident_kib(pid)?;
    calls.join(&subject.connect(first..plan.sessions, &orders).await?);
    tokio::time::sleep(SETTLE).await;
    let full_kib = vitals::resident_kib(pid)?;

    orders.open_window();
    let before = Clocks::read(pid)?;
    tokio::time::sleep(plan.window).await;
    let after = Clocks::read(pid)?;
    let window = orders.close_window().await?;
    let last_kib = vitals::resident_kib(pid)?;
    subject.disconnect(0..plan.sessions).await?;

    let resident_kib = [empty_kib, first_kib, full_kib, last_kib];
    Ok(round(
        plan,
        kind,
        &window,
        (&before, &after),
        resident_kib,
        calls,
    ))
}

/// The sessions with which the first look at the memory is taken.
fn first_share(sessions: usize) -> usize {
    // A share of at most 1 of a small number.
    ((sessions as f64 * FIRST_SHARE) as usize).clamp(1, sessions)
}

fn round(
    plan: &Plan,
    kind: Kind,
    window: &Window,
    (before, after): (&Clocks, &Clocks),
    resident_kib: [u64; 4],
    wire: CallTimes,
) -> Round {
    let took = after.at.saturating_duration_since(before.at);
    let sessions = plan.sessions as f64;
    let used = after.subject.since(&before.subject);
    let load = after.load.since(&before.load);
    let machine_s = after.machine_s - before.machine_s;
    let threads_percent = after
        .threads
        .iter()
        .map(|(name, cpu)| {
            let earlier = before.threads.get(name).copied().unwrap_or_default();
            (
                name.clone(),
                percent_of_core(cpu.since(&earlier).total_s(), took),
            )
        })
        .collect();
    let later = plan.sessions - first_share(plan.sessions);
    let grown_kib = resident_kib[3] as f64 - resident_kib[1] as f64;
    let others_s = machine_s - used.total_s() - load.total_s();
    Round {
        kind,
        cpu_percent: percent_of_core(used.total_s(), took) / sessions,
        cpu_user_percent: percent_of_core(used.user_s, took) / sessions,
        memory_kib: grown_kib / later.max(1) as f64,
        resident_kib,
        threads_percent,
        to_agent: Way::of(&window.to_agent),
        to_caller: Way::of(&window.to_caller),
        invite_to_ringing: wire.invite_to_ringing.percentiles(),
        talk_to_ok: wire.talk_to_ok.percentiles(),
        talk_to_agent: window.talk_to_agent.percentiles(),
        talk_to_caller: window.talk_to_caller.percentiles(),
        stray: window.stray,
        load_lateness: window.lateness.percentiles(),
        load_cpu_percent: percent_of_core(load.total_s(), took),
        others_cpu_percent: percent_of_core(others_s.max(0.0), took),
        samples: CallSamples {
            wire,
            talk_to_agent: window.talk_to_agent.clone(),
            talk_to_caller: window.talk_to_caller.clone(),
        },
    }
}
