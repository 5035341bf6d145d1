//! What ten thousand registered DNs cost: processor time and memory for each, and how long it takes until all are registered.
//!
//! A turn has three gateways, one after the other: one without DNs, which tells what the process takes by itself; one that
//! registers at the rate asked for and then refreshes; one that registers ten times as fast.

mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use report::{Report, Round};

use super::{dn, vitals};
use crate::digest::{Algorithm, Challenger, Proofs};
use crate::wait::within;
use crate::{Gateway, Registrar, Result, Site};

/// DNs that have names of their own in [`dn`] and fit into the tables of the gateway.
pub const DNS_MAX: usize = 40_000;

/// How much faster the third gateway registers. Without any pace all REGISTERs would leave at once, and most would be lost in the
/// buffer of the registrar's socket: what is measured then is how they are repeated.
const FAST_FACTOR: u32 = 10;

/// Registrations are counted from here on, as a share of all: starting up is over by then.
const FIRST_SHARE: f64 = 0.1;

/// Longer than a transaction is remembered after its answer (RFC 3261 timer K, 5 s), so that what is left belongs to the DNs.
pub const SETTLE: Duration = Duration::from_secs(7);

/// The life asked for: short enough that a window of some seconds sees many refreshes.
pub const EXPIRES_S: u32 = 60;

/// The password of every DN, where it is asked for.
const PASSWORD: &str = "a password of twenty";

/// The longest wait for all DNs beyond what the pace takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// DNs that are registered whether somebody is signed in or not.
    pub dns: usize,
    /// First registrations a second, where they are paced.
    pub rate_per_s: u32,
    /// The life that is asked for, seconds: [`EXPIRES_S`].
    pub expires_s: u32,
    /// The pause before memory is looked at: [`SETTLE`].
    pub settle: Duration,
    /// How long refreshes are watched, from the first one on.
    pub window: Duration,
    /// How the registrar asks for the password of each DN; `None` when it asks for none.
    pub digest: Option<Algorithm>,
    /// Turns.
    pub rounds: usize,
    /// A second build, to have its turns too.
    pub baseline: Option<PathBuf>,
}

/// Measures what the plan asks for.
///
/// # Errors
/// When the gateway does not register all DNs.
pub async fn registering(plan: &Plan) -> Result<Report> {
    if plan.dns < 10 || plan.dns > DNS_MAX || plan.rounds == 0 || plan.rate_per_s == 0 {
        return Err(
            format!("10 to {DNS_MAX} DNs, a rate of 1 a second and one round at least").into(),
        );
    }
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        let programs = [None].into_iter().chain(plan.baseline.iter().map(Some));
        for program in programs {
            let round = round(plan, program).await?;
            report::progress(number, &round);
            rounds.push(round);
        }
    }
    Ok(Report::of(plan, rounds))
}

async fn round(plan: &Plan, program: Option<&PathBuf>) -> Result<Round> {
    let empty_kib = {
        let mut alone = Subject::start(plan, 0, plan.rate_per_s, program).await?;
        tokio::time::sleep(plan.settle).await;
        vitals::resident_kib(alone.pid()?)?
    };
    let paced = paced(plan, program).await?;
    let fast_s = {
        let subject = Subject::start(
            plan,
            plan.dns,
            plan.rate_per_s.saturating_mul(FAST_FACTOR),
            program,
        )
        .await?;
        subject.all_registered(plan.dns, PATIENCE).await?;
        subject.began.elapsed().as_secs_f64()
    };
    Ok(Round {
        baseline: program.is_some(),
        kib_per_dn: (paced.resident_kib as f64 - empty_kib as f64) / plan.dns as f64,
        cpu_ms_per_registration: paced.first_ms,
        cpu_ms_per_refresh: paced.refresh_ms,
        refreshes: paced.refreshes,
        stale_refreshes: paced.stale_refreshes,
        proofs: paced.proofs,
        paced_s: paced.took_s,
        fast_s,
    })
}

/// What the paced gateway showed.
struct Paced {
    took_s: f64,
    first_ms: f64,
    resident_kib: u64,
    refresh_ms: Option<f64>,
    refreshes: u64,
    stale_refreshes: u64,
    proofs: Proofs,
}

async fn paced(plan: &Plan, program: Option<&PathBuf>) -> Result<Paced> {
    let mut subject = Subject::start(plan, plan.dns, plan.rate_per_s, program).await?;
    let pid = subject.pid()?;
    let longest = Duration::from_secs_f64(plan.dns as f64 / f64::from(plan.rate_per_s)) + PATIENCE;
    let first = (plan.dns as f64 * FIRST_SHARE) as usize;
    subject.all_registered(first, longest).await?;
    let (at_first, accepted_first) = (vitals::cpu(pid)?, subject.registrar.accepted());
    subject.all_registered(plan.dns, longest).await?;
    let took_s = subject.began.elapsed().as_secs_f64();
    let spent = vitals::cpu(pid)?.since(&at_first).total_s();
    let first_ms = spent * 1000.0 / (subject.registrar.accepted() - accepted_first).max(1) as f64;
    tokio::time::sleep(plan.settle).await;
    let resident_kib = vitals::resident_kib(pid)?;
    let known = subject.registrar.accepted();
    let life = Duration::from_secs(plan.expires_s.into());
    within(life, || subject.registrar.accepted() > known).await;
    let (before, accepted) = (vitals::cpu(pid)?, subject.registrar.accepted());
    let proofs = subject.registrar.proofs();
    tokio::time::sleep(plan.window).await;
    let spent = vitals::cpu(pid)?.since(&before).total_s();
    let refreshes = subject.registrar.accepted() - accepted;
    let stale_refreshes = subject.registrar.proofs().since(&proofs).stale;
    if !subject.all_still_registered(plan.dns) {
        return Err("a registration ended instead of being refreshed".into());
    }
    Ok(Paced {
        took_s,
        first_ms,
        resident_kib,
        refresh_ms: (refreshes > 0).then(|| spent * 1000.0 / refreshes as f64),
        refreshes,
        stale_refreshes,
        proofs: subject.registrar.proofs(),
    })
}

/// A gateway and the registrar it registers at.
struct Subject {
    registrar: Registrar,
    gateway: Gateway,
    /// When the process was started.
    began: Instant,
}

impl Subject {
    async fn start(
        plan: &Plan,
        dns: usize,
        rate_per_s: u32,
        program: Option<&PathBuf>,
    ) -> Result<Self> {
        let site = Site::new();
        let registrar = match plan.digest {
            None => Registrar::start(site.server_sip()).await?,
            Some(digest) => {
                let challenger = Challenger::new(digest, PASSWORD);
                Registrar::start_asking(site.server_sip(), challenger)?
            }
        };
        let agent = |number| {
            let mut agent = json!({"dn": dn(number), "register": "always"});
            if plan.digest.is_some() {
                agent["password"] = PASSWORD.into();
            }
            agent
        };
        let agents: Vec<Value> = (0..dns).map(agent).collect();
        let change = |config: &mut Value| {
            config["agents"] = json!(agents);
            config["log"]["level"] = json!("info");
            config["sip"]["register"] = json!({
                "start_rate_per_s": rate_per_s,
                "expires_s": plan.expires_s,
            });
        };
        let began = Instant::now();
        let gateway = match program {
            None => Gateway::start_with(&site, change).await,
            Some(program) => Gateway::start_program(program, &site, change).await,
        };
        Ok(Self {
            registrar,
            gateway,
            began,
        })
    }

    fn pid(&mut self) -> Result<u32> {
        Ok(self.gateway.process().pid().ok_or("talkbridge has ended")?)
    }

    async fn all_registered(&self, dns: usize, longest: Duration) -> Result<()> {
        if within(longest, || self.registrar.counts().0 >= dns).await {
            return Ok(());
        }
        let found = self.registrar.counts().0;
        Err(format!("{found} of {dns} DNs registered within {longest:?}").into())
    }

    fn all_still_registered(&self, dns: usize) -> bool {
        self.registrar.counts() == (dns, 0)
    }
}
