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
use interop_tests::load::{self, Map, Plan, bare_relay, subject};

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
    /// The floor that the others are compared with; `media` starts it.
    BareRelay(BareRelay),
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
    /// Media workers; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    workers: u16,
    /// Leaves rtpengine out.
    #[arg(long)]
    alone: bool,
    /// Another build of talkbridge, to have its turns too.
    #[arg(long, value_name = "PROGRAM")]
    baseline: Option<PathBuf>,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
        baseline: media.baseline.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(load::media(&plan))?;
    println!("{}", report.table());
    if let Some(file) = &media.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
        println!("written: {}", file.display());
    }
    Ok(())
}
