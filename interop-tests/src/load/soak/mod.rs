//! The soak: agents, pages and callers come and go in every way that they do, for as long as one likes, and at the end nothing of them is
//! left.
//!
//! | file | plays or measures |
//! |---|---|
//! | [`life`] | what agents, laptops and callers do, drawn by lot |
//! | [`page`] | a page that can vanish |
//! | [`exchange`] | SIP Server, and callers who may die |
//! | [`ledger`] | what the gateway holds |

mod exchange;
mod ledger;
mod life;
mod page;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::field::Field;
use super::vitals::Machine;
use super::{Case, Map, dn};
use crate::{Gateway, Result, Site};

use exchange::Exchange;
pub use ledger::{Holdings, Minute};
use life::{Dice, World};

/// How much is done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What becomes of the audio.
    pub case: Case,
    /// Agents.
    pub agents: usize,
    /// Media workers.
    pub workers: u16,
    /// How long the churn that is measured takes.
    pub churn: Duration,
    /// Churn before that, after which the memory that a gateway keeps for good is there.
    pub warm_up: Duration,
    /// Between two lines.
    pub line_every: Duration,
    /// What the lot is drawn by.
    pub seed: u64,
}

/// What may be left of the memory: what the allocator keeps for the next peak, and never more with the time.
pub const GROWTH_KIB_MAX: u64 = 8 * 1_024;

/// Everything that rests after use (ports, transactions, sessions of lost pages) is over by then.
const REST_MAX: Duration = Duration::from_secs(60);

/// Lines of the log that are shown of a gateway that has died.
const LAST_LINES: usize = 40;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Agents.
    pub agents: usize,
    /// What the gateway held before anybody came.
    pub before: Holdings,
    /// What it held after everybody had gone, the first time and the last.
    pub after: [Holdings; 2],
    /// Resident memory at rest, KiB: before anybody came, after the warm-up, at the end.
    pub resident_kib: [u64; 3],
    /// Between.
    pub minutes: Vec<Minute>,
    /// Things done, by name.
    pub done: BTreeMap<&'static str, u64>,
    /// What went otherwise than it should: how often, and the first time in words.
    pub failed: BTreeMap<&'static str, (u64, String)>,
}

impl Report {
    /// What is wrong; nothing when everything is back where it was.
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks: Vec<String> = self.after[1].difference(&self.before);
        let [_, warm, last] = self.resident_kib;
        if last > warm + GROWTH_KIB_MAX {
            leaks.push(format!("memory: {warm} KiB became {last} KiB"));
        }
        for (what, (times, first)) in &self.failed {
            leaks.push(format!(
                "{what}: {times} times not as it should be: {first}"
            ));
        }
        leaks
    }

    /// The table that people read.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (what, times) in &self.done {
            text += &format!("{times:>8} {what}\n");
        }
        let [empty, warm, last] = self.resident_kib;
        text += &format!(
            "\nmemory at rest: {empty} KiB at the start, {warm} KiB after the warm-up, {last} KiB at the end\n"
        );
        let held = &self.after[1];
        text += &format!(
            "at rest: {} open files, {} threads\n",
            held.open_files(),
            held.threads
        );
        match self.leaks() {
            leaks if leaks.is_empty() => text += "everything is back to the start\n",
            leaks => text += &format!("NOT back to the start:\n  {}\n", leaks.join("\n  ")),
        }
        text
    }
}

/// Runs the soak.
///
/// # Errors
/// When the gateway does not start, or is gone before the end.
pub async fn soak(plan: &Plan) -> Result<Report> {
    let site = Site::new();
    let map = Map::of(&site);
    let field = Field::start(&map, plan.agents, plan.case.sound())?;
    let exchange = Exchange::start(&site, map).await?;
    let mut gateway = Gateway::start_with(&site, |config| configure(config, plan)).await;
    let pid = gateway.process().pid().ok_or("talkbridge has ended")?;
    let world = Arc::new(World {
        exchange,
        field: field.orders(),
        gateway: gateway.agents(),
        stop: AtomicBool::new(false),
        done: Mutex::default(),
        failed: Mutex::default(),
    });
    let before = Holdings::of(&gateway, pid).await?;
    let empty_kib = super::vitals::resident_kib(pid)?;
    let mut minutes = Vec::new();

    churn(plan, plan.warm_up, &world, &gateway, pid, &mut minutes).await?;
    let warm = rest(&gateway, pid, &before).await?;
    let warm_kib = super::vitals::resident_kib(pid)?;
    churn(plan, plan.churn, &world, &gateway, pid, &mut minutes).await?;
    let last = rest(&gateway, pid, &before).await?;
    let last_kib = super::vitals::resident_kib(pid)?;
    let lock = PoisonError::into_inner;
    Ok(Report {
        machine: Machine::here(),
        agents: plan.agents,
        before,
        after: [warm, last],
        resident_kib: [empty_kib, warm_kib, last_kib],
        minutes,
        done: world.done.lock().unwrap_or_else(lock).clone(),
        failed: world
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone(),
    })
}

/// Everything that waits, waits for seconds instead of minutes, so that a soak of minutes has seen it end many times.
fn configure(config: &mut Value, plan: &Plan) {
    let agents: Vec<Value> = (0..plan.agents)
        .map(|agent| json!({"dn": dn(agent)}))
        .collect();
    config["agents"] = json!(agents);
    plan.case.speak(config);
    config["media"]["workers"] = json!(plan.workers);
    config["sip"]["timers"] = json!({"t1_ms": 50, "t2_ms": 400, "t4_ms": 500});
    config["media"]["ports"] = json!("16384-18383");
    config["limits"] = json!({"resume_grace_s": 2, "http_connections_per_source": 1_024});
    config["log"]["level"] = json!("warn");
}

async fn churn(
    plan: &Plan,
    length: Duration,
    world: &Arc<World>,
    gateway: &Gateway,
    pid: u32,
    minutes: &mut Vec<Minute>,
) -> Result<()> {
    let began = Instant::now();
    world.stop.store(false, Ordering::Relaxed);
    let lives: Vec<_> = (0..plan.agents)
        .map(|session| {
            let dice = Dice::new(plan.seed + session as u64 + 1);
            tokio::spawn(life::live(Arc::clone(world), session, dice))
        })
        .collect();
    let mut next = began;
    while began.elapsed() < length {
        next += plan.line_every;
        tokio::time::sleep_until(next.min(began + length)).await;
        let done = world
            .done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let minute = Minute::of(gateway, pid, began.elapsed().as_secs(), done).await;
        let minute = minute.map_err(|error| format!("{error}\n{}", last_words(gateway)))?;
        say(&minute.line());
        minutes.push(minute);
    }
    world.stop.store(true, Ordering::Relaxed);
    for life in lives {
        life.await?;
    }
    Ok(())
}

/// The end of the gateway's log, for whoever has to find out why it is gone.
fn last_words(gateway: &Gateway) -> String {
    let log = gateway.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Waits until nothing is left of anybody, or until nothing more goes.
async fn rest(gateway: &Gateway, pid: u32, before: &Holdings) -> Result<Holdings> {
    let deadline = Instant::now() + REST_MAX;
    loop {
        let held = Holdings::of(gateway, pid).await?;
        if held.difference(before).is_empty() || Instant::now() > deadline {
            return Ok(held);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[expect(clippy::print_stderr, reason = "a command says what it does")]
fn say(line: &str) {
    eprintln!("{line}");
}
