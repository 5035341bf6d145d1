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
use interop_tests::load::{self, Map, Plan, bare_relay, registering, signalling, subject};

/// The load tool of talkbridge.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Relayed calls: processor time, memory, latency, loss, and how fast a call is answered.
    Media(Media),
    /// Calls a second: how many, how fast they are answered, and what one costs.
    Signalling(Signalling),
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
    /// Calls at a time.
    #[arg(long, default_value_t = 300)]
    sessions: usize,
    /// Turns of each program.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of the steady window of a turn.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Media workers; 0 is its default.
    #[arg(long, default_value_t = 0)]
    workers: u16,
    /// Leaves rtpengine out.
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
    let plan = Plan {
        sessions: media.sessions,
        rounds: media.rounds,
        window: Duration::from_secs(media.seconds),
        workers: media.workers,
        without_rtpengine: match subject::rtpengine() {
            _ if media.alone => Some("not asked for"),
            None => Some("not installed"),
            Some(_) => None,
        },
        baseline: media.common.baseline.clone(),
    };
    media
        .common
        .report(load::media(&plan), load::report::Report::table)
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
}

fn registered_dns(flags: &Register) -> Result<()> {
    let plan = registering::Plan {
        dns: flags.dns,
        rate_per_s: flags.rate,
        expires_s: registering::EXPIRES_S,
        settle: registering::SETTLE,
        window: Duration::from_secs(flags.seconds),
        rounds: flags.rounds,
        baseline: flags.common.baseline.clone(),
    };
    flags
        .common
        .report(registering::registering(&plan), registering::Report::table)
}

impl Common {
    /// Measures, and shows and writes what came out. A file that cannot be written is told before the measuring, not after it.
    fn report<R: serde::Serialize>(
        &self,
        measuring: impl Future<Output = Result<R>>,
        table: fn(&R) -> String,
    ) -> Result<()> {
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
        Ok(())
    }
}
