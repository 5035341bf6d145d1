//! Runs seeds of the simulated world: what `cargo xtask sim` starts.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command says what it found"
)]

mod rare;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use sim::world::coverage::{self, Row};
use sim::world::{Captured, Report, Violation};

const USAGE: &str =
    "usage: sim-world run FROM COUNT | sim-world replay SEED [PCAP] | sim-world rare COUNT FILE";

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
        ["rare", count, file] => {
            numbers([count]).map(|[count]| rare::look_for_seeds(count, Path::new(file)))
        }
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

/// Runs the seeds on all cores and says which do not hold. Enough of them reach every row of the state tables, together with those that are
/// kept for the rows that few seeds reach.
fn run(from: u64, to: u64) -> bool {
    let began = clock();
    let covering = to - from >= COVERING_SEEDS;
    let kept: BTreeSet<u64> = coverage::kept()
        .into_iter()
        .filter_map(|(_, seed)| seed)
        .collect();
    let beside = kept
        .into_iter()
        .filter(|seed| covering && !(from..to).contains(seed));
    let seeds: Vec<u64> = (from..to).chain(beside).collect();
    let sought = sought();
    let sum = run_all(&seeds, |seed, report| {
        for (machine, state, input) in report.rows.intersection(&sought) {
            println!(
                "{machine}: {state}, {input}: seed {seed} reaches it, for which none was known"
            );
        }
    });
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
    let covered = !covering || say_coverage(&sum.rows);
    sum.violations.is_empty() && covered
}

/// Runs the seeds on all cores; `each` is told what each of them reached.
fn run_all(seeds: &[u64], each: impl Fn(u64, &Report) + Sync) -> Sum {
    let next = AtomicUsize::new(0);
    let sum = Mutex::new(Sum::default());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let all = seeds.len() as u64;
    let every = all.div_ceil(PROGRESS_LINES).max(1);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = sim::world::run(seed, false);
                    let mut sum = sum.lock().expect("no thread panics while it counts");
                    if let Ok(report) = &outcome {
                        each(seed, report);
                    }
                    count(&mut sum, seed, outcome);
                    if sum.seeds.is_multiple_of(every) && sum.seeds < all {
                        println!("{}", progress(&sum));
                    }
                }
            });
        }
    });
    sum.into_inner().expect("no thread panics while it counts")
}

/// The rows for which no seed is known.
fn sought() -> BTreeSet<Row> {
    let kept = coverage::kept().into_iter();
    let sought = kept.filter(|(_, seed)| seed.is_none());
    sought.map(|(row, _)| row).collect()
}

/// Names the rows of the state tables that were not reached although they should be, and the other way round: `false` when there are any.
fn say_coverage(reached: &BTreeSet<Row>) -> bool {
    let all = coverage::all();
    let sought = sought();
    let (mut missed, mut never, mut belied, mut unknown) = (0, 0, 0, 0);
    for row @ (machine, state, input) in &all {
        match (coverage::unreachable(row), reached.contains(row)) {
            (None, false) if sought.contains(row) => {
                println!("{machine}: {state}, {input}: within reach, and no seed is known");
                unknown += 1;
            }
            (None, false) => {
                println!("{machine}: {state}, {input}: not reached");
                missed += 1;
            }
            (Some(why), true) => {
                println!("{machine}: {state}, {input}: reached, though {why}");
                belied += 1;
            }
            (Some(_), false) => never += 1,
            (None, true) => {}
        }
    }
    println!(
        "{} of {} rows of the state tables reached; of the others {never} are out of reach, and for {unknown} no seed is known",
        all.intersection(reached).count(),
        all.len(),
    );
    if missed > 0 {
        println!("cargo xtask sim --rare looks for seeds that reach what was missed");
    }
    missed + belied == 0
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

/// A violation without what differs from seed to seed: its first words, names and numbers left out.
fn kind(broken: &str) -> String {
    let named = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    let words: Vec<&str> = broken.split_whitespace().filter(named).collect();
    words.join(" ").chars().take(60).collect()
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
