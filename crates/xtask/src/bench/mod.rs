//! `cargo xtask bench`: the project's own load tool against the release binary.
//!
//! The load runs in a program of its own (`load` of `interop-tests`): here it is built together with what it measures, and told
//! what to do.

mod profile;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};

use crate::error::Error;
use crate::packages::{self, Consent, Purpose};
use crate::process;

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Relayed calls through talkbridge, and beside it through rtpengine, Janus and a bare UDP relay, in turns.
    Media,
    /// Calls a second through talkbridge, at rates that rise until it does not follow, and what a call costs at half of that.
    Signalling,
    /// Registered DNs: how long until all are, and the processor time and memory of one.
    Register,
    /// Calls that grow until talkbridge refuses some, and what those that are up sound like meanwhile; then the same without limits.
    Overload,
    /// Calls, holds, reloads, lost pages and dead callers for long: nothing of them is left at the end.
    Soak,
    /// What a packet costs in instructions, and where (needs valgrind). No flag of the others counts.
    Profile,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::Signalling => "signalling",
            Self::Register => "register",
            Self::Overload => "overload",
            Self::Soak => "soak",
            Self::Profile => "profile",
        }
    }
}

/// Flags of `cargo xtask bench`.
#[derive(Clone, Args)]
pub(crate) struct Flags {
    /// What to measure.
    #[arg(value_enum, default_value = "media")]
    what: What,
    /// Media: calls at a time; several numbers, with commas between them, are measured one after the other.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [300])]
    sessions: Vec<usize>,
    /// Soak: how long.
    #[arg(long, value_name = "M", default_value_t = 10)]
    minutes: u64,
    /// Media, overload and soak: pages speak Opus and telephones PCMU, so that everything is decoded and coded again.
    #[arg(long)]
    transcode: bool,
    /// Signalling: agents that are signed in.
    #[arg(long, value_name = "N", default_value_t = 100)]
    agents: usize,
    /// Register: DNs.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    dns: usize,
    /// Signalling: the first rate, calls a second. Register: first registrations a second. 50 and 500 without it.
    #[arg(long, value_name = "RATE")]
    rate: Option<u32>,
    /// Register: the registrar asks each DN for its password by digest, with this algorithm (`md5`, `sha-256`).
    #[arg(long, value_name = "ALGORITHM")]
    digest: Option<String>,
    /// Turns of each program.
    #[arg(long, value_name = "R", default_value_t = 5)]
    rounds: usize,
    /// Length of the steady window of a turn, or of each rate.
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u64,
    /// Media: workers of talkbridge, and event loops of Janus; 0 is talkbridge's default.
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: u16,
    /// Media: rtpengine has as many threads as it takes when it is told nothing, and not as many as talkbridge has workers.
    #[arg(long)]
    as_shipped: bool,
    /// Overload: so much of a core is all that the gateway gets (takes root).
    #[arg(long, value_name = "PERCENT")]
    share: Option<u16>,
    /// Overload: how often it gets that; 5 ms, unless this says otherwise.
    #[arg(long, value_name = "MS", requires = "share")]
    share_period_ms: Option<u16>,
    /// Write everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Give an earlier build of talkbridge its turns too: did a change help?
    #[arg(long, value_name = "PROGRAM")]
    baseline: Option<PathBuf>,
    /// Install rtpengine and Janus without asking when they are missing. Otherwise the comparison goes without them.
    #[arg(long)]
    yes: bool,
}

/// Measures; `false` says that something could not be measured.
pub(crate) fn run(root: &Path, flags: &Flags) -> Result<bool, Error> {
    if flags.what == What::Profile {
        return profile::run(root);
    }
    let beside = flags.what == What::Media;
    if beside && flags.yes {
        packages::install(Purpose::Bench, Consent::Given)?;
    } else if beside {
        for program in ["rtpengine", "janus"] {
            if process::find(program).is_none() {
                println!("{program} is not installed: measured without it (`--yes` installs it)");
            }
        }
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
    command.arg(flags.what.name());
    if !matches!(flags.what, What::Overload | What::Soak) {
        command
            .args(["--rounds", &flags.rounds.to_string()])
            .args(["--seconds", &flags.seconds.to_string()]);
    }
    match flags.what {
        What::Overload => command
            .args(["--workers", &flags.workers.max(1).to_string()])
            .args(flags.transcode.then_some("--transcode"))
            .args(flags.share.map(|percent| format!("--share={percent}")))
            .args((flags.share_period_ms).map(|ms| format!("--share-period-ms={ms}"))),
        What::Soak => command
            .args(["--minutes", &flags.minutes.to_string()])
            .args(flags.transcode.then_some("--transcode")),
        What::Media => {
            let sessions: Vec<String> = flags.sessions.iter().map(usize::to_string).collect();
            command
                .args(["--sessions", &sessions.join(",")])
                .args(["--workers", &flags.workers.to_string()])
                .args(flags.as_shipped.then_some("--as-shipped"))
                .args(flags.transcode.then_some("--transcode"))
        }
        What::Signalling => command
            .args(["--agents", &flags.agents.to_string()])
            .args(["--rate", &flags.rate.unwrap_or(50).to_string()]),
        What::Register => command
            .args(["--dns", &flags.dns.to_string()])
            .args(["--rate", &flags.rate.unwrap_or(500).to_string()])
            .args(flags.digest.iter().flat_map(|it| ["--digest", it.as_str()])),
        What::Profile => unreachable!("the load tool has no part in it"),
    };
    command
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
            minutes: 90,
            sessions: vec![50, 100],
            transcode: true,
            agents: 50,
            dns: 1000,
            rate: Some(20),
            digest: Some("md5".to_owned()),
            rounds: 3,
            seconds: 10,
            workers: 1,
            as_shipped: true,
            share: Some(20),
            share_period_ms: Some(100),
            json: Some(PathBuf::from("figures.json")),
            baseline: None,
            yes: false,
        };
        let shown = |flags: &Flags| process::shown(&load(Path::new("/p"), flags));
        let media = shown(&flags);
        assert!(
            media.ends_with(
                "load media --rounds 3 --seconds 10 --sessions 50,100 --workers 1 --as-shipped --transcode --json figures.json"
            ),
            "{media}"
        );
        let signalling = shown(&Flags {
            what: What::Signalling,
            ..flags.clone()
        });
        assert!(
            signalling.ends_with(
                "load signalling --rounds 3 --seconds 10 --agents 50 --rate 20 --json figures.json"
            ),
            "{signalling}"
        );
        let overload = shown(&Flags {
            what: What::Overload,
            ..flags.clone()
        });
        assert!(
            overload.ends_with(
                "load overload --workers 1 --transcode --share=20 --share-period-ms=100 --json figures.json"
            ),
            "{overload}"
        );
        let soak = shown(&Flags {
            what: What::Soak,
            ..flags.clone()
        });
        assert!(
            soak.ends_with("load soak --minutes 90 --transcode --json figures.json"),
            "{soak}"
        );
        let register = shown(&Flags {
            what: What::Register,
            rate: None,
            ..flags
        });
        assert!(
            register.ends_with(
                "load register --rounds 3 --seconds 10 --dns 1000 --rate 500 --digest md5 --json figures.json"
            ),
            "{register}"
        );
    }
}
