//! The steps of `cargo xtask test`, in the order in which they run.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use super::tally::Tally;
use super::{deny, suites};
use crate::error::Error;
use crate::{packages, process, simulation, tidy};

/// One step. Their order is the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Step {
    Packages,
    Format,
    Clippy,
    Tidy,
    Deny,
    Build,
    Test,
    Sim,
    Doc,
    Sipp,
    Browser,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Format => "format",
            Self::Clippy => "clippy",
            Self::Tidy => "tidy",
            Self::Deny => "deny",
            Self::Build => "build",
            Self::Test => "test",
            Self::Sim => "sim",
            Self::Doc => "doc",
            Self::Sipp => "sipp",
            Self::Browser => "browser",
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Packages => "programs that the tests drive, installed when missing",
            Self::Format => "rustfmt agrees",
            Self::Clippy => "compiler and clippy have nothing to say",
            Self::Tidy => "the house rules",
            Self::Deny => "licences, sources, bans and advisories of dependencies",
            Self::Build => "everything, once, in the shape that all tests share",
            Self::Test => "unit tests, state tables, stories, fuzz corpora",
            Self::Sim => "the simulated world, seed by seed, and which states it reached",
            Self::Doc => "examples in the documentation",
            Self::Sipp => "the real binaries against SIPp and an independent WebRTC stack",
            Self::Browser => "the real binaries against Chromium",
        }
    }

    /// Steps without which this one says nothing.
    pub(super) fn needs(self) -> &'static [Self] {
        match self {
            Self::Test | Self::Doc => &[Self::Build],
            Self::Sipp | Self::Browser => &[Self::Packages, Self::Build],
            _ => &[],
        }
    }

    pub(super) fn run(self, root: &Path) -> Result<Tally, Error> {
        match self {
            Self::Packages => packages::install(packages::Purpose::Tests, packages::Consent::Given)
                .map(|()| Tally::success()),
            Self::Format => cargo(root, &["fmt", "--all", "--check"]),
            Self::Clippy => cargo(
                root,
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ],
            ),
            Self::Tidy => Ok(match tidy::run(root)? {
                0 => Tally::success(),
                findings => Tally::failure(format!("{findings} findings")),
            }),
            Self::Deny => deny::check(root),
            Self::Build => cargo(root, &["build", "--workspace", "--all-targets"]),
            Self::Test => suites::house(root),
            Self::Sim => simulation::every_merge(root).map(|held| {
                if held {
                    Tally::success()
                } else {
                    Tally::failure("the simulated world does not hold".to_owned())
                }
            }),
            Self::Doc => suites::documentation(root),
            Self::Sipp => suites::sipp(root),
            Self::Browser => suites::browser(root),
        }
    }
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<Tally, Error> {
    let mut command: Command = process::cargo();
    process::run(command.args(arguments).current_dir(root)).map(|()| Tally::success())
}
