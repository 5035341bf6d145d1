//! The project's own commands: `cargo xtask attack`, `bench`, `demo`, `sim`, `test` and `tidy`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool prints"
)]

mod attack;
mod bench;
mod demo;
mod error;
mod packages;
mod process;
mod simulation;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::Error;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Attack the release binary for minutes: floods, broken messages, sprays, idle connections.
    Attack(attack::Flags),
    /// Measure the release binary under load, and others beside it.
    Bench(bench::Flags),
    /// A working call on this machine: a simulated SIP Server, the gateway, and two pages to open.
    Demo(demo::Flags),
    /// Run seeds of the simulated world: faults, and invariants after every step.
    Sim(simulation::Flags),
    /// Check the house rules: arrows, purity, sizes, headers, documents.
    Tidy,
    /// Run everything CI runs; ends with the line `N passed, N failed`.
    Test(test::Flags),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = root();
    let outcome = match arguments.command {
        Command::Attack(flags) => attack::run(&root, &flags),
        Command::Bench(flags) => bench::run(&root, &flags),
        Command::Demo(flags) => demo::run(&root, &flags),
        Command::Sim(flags) => simulation::run(&root, &flags),
        Command::Tidy => tidy(&root),
        Command::Test(flags) => test::run(&root, &flags),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The folder that holds the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("this package lives two folders below the root")
        .to_owned()
}

fn tidy(root: &Path) -> Result<bool, Error> {
    let findings = tidy::run(root)?;
    println!(
        "{}",
        if findings == 0 {
            "tidy".to_owned()
        } else {
            format!("{findings} findings")
        }
    );
    Ok(findings == 0)
}
