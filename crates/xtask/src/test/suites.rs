//! The test suites: by nextest when it is there, by the test programs themselves when not.
//!
//! All suites select from one build of the whole workspace. Building a part of it would unify the
//! features of dependencies differently and compile most of them a second time.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::tally::Tally;
use crate::error::Error;
use crate::process;

/// The package with the tests of the real binaries.
const INTEROP: &str = "interop-tests";

/// Its test program that needs a browser.
const BROWSER: &str = "browser";

/// Tells the tests of the real binaries that the build step has made them: their own `cargo build` of two packages would unify
/// features in another way and compile half of the dependencies again.
const PREBUILT: (&str, &str) = ("INTEROP_PREBUILT", "1");

/// Real processes in real time: more at once than this and two cores cannot keep their deadlines.
const INTEROP_THREADS: &str = "2";

/// The tests of it that make network namespaces, by the module they are in.
const HOSTS: &str = "hosts::";

/// Which of the workspace's test programs a suite runs.
#[derive(Clone, Copy)]
enum Suite {
    House,
    /// With the tests between hosts, or without them.
    Sipp {
        hosts: bool,
    },
    Browser {
        hosts: bool,
    },
}

impl Suite {
    fn filter(self) -> String {
        match self {
            Self::House => format!("not package({INTEROP})"),
            Self::Sipp { hosts: true } => format!("package({INTEROP}) and not binary({BROWSER})"),
            Self::Sipp { hosts: false } => {
                format!("package({INTEROP}) and not binary({BROWSER}) and not test(/^{HOSTS}/)")
            }
            Self::Browser { hosts: true } => format!("package({INTEROP}) and binary({BROWSER})"),
            Self::Browser { hosts: false } => {
                format!("package({INTEROP}) and binary({BROWSER}) and not test(/^{HOSTS}/)")
            }
        }
    }

    /// Real processes take their time, so each of their tests shows when it is done.
    fn status_level(self) -> &'static str {
        match self {
            Self::House => "slow",
            Self::Sipp { .. } | Self::Browser { .. } => "pass",
        }
    }

    fn holds(self, program: &Program) -> bool {
        let interop = program.package == INTEROP;
        match self {
            Self::House => !interop,
            Self::Sipp { .. } => interop && program.target != BROWSER,
            Self::Browser { .. } => interop && program.target == BROWSER,
        }
    }
}

/// Unit tests, tables, stories, simulation.
pub(super) fn house(root: &Path) -> Result<Tally, Error> {
    run(root, Suite::House)
}

/// SIPp and the independent page against the real binaries.
pub(super) fn sipp(root: &Path) -> Result<Tally, Error> {
    let hosts = can_make_hosts();
    let tally = run(root, Suite::Sipp { hosts })?;
    Ok(noted(tally, hosts))
}

fn noted(tally: Tally, hosts: bool) -> Tally {
    if hosts {
        return tally;
    }
    let left_out = "the tests between hosts were left out: network namespaces take root";
    println!("{left_out}");
    tally.with_note(left_out)
}

/// Whether this user may make network namespaces.
fn can_make_hosts() -> bool {
    let name = format!("tb{}-probe", std::process::id());
    let ip = |verb: &str| {
        let status = Command::new("ip").args(["netns", verb, &name]).status();
        status.is_ok_and(|status| status.success())
    };
    ip("add") && ip("del")
}

/// Chromium against the real binaries.
pub(super) fn browser(root: &Path) -> Result<Tally, Error> {
    let hosts = can_make_hosts();
    let tally = run(root, Suite::Browser { hosts })?;
    Ok(noted(tally, hosts))
}

/// Examples in the documentation, which no other runner compiles. A workspace may have none.
pub(super) fn documentation(root: &Path) -> Result<Tally, Error> {
    let mut command = process::cargo();
    command
        .args(["test", "--workspace", "--doc", "--no-fail-fast"])
        .current_dir(root);
    let transcript = process::follow(&mut command)?;
    let examples = transcript.lines.iter().any(|line| line.ends_with("... ok"));
    if transcript.status.success() && !examples {
        return Ok(Tally::success().with_note("no examples"));
    }
    Ok(Tally::of_suite(
        &transcript.lines,
        transcript.status.success(),
    ))
}

fn run(root: &Path, suite: Suite) -> Result<Tally, Error> {
    if process::find("cargo-nextest").is_some() {
        return by_nextest(root, suite);
    }
    println!("cargo-nextest is not installed: the test programs run one after the other");
    by_programs(root, suite)
}

fn by_nextest(root: &Path, suite: Suite) -> Result<Tally, Error> {
    let mut command = process::cargo();
    command
        .args(["nextest", "run", "--workspace", "--no-fail-fast"])
        .args([
            "--status-level",
            suite.status_level(),
            "--filterset",
            &suite.filter(),
        ])
        .env(PREBUILT.0, PREBUILT.1)
        .current_dir(root);
    let transcript = process::follow(&mut command)?;
    Ok(Tally::of_suite(
        &transcript.lines,
        transcript.status.success(),
    ))
}

/// A compiled test program.
struct Program {
    package: String,
    target: String,
    file: PathBuf,
    folder: PathBuf,
}

fn by_programs(root: &Path, suite: Suite) -> Result<Tally, Error> {
    let mut command = process::cargo();
    command
        .args([
            "test",
            "--workspace",
            "--no-run",
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(root);
    let messages = process::read(&mut command)?;
    let mut lines = Vec::new();
    let mut succeeded = true;
    for program in messages
        .lines()
        .filter_map(program)
        .filter(|program| suite.holds(program))
    {
        let mut command = Command::new(&program.file);
        command
            .current_dir(&program.folder)
            .env("CARGO_MANIFEST_DIR", &program.folder)
            .env(PREBUILT.0, PREBUILT.1);
        if program.package == INTEROP {
            command.args(["--test-threads", INTEROP_THREADS]);
        }
        if let Suite::Sipp { hosts: false } | Suite::Browser { hosts: false } = suite {
            command.args(["--skip", HOSTS]);
        }
        println!("# {} {}", program.package, program.target);
        let transcript = process::follow(&mut command)?;
        succeeded &= transcript.status.success();
        lines.extend(transcript.lines);
    }
    Ok(Tally::of_suite(&lines, succeeded))
}

/// The test program that one of cargo's messages announces.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["profile"]["test"].as_bool() != Some(true) {
        return None;
    }
    let folder = Path::new(message["manifest_path"].as_str()?)
        .parent()?
        .to_owned();
    Some(Program {
        package: folder.file_name()?.to_string_lossy().into_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        file: message["executable"].as_str()?.into(),
        folder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_told_from_other_artifacts() {
        let test = r#"{"manifest_path":"/p/interop-tests/Cargo.toml","target":{"name":"browser"},"profile":{"test":true},"executable":"/p/target/debug/deps/browser-1"}"#;
        let found = program(test).expect("a test program");
        assert_eq!(
            (found.package.as_str(), found.target.as_str()),
            (INTEROP, BROWSER)
        );
        assert!(
            Suite::Browser { hosts: true }.holds(&found)
                && !Suite::Sipp { hosts: true }.holds(&found)
                && !Suite::House.holds(&found)
        );
        assert!(program(&test.replace("true", "false")).is_none());
        assert!(program("Compiling x").is_none());
    }
}
