//! `cargo xtask sim`: seeds of the simulated world.
//!
//! The world runs in a program of its own, so that this one is built and works while a crate below does not compile.

use std::path::Path;

use clap::Args;

use crate::error::Error;
use crate::process;

/// Flags of `cargo xtask sim`.
#[derive(Args)]
pub(crate) struct Flags {
    /// How many seeds to run.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,
    /// Run this one seed and print everything that happens in it.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    replay: Option<u64>,
}

/// Runs the seeds; `false` says that one of them broke an invariant.
pub(crate) fn run(root: &Path, flags: &Flags) -> Result<bool, Error> {
    let mut build = process::cargo();
    build
        .args(["build", "--quiet", "--package", "sim", "--bin", "sim-world"])
        .current_dir(root);
    process::run(&mut build)?;
    let words = match flags.replay {
        Some(seed) => vec!["replay".to_owned(), seed.to_string()],
        None => vec![
            "run".to_owned(),
            flags.from.to_string(),
            flags.seeds.to_string(),
        ],
    };
    let program = process::target(root).join("debug/sim-world");
    let mut command = std::process::Command::new(program);
    let command = command.args(words);
    println!("$ {}", process::shown(command));
    let status = command.status().map_err(|source| Error::Start {
        program: process::shown(command),
        source,
    })?;
    Ok(status.success())
}
