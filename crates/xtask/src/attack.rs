//! `cargo xtask attack`: the long attacks on the release binary.
//!
//! They run in a program of their own (`attack` of `interop-tests`), built together with what it attacks. `cargo xtask test` runs each of them for a moment.

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::error::Error;
use crate::process;

/// Flags of `cargo xtask attack`.
#[derive(Args)]
pub(crate) struct Flags {
    /// How long each attack goes on, in minutes.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// Name the attacks and end.
    #[arg(long)]
    list: bool,
    /// The attacks; all of them unless named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Attacks; `false` says that one of them broke something.
pub(crate) fn run(root: &Path, flags: &Flags) -> Result<bool, Error> {
    process::run(&mut build(root))?;
    let mut command = attack(root, flags);
    println!("$ {}", process::shown(&command));
    let status = command.status().map_err(|source| Error::Start {
        program: process::shown(&command),
        source,
    })?;
    Ok(status.success())
}

/// The attacker, and every program that it starts: it builds none itself.
fn build(root: &Path) -> Command {
    let mut build = process::cargo();
    build
        .args(["build", "--release"])
        .args(["--package", "gateway", "--bin", "talkbridge"])
        .args(["--package", "sim", "--bin", "tserver-sim"])
        .args(["--package", "interop-tests", "--bin", "attack"])
        .current_dir(root);
    build
}

fn attack(root: &Path, flags: &Flags) -> Command {
    let mut command = Command::new(process::target(root).join("release/attack"));
    command
        .args(["--minutes", &flags.minutes.to_string()])
        .args(&flags.names)
        // It would build what it attacks; that has just been done.
        .env("INTEROP_PREBUILT", "1");
    if flags.list {
        command.arg("--list");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_attacks_start_is_built() {
        let shown = process::shown(&build(Path::new("/p")));
        for program in ["talkbridge", "tserver-sim", "attack"] {
            assert!(shown.contains(&format!("--bin {program}")), "{shown}");
        }
    }

    #[test]
    fn the_attacker_is_told_what_was_asked_for() {
        let flags = Flags {
            minutes: 2.5,
            list: false,
            names: vec!["spray".to_owned(), "idle".to_owned()],
        };
        let shown = process::shown(&attack(Path::new("/p"), &flags));
        assert!(
            shown.ends_with("attack --minutes 2.5 spray idle"),
            "{shown}"
        );
    }
}
