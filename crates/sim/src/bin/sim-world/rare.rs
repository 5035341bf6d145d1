//! Looks for seeds that reach the rows of the state tables that few seeds reach, and keeps them in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use sim::world::FURTHER;
use sim::world::coverage::{self, Row};

use super::{COVERING_SEEDS, progress, run_all};

/// A row that fewer of every merge's seeds reach has a seed kept for it: any change of the world moves what happens in which seed.
const FEW: usize = 6;

/// Of the storms from `FURTHER` on so many are looked through for each seed below `count`: one in so many.
const FURTHER_SHARE: u64 = 10;

const HEAD: &str = "\
# For each row of the state tables that few seeds reach: machine | state | input | a seed that reaches it, or ? where none is known.
# Written by: cargo xtask sim --rare
";

/// Runs the seeds below `count`, and those that are kept, and writes down which of them to keep; `false` when a row has none.
pub(crate) fn look_for_seeds(count: u64, file: &Path) -> bool {
    let kept = coverage::kept();
    let beside = kept.iter().filter_map(|(_, seed)| *seed);
    let beside: BTreeSet<u64> = beside.filter(|seed| *seed >= count).collect();
    // Those of every merge first: what they reach often enough needs no seed of its own. Of the others those that are bent on something, and
    // those whose transactions have tables of their own.
    let apart = |seed: &u64| sim::world::is_storm(*seed) || sim::world::is_by_stream(*seed);
    let others = (COVERING_SEEDS..count).filter(apart);
    let further = FURTHER..FURTHER + count / FURTHER_SHARE;
    let beside = beside.into_iter().filter(|seed| !further.contains(seed));
    let seeds = (0..COVERING_SEEDS).chain(others).chain(further.clone());
    let seeds: Vec<u64> = seeds.chain(beside).collect();
    let reached: Mutex<BTreeMap<Row, Vec<u64>>> = Mutex::default();
    let sum = run_all(&seeds, |seed, report| {
        let mut reached = reached.lock().expect("no thread panics while it counts");
        for row in &report.rows {
            let by = reached.entry(row.clone()).or_default();
            // Enough to choose from, and all that count.
            if by.len() < 100 || seed < COVERING_SEEDS {
                by.push(seed);
            }
        }
    });
    println!("{}", progress(&sum));
    let reached = reached
        .into_inner()
        .expect("no thread panics while it counts");
    let mut missed = Vec::new();
    let mut open: BTreeMap<Row, Vec<u64>> = BTreeMap::new();
    for row in coverage::all() {
        let by = reached.get(&row).map_or(&[][..], Vec::as_slice);
        let (machine, state, input) = &row;
        match coverage::unreachable(&row) {
            Some(why) => {
                if let Some(seed) = by.first() {
                    println!("{machine}: {state}, {input}: seed {seed} reaches it, though {why}");
                }
            }
            None if by.is_empty() => {
                println!("{machine}: {state}, {input}: no seed below {count} reaches it");
                missed.push(row);
            }
            None if by.iter().filter(|seed| **seed < COVERING_SEEDS).count() < FEW => {
                open.insert(row, by.to_vec());
            }
            None => {}
        }
    }
    let chosen = choose(open);
    let mut text = HEAD.to_owned();
    for ((machine, state, input), seed) in &chosen {
        let _ = writeln!(text, "{machine} | {state} | {input} | {seed}");
    }
    for (machine, state, input) in &missed {
        let _ = writeln!(text, "{machine} | {state} | {input} | ?");
    }
    let seeds: BTreeSet<u64> = chosen.values().copied().collect();
    println!("{} rows have one of {} seeds", chosen.len(), seeds.len());
    if let Err(error) = std::fs::write(file, text) {
        println!("{}: {error}", file.display());
        return false;
    }
    missed.is_empty()
}

/// As few seeds as come by taking the one that reaches the most rows, again and again.
fn choose(mut open: BTreeMap<Row, Vec<u64>>) -> BTreeMap<Row, u64> {
    let mut chosen = BTreeMap::new();
    while !open.is_empty() {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for seed in open.values().flatten() {
            *counts.entry(*seed).or_default() += 1;
        }
        let most = counts
            .into_iter()
            .max_by_key(|(seed, count)| (*count, u64::MAX - seed));
        let Some((best, _)) = most else { break };
        open.retain(|row, by| {
            let here = by.contains(&best);
            if here {
                chosen.insert(row.clone(), best);
            }
            !here
        });
    }
    chosen
}
