//! The load tool behind `cargo xtask bench`: measures the release binary, alone and beside others.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command says what it does"
)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use interop_tests::Result;
use interop_tests::digest::Algorithm;
use interop_tests::load::share::Part;
use interop_tests::load::{
    self, Case, Map, Plan, bare_relay, overload, registering, rival, signalling, soak,
};

/// The load tool of talkbridge.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Relayed or transcoded calls: processor time, memory, latency, loss, and how fast a call is answered.
    Media(Media),
    /// Calls a second: how many, how fast they are answered, and what one costs.
    Signalling(Signalling),
    /// Calls that grow until they are refused, and what those that are up sound like meanwhile.
    Overload(Overload),
    /// Calls, reloads, lost pages and dead callers for long: nothing is left at the end.
    Soak(Soak),
    /// Registered DNs: how long until all are, and what one costs.
    Register(Register),
    /// The floor that the others are compared with; `media` starts it.
    BareRelay(BareRelay),
}

/// What every measurement takes.
#[derive(Args)]
struct Common {
    /// Another build of talkbridge, to have its turns too.
    #[arg(long, value_name = "PROGRAM")]
    baseline: Option<PathBuf>,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct Media {
    /// Calls at a time; several numbers are measured one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [300])]
    sessions: Vec<usize>,
    /// Pages speak Opus: everything is decoded and coded again.
    #[arg(long)]
    transcode: bool,
    /// Turns of each program.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of the steady window of a turn.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Media workers, threads of rtpengine and event loops of Janus; 0 is talkbridge's default.
    #[arg(long, default_value_t = 0)]
    workers: u16,
    /// rtpengine has as many threads as it takes when it is told nothing.
    #[arg(long)]
    as_shipped: bool,
    /// Leaves other people's programs out.
    #[arg(long)]
    alone: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Signalling {
    /// Agents that are signed in.
    #[arg(long, default_value_t = 100)]
    agents: usize,
    /// The first rate, calls a second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// How long each rate is held.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rates tried at most, each half as much again as the one before it.
    #[arg(long, default_value_t = signalling::STEPS_MAX)]
    steps: usize,
    /// Turns, each with a gateway of its own.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Overload {
    /// Calls offered in each step.
    #[arg(long, default_value_t = 25)]
    step: usize,
    /// Calls at most.
    #[arg(long, default_value_t = 1_000)]
    calls: usize,
    /// Pages speak Opus: everything is decoded and coded again.
    #[arg(long)]
    transcode: bool,
    /// How long the calls of a step are listened to.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Media workers.
    #[arg(long, default_value_t = 1)]
    workers: u16,
    /// So much of a core is all that the gateway gets (takes root).
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u16).range(1..))]
    share: Option<u16>,
    /// How often it gets it; Linux's default is 100 ms, and Kubernetes' too.
    #[arg(long, value_name = "MS", default_value_t = 5, requires = "share", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    share_period_ms: u16,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct Soak {
    /// Agents.
    #[arg(long, default_value_t = 40)]
    agents: usize,
    /// Media workers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Pages speak Opus: everything is decoded and coded again.
    #[arg(long)]
    transcode: bool,
    /// How long the churn takes that is measured; a minute of warming up comes before it.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// What the lot is drawn by.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct Register {
    /// DNs.
    #[arg(long, default_value_t = 10_000)]
    dns: usize,
    /// First registrations a second, where they are paced.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How long refreshes are watched.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The registrar asks each DN for its password by digest, as `authenticate-requests` of SIP Server has it, and has a nonce for ten REGISTERs.
    #[arg(long, value_name = "ALGORITHM")]
    digest: Option<Algorithm>,
    /// Turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct BareRelay {
    /// Where it listens.
    #[arg(long)]
    at: IpAddr,
    /// The host of the pages.
    #[arg(long)]
    pages: IpAddr,
    /// The host of the telephones.
    #[arg(long)]
    callers: IpAddr,
    /// Calls.
    #[arg(long)]
    sessions: usize,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Media(media) => measure(&media),
        Command::Signalling(signalling) => calls_a_second(&signalling),
        Command::Overload(overload) => the_knee(&overload),
        Command::Soak(soak) => for_long(&soak),
        Command::Register(register) => registered_dns(&register),
        Command::BareRelay(relay) => {
            let map = Map::new(relay.pages, relay.callers);
            bare_relay::run(relay.at, &map, relay.sessions)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(media: &Media) -> Result<()> {
    let plan = |sessions| Plan {
        case: case(media.transcode),
        sessions,
        rounds: media.rounds,
        window: Duration::from_secs(media.seconds),
        workers: media.workers,
        as_shipped: media.as_shipped,
        absent: rival::absent(case(media.transcode), media.alone),
        baseline: media.common.baseline.clone(),
    };
    let measuring = async {
        let mut reports = Vec::new();
        for sessions in &media.sessions {
            reports.push(load::media(&plan(*sessions)).await?);
        }
        Ok(reports)
    };
    let tables = |reports: &Vec<load::report::Report>| {
        let tables: Vec<String> = reports.iter().map(load::report::Report::table).collect();
        tables.join("\n\n")
    };
    media.common.report(measuring, tables).map(drop)
}

fn calls_a_second(flags: &Signalling) -> Result<()> {
    let plan = signalling::Plan {
        agents: flags.agents,
        first_rate_per_s: flags.rate,
        window: Duration::from_secs(flags.seconds),
        steps: flags.steps,
        rounds: flags.rounds,
        baseline: flags.common.baseline.clone(),
    };
    flags
        .common
        .report(signalling::signalling(&plan), signalling::Report::table)
        .map(drop)
}

fn the_knee(flags: &Overload) -> Result<()> {
    let plan = overload::Plan {
        case: case(flags.transcode),
        step: flags.step,
        calls_max: flags.calls,
        window: Duration::from_secs(flags.seconds),
        workers: flags.workers,
        share: flags.share.map(|percent| Part {
            percent,
            period_ms: flags.share_period_ms,
        }),
    };
    Common::writing(&flags.json)
        .report(overload::overload(&plan), overload::Report::table)
        .map(drop)
}

fn for_long(flags: &Soak) -> Result<()> {
    let plan = soak::Plan {
        case: case(flags.transcode),
        agents: flags.agents,
        workers: flags.workers,
        churn: Duration::from_mins(flags.minutes),
        warm_up: Duration::from_mins(1),
        line_every: Duration::from_mins(1),
        seed: flags.seed,
    };
    let report = Common::writing(&flags.json).report(soak::soak(&plan), soak::Report::table)?;
    match report.leaks().len() {
        0 => Ok(()),
        leaks => Err(format!("{leaks} things are not back to the start").into()),
    }
}

fn case(transcode: bool) -> Case {
    if transcode {
        Case::Transcode
    } else {
        Case::Relay
    }
}

fn registered_dns(flags: &Register) -> Result<()> {
    let plan = registering::Plan {
        dns: flags.dns,
        rate_per_s: flags.rate,
        expires_s: registering::EXPIRES_S,
        settle: registering::SETTLE,
        window: Duration::from_secs(flags.seconds),
        digest: flags.digest,
        rounds: flags.rounds,
        baseline: flags.common.baseline.clone(),
    };
    flags
        .common
        .report(registering::registering(&plan), registering::Report::table)
        .map(drop)
}

impl Common {
    /// For what is measured without another build beside it.
    fn writing(json: &Option<PathBuf>) -> Self {
        Self {
            baseline: None,
            json: json.clone(),
        }
    }

    /// Measures, and shows and writes what came out. A file that cannot be written is told before the measuring, not after it.
    fn report<R: serde::Serialize>(
        &self,
        measuring: impl Future<Output = Result<R>>,
        table: fn(&R) -> String,
    ) -> Result<R> {
        if let Some(file) = &self.json {
            let opened = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(file);
            opened.map_err(|error| format!("--json {}: {error}", file.display()))?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let report = runtime.block_on(measuring)?;
        println!("{}", table(&report));
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(&report)? + "\n";
            std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
            println!("written: {}", file.display());
        }
        Ok(report)
    }
}
