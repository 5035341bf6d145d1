//! `cargo deny`: licences, sources, bans and advisories of what we depend on.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::tally::Tally;
use crate::error::Error;
use crate::process;

/// Compiles in about a minute without optimisation, from crates.io and with its own lock file. The
/// wheel of the Python index (0.14) is no way round: it cannot read what today's cargo prints.
const VERSION: &str = "0.20.2";

/// Checks that need nothing but the source of the dependencies.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// What it prints when the advisory database could not be brought, as opposed to what it says of advisories.
const NOT_FETCHED: &str = "failed to fetch advisory database";

/// Runs the checks; advisories count only when their database can be fetched.
pub(super) fn check(root: &Path) -> Result<Tally, Error> {
    let program = program(root)?;
    process::run(
        Command::new(&program)
            .args(["check"])
            .args(OFFLINE)
            .current_dir(root),
    )?;
    let advisories = process::follow(
        Command::new(&program)
            .args(["check", "advisories"])
            .current_dir(root),
    )?;
    Ok(judge(&advisories.lines, advisories.status.success()))
}

fn judge(advisories: &[String], succeeded: bool) -> Tally {
    if succeeded {
        return Tally::success();
    }
    if advisories.iter().any(|line| line.contains(NOT_FETCHED)) {
        let note = "advisories were NOT checked: their database cannot be fetched from here";
        return Tally::success().with_note(note);
    }
    Tally::failure("an advisory speaks against a dependency: see above")
}

/// The program from `PATH`, or one of our own below `target/`.
fn program(root: &Path) -> Result<PathBuf, Error> {
    if let Some(program) = process::find("cargo-deny") {
        return Ok(program);
    }
    let tools = root.join("target/tools");
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        println!(
            "cargo-deny is not installed: building {VERSION} into {}",
            tools.display()
        );
        let mut command = process::cargo();
        command
            .args([
                "install",
                "--locked",
                "--debug",
                "--version",
                VERSION,
                "--root",
            ])
            .arg(&tools)
            .arg("cargo-deny")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("CARGO_TARGET_DIR");
        process::run(&mut command)?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advisories_that_were_not_checked_are_said_so() {
        let lines = [
            "2026-11-20 [ERROR] failed to fetch advisory database https://example.org".to_owned(),
        ];
        let tally = judge(&lines, false);
        assert_eq!(tally.failed, 0);
        assert!(tally.notes[0].contains("NOT checked"));
    }

    #[test]
    fn an_advisory_fails_the_step() {
        let lines = ["error[vulnerability]: something".to_owned()];
        assert_eq!(judge(&lines, false).failed, 1);
        assert_eq!(judge(&[], true).failed, 0);
    }
}
