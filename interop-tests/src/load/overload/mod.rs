//! Where the gateway ends: calls grow step by step until it refuses some, and at each step those that are up are listened to.
//!
//! Then the same once more with the limits off: what the calls would have come to that were refused.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::agents::{Agents, is_refused};
use super::field::{Field, Orders};
use super::round::Way;
use super::samples::Percentiles;
use super::share::{Part, Share};
use super::sip_server::SipServer;
use super::vitals::{self, Machine, percent_of_core};
use super::{Case, Map, SETTLE};
use crate::gateway::refuse_nobody;
use crate::{Gateway, Result, Site};

/// How it is looked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What becomes of the audio.
    pub case: Case,
    /// Agents that sign in, and calls that are offered, in each step.
    pub step: usize,
    /// Calls at most.
    pub calls_max: usize,
    /// How long the calls of a step are listened to.
    pub window: Duration,
    /// Media workers.
    pub workers: u16,
    /// So much of a core is all that the gateway has; `None`: whatever it takes.
    pub share: Option<Part>,
}

/// Steps behind the first refusal: what is heard then is what the refusals are for.
const STEPS_BEYOND: usize = 2;

/// A step of rising load.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Calls that are up.
    pub calls: usize,
    /// Calls of this step that got 503.
    pub refused: usize,
    /// The busiest worker by its own account, 0 to 1.
    pub busy: f64,
    /// What the gateway says that it took of its share of a core, 0 to 1; `None` where it has all of it.
    pub quota: Option<f64>,
    /// The latest worker by its own account, 0 to 1.
    pub late: f64,
    /// Processor time of the gateway, percent of one core.
    pub cpu_percent: f64,
    /// From the telephones to the pages.
    pub to_agent: Way,
    /// From the pages to the telephones.
    pub to_caller: Way,
    /// How late the load's own packets were.
    pub load_lateness: Option<Percentiles>,
}

impl Step {
    /// Packets that did not come, in a thousand.
    fn lost_per_mille(&self) -> f64 {
        let sent = self.to_agent.sent + self.to_caller.sent;
        let lost = self.to_agent.lost + self.to_caller.lost;
        lost as f64 * 1e3 / sent.max(1) as f64
    }

    fn line(&self) -> String {
        let delay =
            |way: &Way, pick: fn(&Percentiles) -> f64| way.latency.as_ref().map_or(f64::NAN, pick);
        format!(
            "{:>6} {:>8} {:>6.0} {:>7} {:>6.0} {:>7.0} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>8.2} {:>9.1}",
            self.calls,
            self.refused,
            self.busy * 100.0,
            self.quota
                .map_or_else(|| "-".into(), |quota| format!("{:.0}", quota * 100.0)),
            self.late * 100.0,
            self.cpu_percent,
            delay(&self.to_agent, |it| it.p50_ms),
            delay(&self.to_agent, |it| it.p99_ms),
            delay(&self.to_caller, |it| it.p50_ms),
            delay(&self.to_caller, |it| it.p99_ms),
            self.lost_per_mille(),
            self.load_lateness.map_or(f64::NAN, |it| it.p99_ms),
        )
    }
}

/// The knee, with the limits and without.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What became of the audio.
    pub case: Case,
    /// Media workers.
    pub workers: u16,
    /// So much of a core was all that the gateway had.
    pub share: Option<Part>,
    /// With the limits as they are unless somebody changes them.
    pub limited: Vec<Step>,
    /// With no limits.
    pub unlimited: Vec<Step>,
}

impl Report {
    /// The table that people read.
    pub fn table(&self) -> String {
        let head = format!(
            "{:>6} {:>8} {:>6} {:>7} {:>6} {:>7} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9}\n",
            "calls",
            "refused",
            "busy %",
            "quota %",
            "late %",
            "cpu %",
            "agent p50",
            "p99, ms",
            "caller p50",
            "p99, ms",
            "lost, \u{2030}",
            "load p99"
        );
        let mut text = String::new();
        for (title, steps) in [
            ("with the limits as they are", &self.limited),
            ("without limits", &self.unlimited),
        ] {
            text += &format!("{title}\n{head}");
            for step in steps {
                text += &step.line();
                text.push('\n');
            }
            text.push('\n');
        }
        text
    }
}

/// Looks for the knee.
///
/// # Errors
/// When the gateway does not start, or a call neither comes about nor is refused.
pub async fn overload(plan: &Plan) -> Result<Report> {
    let limited = climb(plan, None).await?;
    let knee = limited.iter().position(|step| step.refused > 0);
    let steps = knee.unwrap_or(limited.len()) + STEPS_BEYOND + 1;
    Ok(Report {
        machine: Machine::here(),
        case: plan.case,
        workers: plan.workers,
        share: plan.share,
        limited,
        unlimited: climb(plan, Some(steps)).await?,
    })
}

/// Climbs until calls are refused and some steps further, or, without limits, for so many steps.
async fn climb(plan: &Plan, without_limits: Option<usize>) -> Result<Vec<Step>> {
    let mut bench = Bench::start(plan, without_limits.is_some()).await?;
    let most = plan.calls_max / plan.step.max(1);
    let (mut steps, mut left): (Vec<Step>, Option<usize>) = (Vec::new(), without_limits);
    while steps.len() < most && left != Some(0) {
        let step = match bench.step(plan, steps.len()).await {
            Ok(step) => step,
            // Behind the knee agents are refused, and without limits nobody promises that calls are answered at all.
            Err(error) if !steps.is_empty() && (left.is_some() || is_refused(error.as_ref())) => {
                progress(&format!("ends here: {error}"));
                break;
            }
            Err(error) => return Err(error),
        };
        progress(&step.line());
        left = match left {
            Some(left) => Some(left - 1),
            None => (step.refused > 0).then_some(STEPS_BEYOND),
        };
        steps.push(step);
    }
    Ok(steps)
}

struct Bench {
    gateway: Gateway,
    agents: Agents,
    sip_server: SipServer,
    orders: Orders,
    up: usize,
    _field: Field,
    // Behind the gateway, which must have ended.
    share: Option<Share>,
}

impl Bench {
    async fn start(plan: &Plan, without_limits: bool) -> Result<Self> {
        let site = Site::new();
        let map = Map::of(&site);
        let field = Field::start(&map, plan.calls_max, plan.case.sound())?;
        let orders = field.orders();
        let sip_server = SipServer::start(&site, map, orders.clone())?;
        let mut gateway =
            Gateway::start_with(&site, |config| configure(config, plan, without_limits)).await;
        let pid = gateway.process().pid().ok_or("talkbridge has ended")?;
        let share = plan.share.map(|part| Share::of(pid, part)).transpose()?;
        Ok(Self {
            gateway,
            agents: Agents::default(),
            sip_server,
            orders,
            up: 0,
            _field: field,
            share,
        })
    }

    async fn step(&mut self, plan: &Plan, number: usize) -> Result<Step> {
        let sessions = number * plan.step..(number + 1) * plan.step;
        self.sign_in(sessions.clone()).await?;
        let offered = sessions.len();
        let refused = self.sip_server.offer(sessions).await?.refused;
        self.up += offered - refused;
        tokio::time::sleep(SETTLE).await;
        let pid = self.gateway.process().pid().ok_or("talkbridge has ended")?;
        self.orders.open_window();
        let before = vitals::cpu(pid)?;
        tokio::time::sleep(plan.window).await;
        let used = vitals::cpu(pid)?.since(&before);
        let window = self.orders.close_window().await?;
        Ok(Step {
            calls: self.up,
            refused,
            busy: self
                .worst("talkbridge_media_busy_ratio")
                .await
                .unwrap_or(f64::NAN),
            quota: self.worst("talkbridge_media_quota_ratio").await,
            late: self
                .worst("talkbridge_media_late_ratio")
                .await
                .unwrap_or(f64::NAN),
            cpu_percent: percent_of_core(used.total_s(), plan.window),
            to_agent: Way::of(&window.to_agent),
            to_caller: Way::of(&window.to_caller),
            load_lateness: window.lateness.percentiles(),
        })
    }

    /// Agents sign in with all of the core there is: the bench is about calls, and handshakes would use up the share for seconds.
    async fn sign_in(&mut self, sessions: Range<usize>) -> Result<()> {
        let at = self.gateway.agents();
        self.share.as_ref().map_or(Ok(()), Share::lift)?;
        self.agents.sign_in(at, sessions, &self.orders).await?;
        self.share.as_ref().map_or(Ok(()), Share::hold)
    }

    /// The largest value of a gauge over the workers; `None` where there is none.
    async fn worst(&self, name: &str) -> Option<f64> {
        let page = self.gateway.get("/metrics").await.body;
        page.lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
            .reduce(f64::max)
    }
}

fn configure(config: &mut Value, plan: &Plan, without_limits: bool) {
    plan.case.configure(config, plan.calls_max, plan.workers);
    config["limits"] = json!({
        "calls": plan.calls_max,
        "http_connections_per_source": plan.calls_max + 100,
    });
    if without_limits {
        refuse_nobody(config);
    }
    config["log"]["level"] = json!("warn");
}

#[expect(clippy::print_stderr, reason = "a command says what it does")]
fn progress(line: &str) {
    eprintln!("{line}");
}
