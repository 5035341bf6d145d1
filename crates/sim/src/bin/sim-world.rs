//! Runs seeds of the simulated world: what `cargo xtask sim` starts.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command says what it found"
)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const USAGE: &str = "usage: sim-world run FROM COUNT | sim-world replay SEED";

/// Seeds between two lines of progress.
const PROGRESS_EVERY: u64 = 100;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let held = match words.as_slice() {
        ["run", from, count] => {
            numbers([from, count]).map(|[from, count]| run(from, from.saturating_add(count)))
        }
        ["replay", seed] => numbers([seed]).map(|[seed]| replay(seed)),
        _ => None,
    };
    match held {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn numbers<const N: usize>(words: [&str; N]) -> Option<[u64; N]> {
    let parsed: Option<Vec<u64>> = words.iter().map(|word| word.parse().ok()).collect();
    parsed?.try_into().ok()
}

/// What all seeds came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    calls: usize,
    answered: usize,
    faults: usize,
    violations: Vec<u64>,
}

/// Runs the seeds on all cores and says which do not hold.
fn run(from: u64, to: u64) -> bool {
    let next = AtomicU64::new(from);
    let sum = Mutex::new(Sum::default());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let outcome = sim::world::run(seed, false);
                    let mut sum = sum.lock().expect("no thread panics while it counts");
                    count(&mut sum, seed, outcome);
                }
            });
        }
    });
    let mut sum = sum.into_inner().expect("no thread panics while it counts");
    sum.violations.sort_unstable();
    let (calls, answered, faults) = (sum.calls, sum.answered, sum.faults);
    println!(
        "{} seeds: {calls} calls, {answered} answered, {faults} faults of the network",
        sum.seeds
    );
    for seed in &sum.violations {
        println!("seed {seed} does not hold: cargo xtask sim --replay {seed}");
    }
    sum.violations.is_empty()
}

fn count(
    sum: &mut Sum,
    seed: u64,
    outcome: Result<sim::world::Report, Box<sim::world::Violation>>,
) {
    sum.seeds += 1;
    match outcome {
        Ok(report) => {
            sum.calls += report.calls;
            sum.answered += report.answered;
            sum.faults += report.faults;
        }
        Err(violation) => {
            eprintln!("{violation}");
            sum.violations.push(seed);
        }
    }
    if sum.seeds.is_multiple_of(PROGRESS_EVERY) {
        println!("{} seeds", sum.seeds);
    }
}

/// Runs one seed and prints everything that happens in it.
fn replay(seed: u64) -> bool {
    match sim::world::run(seed, true) {
        Ok(report) => {
            for line in &report.trace {
                println!("{line}");
            }
            println!(
                "seed {seed} holds: {} calls, {} answered, digest {:016x}",
                report.calls, report.answered, report.digest
            );
            true
        }
        Err(violation) => {
            println!("{violation}");
            false
        }
    }
}
