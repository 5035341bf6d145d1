//! Runs seeds of the simulated world: what `cargo xtask sim` starts.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command says what it found"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use sim::world::coverage::{self, Expected, Row};
use sim::world::{Captured, Report, Violation};

const USAGE: &str = "usage: sim-world run FROM COUNT | sim-world replay SEED [PCAP]";

/// Fewer seeds are not expected to reach every row of the state tables.
const COVERING_SEEDS: u64 = 2_000;

/// Lines of progress of one run.
const PROGRESS_LINES: u64 = 20;

/// Violations of one kind that are named; the others are counted.
const NAMED_MAX: usize = 3;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let held = match words.as_slice() {
        ["run", from, count] => {
            numbers([from, count]).map(|[from, count]| run(from, from.saturating_add(count)))
        }
        ["replay", seed] => numbers([seed]).map(|[seed]| replay(seed, None)),
        ["replay", seed, file] => numbers([seed]).map(|[seed]| replay(seed, Some(Path::new(file)))),
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
    controls: usize,
    datagrams: usize,
    faults: usize,
    mishaps: usize,
    overflows: usize,
    forwarded: usize,
    attacks: usize,
    compared: usize,
    /// Rows of the state tables that were reached.
    rows: BTreeSet<Row>,
    /// What did not hold, its numbers left out, and the seeds that show it.
    violations: BTreeMap<String, Vec<u64>>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "the program around the world says how long it took"
)]
fn clock() -> Instant {
    Instant::now()
}

/// Runs the seeds on all cores and says which do not hold.
fn run(from: u64, to: u64) -> bool {
    let began = clock();
    let next = AtomicU64::new(from);
    let sum = Mutex::new(Sum::default());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let every = (to - from).div_ceil(PROGRESS_LINES).max(1);
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
                    if sum.seeds.is_multiple_of(every) && sum.seeds < to - from {
                        println!("{}", progress(&sum));
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().expect("no thread panics while it counts");
    let took = clock().saturating_duration_since(began);
    println!("{} in {:.1} s", progress(&sum), took.as_secs_f64());
    println!(
        "{} NOTIFY talk and hold, {} datagrams, {} faults of the network, {} of machines, {} full queues, {} forged datagrams, {} calls from site to site, {} pictures of calls as predicted",
        sum.controls,
        sum.datagrams,
        sum.faults,
        sum.mishaps,
        sum.overflows,
        sum.attacks,
        sum.forwarded,
        sum.compared
    );
    for (what, seeds) in &sum.violations {
        println!("\n{} seeds: {what}", seeds.len());
        for seed in seeds.iter().take(NAMED_MAX) {
            println!("    cargo xtask sim --replay {seed} --pcap {seed}.pcapng");
        }
    }
    let covered = to - from < COVERING_SEEDS || say_coverage(&sum.rows);
    sum.violations.is_empty() && covered
}

/// Names the rows of the state tables that were not reached although they should be, and the other way round: `false` when there are any.
fn say_coverage(reached: &BTreeSet<Row>) -> bool {
    let all = coverage::all();
    let mut held = true;
    let (mut rare, mut never) = (Vec::new(), 0);
    for row @ (machine, state, input) in &all {
        match (coverage::expected(row), reached.contains(row)) {
            (Expected::Always, false) => {
                println!("{machine}: {state}, {input}: not reached");
                held = false;
            }
            (Expected::Never(why), true) => {
                println!("{machine}: {state}, {input}: reached, though {why}");
                held = false;
            }
            (Expected::Never(_), false) => never += 1,
            (Expected::Rare(_), false) => rare.push(row),
            (_, true) => {}
        }
    }
    println!(
        "{} of {} rows of the state tables reached; of the others {never} are out of reach and {} need a rare coincidence",
        all.intersection(reached).count(),
        all.len(),
        rare.len(),
    );
    say_rare(&rare);
    held
}

/// Names the rare rows that this run did not reach, a line for each state.
fn say_rare(rows: &[&Row]) {
    let mut lines: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (machine, state, input) in rows {
        let line = lines.entry((machine, state)).or_default();
        line.push(input);
    }
    for ((machine, state), inputs) in lines {
        println!(
            "rare, not reached: {machine}: {state}: {}",
            inputs.join(" | ")
        );
    }
}

fn progress(sum: &Sum) -> String {
    let broken: usize = sum.violations.values().map(Vec::len).sum();
    format!(
        "{} seeds, {} calls, {} answered, {broken} violations",
        sum.seeds, sum.calls, sum.answered
    )
}

fn count(sum: &mut Sum, seed: u64, outcome: Result<Report, Box<Violation>>) {
    sum.seeds += 1;
    match outcome {
        Ok(report) => {
            sum.calls += report.calls;
            sum.answered += report.answered;
            sum.controls += report.controls;
            sum.datagrams += report.datagrams;
            sum.faults += report.faults;
            sum.mishaps += report.mishaps;
            sum.overflows += report.overflows;
            sum.attacks += report.attacks;
            sum.forwarded += report.forwarded;
            sum.compared += report.compared;
            sum.rows.extend(report.rows);
        }
        Err(violation) => {
            eprintln!("{violation}");
            let kind = kind(&violation.broken);
            let seeds = sum.violations.entry(kind).or_default();
            seeds.push(seed);
            seeds.sort_unstable();
        }
    }
}

/// A violation without what differs from seed to seed: its first words, numbers left out.
fn kind(broken: &str) -> String {
    let words = broken.chars().filter(|c| !c.is_ascii_digit());
    words.take(60).collect()
}

/// Runs one seed and prints everything that happens in it; Wireshark opens the file.
fn replay(seed: u64, file: Option<&Path>) -> bool {
    let (held, captured) = match sim::world::run(seed, true) {
        Ok(report) => {
            for line in &report.trace {
                println!("{line}");
            }
            println!(
                "seed {seed} holds: {} calls, {} answered, digest {:016x}",
                report.calls, report.answered, report.digest
            );
            (true, report.captured)
        }
        Err(violation) => {
            println!("{violation}");
            (false, violation.captured)
        }
    };
    file.is_none_or(|file| write(file, &captured)) && held
}

fn write(file: &Path, captured: &[Captured]) -> bool {
    match std::fs::write(file, sim::world::pcapng(captured)) {
        Ok(()) => {
            println!("{}: {} datagrams", file.display(), captured.len());
            true
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            false
        }
    }
}
