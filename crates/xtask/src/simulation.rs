//! `cargo xtask sim`: seeds of the simulated world.
//!
//! The world runs in a program of its own, so that this one is built and works while a crate below does not compile. It is
//! optimised, and checks overflows and debug assertions all the same.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::Error;
use crate::process;

/// The cargo profile that the world is built with.
const PROFILE: &str = "sim";

/// Seeds that every merge runs.
const SEEDS: u64 = 2_000;

/// Seeds among which some are chosen for the rows of the state tables that few reach.
const RARE_SEEDS: u64 = 30_000;

/// The seeds that are kept for such rows.
const KEPT: &str = "crates/sim/src/world/coverage/seeds.txt";

/// Flags of `cargo xtask sim`.
#[derive(Args)]
pub(crate) struct Flags {
    /// How many seeds to run: 2,000, and 30,000 to look for rare ones.
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,
    /// Run this one seed and print everything that happens in it.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    replay: Option<u64>,
    /// Look for seeds that reach the rows of the state tables that few seeds reach, among `--seeds`, and keep them for every merge.
    #[arg(long, conflicts_with_all = ["from", "replay"])]
    rare: bool,
    /// Write what passed on the wire, for Wireshark.
    #[arg(long, value_name = "FILE", requires = "replay")]
    pcap: Option<PathBuf>,
}

/// Runs the seeds of every merge.
pub(crate) fn every_merge(root: &Path) -> Result<bool, Error> {
    let flags = Flags {
        seeds: None,
        from: 0,
        replay: None,
        rare: false,
        pcap: None,
    };
    run(root, &flags)
}

/// Runs the seeds; `false` says that one of them broke an invariant.
pub(crate) fn run(root: &Path, flags: &Flags) -> Result<bool, Error> {
    let mut build = process::cargo();
    build
        .args(["build", "--quiet", "--profile", PROFILE])
        .args(["--package", "sim", "--bin", "sim-world"])
        // What puts the simulated SIP Server behind sockets is not needed here.
        .args(["--no-default-features", "--features", "coverage"])
        .current_dir(root);
    process::run(&mut build)?;
    let words = match flags.replay {
        Some(seed) => vec!["replay".to_owned(), seed.to_string()],
        None if flags.rare => vec![
            "rare".to_owned(),
            flags.seeds.unwrap_or(RARE_SEEDS).to_string(),
            root.join(KEPT).display().to_string(),
        ],
        None => vec![
            "run".to_owned(),
            flags.from.to_string(),
            flags.seeds.unwrap_or(SEEDS).to_string(),
        ],
    };
    let program = process::target(root).join(PROFILE).join("sim-world");
    let mut command = std::process::Command::new(program);
    let command = command.args(words).args(&flags.pcap);
    println!("$ {}", process::shown(command));
    let status = command.status().map_err(|source| Error::Start {
        program: process::shown(command),
        source,
    })?;
    Ok(status.success())
}
