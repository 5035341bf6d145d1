//! `cargo xtask bench`: the project's own load tool against the release binary.
//!
//! The load runs in a program of its own (`load` of `interop-tests`): here it is built together with what it measures, and told
//! what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};

use crate::error::Error;
use crate::packages::{self, Consent, Purpose};
use crate::process;

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Relayed calls through talkbridge, and beside it through rtpengine and a bare UDP relay, in turns.
    Media,
}

/// Flags of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Flags {
    /// What to measure.
    #[arg(value_enum, default_value = "media")]
    what: What,
    /// Calls at a time.
    #[arg(long, value_name = "N", default_value_t = 300)]
    sessions: usize,
    /// Turns of each program.
    #[arg(long, value_name = "R", default_value_t = 5)]
    rounds: usize,
    /// Length of the steady window of a turn.
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u64,
    /// Media workers of talkbridge; 0 is one for each core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: u16,
    /// Write everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Give an earlier build of talkbridge its turns too: did a change help?
    #[arg(long, value_name = "PROGRAM")]
    baseline: Option<PathBuf>,
    /// Install rtpengine without asking when it is missing. Otherwise the comparison goes without it.
    #[arg(long)]
    yes: bool,
}

/// Measures; `false` says that something could not be measured.
pub(crate) fn run(root: &Path, flags: &Flags) -> Result<bool, Error> {
    if flags.yes {
        packages::install(Purpose::Bench, Consent::Given)?;
    } else if process::find("rtpengine").is_none() {
        println!(
            "rtpengine is not installed: measured without it (`--yes` installs rtpengine-daemon)"
        );
    }
    let mut build = process::cargo();
    build
        .args(["build", "--release"])
        .args(["--package", "gateway", "--bin", "talkbridge"])
        .args(["--package", "interop-tests", "--bin", "load"])
        .current_dir(root);
    process::run(&mut build)?;
    let mut command = load(root, flags);
    println!("$ {}", process::shown(&command));
    let status = command.status().map_err(|source| Error::Start {
        program: process::shown(&command),
        source,
    })?;
    Ok(status.success())
}

fn load(root: &Path, flags: &Flags) -> Command {
    let mut command = Command::new(process::target(root).join("release/load"));
    let what = match flags.what {
        What::Media => "media",
    };
    command
        .arg(what)
        .args(["--sessions", &flags.sessions.to_string()])
        .args(["--rounds", &flags.rounds.to_string()])
        .args(["--seconds", &flags.seconds.to_string()])
        .args(["--workers", &flags.workers.to_string()])
        // It would build what it starts; that has just been done.
        .env("INTEROP_PREBUILT", "1");
    if let Some(program) = &flags.baseline {
        command.arg("--baseline").arg(program);
    }
    if let Some(file) = &flags.json {
        command.arg("--json").arg(file);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_tool_is_told_what_was_asked_for() {
        let flags = Flags {
            what: What::Media,
            sessions: 100,
            rounds: 3,
            seconds: 10,
            workers: 1,
            json: Some(PathBuf::from("figures.json")),
            baseline: None,
            yes: false,
        };
        let shown = process::shown(&load(Path::new("/p"), &flags));
        assert!(
            shown.ends_with(
                "load media --sessions 100 --rounds 3 --seconds 10 --workers 1 --json figures.json"
            ),
            "{shown}"
        );
    }
}
