//! `cargo xtask test`: everything CI runs, one step after the other, with one line at the end.

mod deny;
mod steps;
mod suites;
mod tally;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::error::Error;
use steps::Step;
use tally::Tally;

/// Flags of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Flags {
    /// Run these steps only.
    #[arg(long, value_enum, value_name = "STEP")]
    only: Vec<Step>,
    /// Leave these steps out.
    #[arg(long, value_enum, value_name = "STEP")]
    skip: Vec<Step>,
    /// Say what the steps are, and run nothing.
    #[arg(long)]
    list: bool,
}

/// How a step ended.
enum Outcome {
    /// It ran; what it counted.
    Ran(Tally),
    /// It could not run: something it stands on failed before.
    Blocked(Step),
}

/// One line of the summary.
struct Line {
    step: Step,
    outcome: Outcome,
    took: Duration,
}

impl Line {
    fn passed(&self) -> bool {
        matches!(&self.outcome, Outcome::Ran(tally) if tally.failed == 0)
    }
}

/// Runs the steps and says whether all passed.
pub(crate) fn run(root: &Path, flags: &Flags) -> Result<bool, Error> {
    if flags.list {
        for step in Step::value_variants() {
            println!("{:<10} {}", step.name(), step.meaning());
        }
        return Ok(true);
    }
    let chosen = Step::value_variants().iter().copied().filter(|step| {
        (flags.only.is_empty() || flags.only.contains(step)) && !flags.skip.contains(step)
    });
    let mut lines: Vec<Line> = Vec::new();
    for step in chosen {
        let failed = |needed: &&Step| lines.iter().any(|l| l.step == **needed && !l.passed());
        let started = Instant::now();
        println!("\n=== {}: {}", step.name(), step.meaning());
        let outcome = match step.needs().iter().find(failed) {
            Some(needed) => Outcome::Blocked(*needed),
            None => Outcome::Ran(attempt(step, root)),
        };
        let line = Line {
            step,
            outcome,
            took: started.elapsed(),
        };
        println!("--- {}", described(&line));
        lines.push(line);
    }
    Ok(summarise(&lines))
}

fn attempt(step: Step, root: &Path) -> Tally {
    step.run(root).unwrap_or_else(|error| {
        eprintln!("{}: {error}", step.name());
        Tally::failure(error.to_string())
    })
}

fn described(line: &Line) -> String {
    let verdict = match &line.outcome {
        Outcome::Blocked(needed) => format!("not run: `{}` failed", needed.name()),
        Outcome::Ran(tally) if tally.notes.is_empty() => tally.counts(),
        Outcome::Ran(tally) => format!("{} ({})", tally.counts(), tally.notes.join("; ")),
    };
    let word = if line.passed() { "ok" } else { "FAIL" };
    format!(
        "{:<10} {word:<5} {:>6.1} s  {verdict}",
        line.step.name(),
        line.took.as_secs_f64()
    )
}

/// Prints the table and the one line that scripts look for; returns whether nothing failed.
fn summarise(lines: &[Line]) -> bool {
    println!("\n=== summary");
    for line in lines {
        println!("{}", described(line));
    }
    let (mut passed, mut failed) = (0, 0);
    for line in lines {
        match &line.outcome {
            Outcome::Ran(tally) => {
                passed += tally.passed;
                failed += tally.failed;
            }
            Outcome::Blocked(_) => failed += 1,
        }
    }
    let took: Duration = lines.iter().map(|line| line.took).sum();
    println!("{:<10} {:>12.1} s\n", "all", took.as_secs_f64());
    println!("{passed} passed, {failed} failed");
    failed == 0
}
