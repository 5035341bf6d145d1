//! Calls a second: INVITE, 180, talk, 200, ACK, re-INVITE, 200, ACK, BYE, 200, at rates that rise until the gateway does not follow.
//!
//! The loop is open: calls begin on time whatever became of the ones before them, so that a queue shows as latency and not as a
//! load that waits politely.

mod callers;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use callers::Failures;
pub use report::{Report, Round, Step};

use super::agents::Agents;
use super::field::{Field, Sound};
use super::vitals::{self, CpuTime, percent_of_core};
use super::{Map, dn};
use crate::gateway::refuse_nobody;
use crate::{Gateway, Result, Site};
use callers::{Callers, Tally};

/// Each rate is this much more than the one before it.
const FACTOR: f64 = 1.5;

/// Rates tried at most: from the first one to more than the 600-fold.
pub const STEPS_MAX: usize = 17;

/// How long nobody calls before the first step: what the agents' open legs cost by themselves.
const IDLE: Duration = Duration::from_secs(2);

/// The thread of the gateway that decides.
const CONTROL_THREAD: &str = "control";

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Agents that are signed in; calls take turns with them.
    pub agents: usize,
    /// The first rate, calls a second.
    pub first_rate_per_s: f64,
    /// How long each rate is held.
    pub window: Duration,
    /// Rates tried at most.
    pub steps: usize,
    /// Turns, each with a gateway of its own.
    pub rounds: usize,
    /// A second build, to have its turns too.
    pub baseline: Option<PathBuf>,
}

/// Measures what the plan asks for.
///
/// # Errors
/// When the gateway does not start or an agent cannot sign in.
pub async fn signalling(plan: &Plan) -> Result<Report> {
    if plan.agents == 0 || plan.agents > super::SESSIONS_MAX || plan.rounds == 0 {
        return Err(format!("1 to {} agents and one round at least", super::SESSIONS_MAX).into());
    }
    if !(plan.first_rate_per_s >= 1.0 && plan.window >= Duration::from_secs(1)) {
        return Err("a rate of 1 a second and a window of a second at least".into());
    }
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        rounds.push(round(plan, number, None).await?);
        if let Some(program) = &plan.baseline {
            rounds.push(round(plan, number, Some(program)).await?);
        }
    }
    Ok(Report::of(plan.agents, plan.window.as_secs(), rounds))
}

/// A gateway with its agents, and the callers around it.
struct Bench {
    callers: Callers,
    pid: u32,
    /// Processor time a second with nobody calling: all threads, and the one that decides.
    idle: (f64, f64),
    window: Duration,
    _agents: Agents,
    _field: Field,
    _gateway: Gateway,
}

async fn round(plan: &Plan, number: usize, program: Option<&PathBuf>) -> Result<Round> {
    let bench = Bench::start(plan, program).await?;
    let (mut steps, mut rate) = (Vec::new(), plan.first_rate_per_s);
    for _ in 0..plan.steps {
        let step = bench.step(rate).await?;
        report::progress(number, &step);
        let held = step.held();
        steps.push(step);
        if !held {
            break;
        }
        rate *= FACTOR;
    }
    let knee = steps.iter().rfind(|step| step.held());
    let half = match knee.map(|step| step.rate_per_s / 2.0) {
        Some(rate) => Some(bench.step(rate).await?),
        None => None,
    };
    Ok(Round::of(program.is_some(), steps, half))
}

impl Bench {
    async fn start(plan: &Plan, program: Option<&PathBuf>) -> Result<Self> {
        let site = Site::new();
        let map = Map::of(&site);
        let field = Field::start(&map, plan.agents, Sound::Stamps)?;
        let callers = Callers::start(&site, map, plan.agents)?;
        let change = |config: &mut Value| {
            let agents: Vec<Value> = (0..plan.agents)
                .map(|agent| json!({"dn": dn(agent)}))
                .collect();
            config["agents"] = json!(agents);
            config["media"]["ports"] = json!("16384-32767");
            config["limits"] = json!({
                "calls": 8000,
                // Half a minute of what is aimed at, four of a call.
                "sip_transactions": 1_000_000,
                "http_connections_per_source": plan.agents + 100,
            });
            // The rate rises until calls are late, not until they are refused.
            if program.is_none() {
                refuse_nobody(config);
            }
            config["log"]["level"] = json!("info");
        };
        let mut gateway = match program {
            None => Gateway::start_with(&site, change).await,
            Some(program) => Gateway::start_program(program, &site, change).await,
        };
        let mut agents = Agents::default();
        agents
            .sign_in(gateway.agents(), 0..plan.agents, &field.orders())
            .await?;
        let pid = gateway.process().pid().ok_or("talkbridge has ended")?;
        let before = Clocks::read(pid)?;
        tokio::time::sleep(IDLE).await;
        let idle = Clocks::read(pid)?.since(&before);
        Ok(Self {
            callers,
            pid,
            idle: (idle.cpu_s / idle.took_s, idle.control_s / idle.took_s),
            window: plan.window,
            _agents: agents,
            _field: field,
            _gateway: gateway,
        })
    }

    async fn step(&self, rate_per_s: f64) -> Result<Step> {
        let before = Clocks::read(self.pid)?;
        let tally = self.callers.run(rate_per_s, self.window).await?;
        let spent = Clocks::read(self.pid)?.since(&before);
        Ok(step(rate_per_s, &tally, &spent, self.idle))
    }
}

fn step(rate_per_s: f64, tally: &Tally, spent: &Spent, idle: (f64, f64)) -> Step {
    let calls = tally.completed.max(1) as f64;
    let per_call_ms = |used_s: f64, idle_per_s: f64| {
        (used_s - idle_per_s * spent.took_s).max(0.0) * 1000.0 / calls
    };
    let took = Duration::from_secs_f64(spent.took_s);
    Step {
        rate_per_s,
        begun: tally.begun,
        completed: tally.completed,
        failed: tally.failed,
        invite_to_ringing: tally.invite_to_ringing.percentiles(),
        talk_to_ok: tally.talk_to_ok.percentiles(),
        reinvite_to_ok: tally.reinvite_to_ok.percentiles(),
        cpu_ms_per_call: per_call_ms(spent.cpu_s, idle.0),
        control_ms_per_call: per_call_ms(spent.control_s, idle.1),
        control_percent: percent_of_core(spent.control_s, took),
        load_lateness: tally.lateness.percentiles(),
        others_cpu_percent: percent_of_core(spent.others_s, took),
    }
}

/// Processor times at one moment.
struct Clocks {
    at: Instant,
    gateway: CpuTime,
    control: CpuTime,
    load: CpuTime,
    machine_s: f64,
}

/// What was used between two moments, in seconds.
struct Spent {
    took_s: f64,
    cpu_s: f64,
    control_s: f64,
    others_s: f64,
}

impl Clocks {
    fn read(pid: u32) -> Result<Self> {
        let threads = vitals::threads(pid)?;
        Ok(Self {
            at: Instant::now(),
            gateway: vitals::cpu(pid)?,
            control: threads.get(CONTROL_THREAD).copied().unwrap_or_default(),
            load: vitals::cpu(std::process::id())?,
            machine_s: vitals::machine_busy_s()?,
        })
    }

    fn since(&self, earlier: &Self) -> Spent {
        let cpu_s = self.gateway.since(&earlier.gateway).total_s();
        let load_s = self.load.since(&earlier.load).total_s();
        let machine_s = self.machine_s - earlier.machine_s;
        Spent {
            took_s: self.at.saturating_duration_since(earlier.at).as_secs_f64(),
            cpu_s,
            control_s: self.control.since(&earlier.control).total_s(),
            others_s: (machine_s - cpu_s - load_s).max(0.0),
        }
    }
}
