//! Seeds of the simulated world.

#![allow(clippy::unwrap_used)]

/// Enough seeds for every merge; `cargo xtask sim` runs as many as one likes.
const SEEDS: u64 = 300;

/// Whatever agents, customers, desktops and the network do: no invariant breaks.
#[test]
fn seeds_hold() {
    let mut calls = 0;
    let mut answered = 0;
    for seed in 0..SEEDS {
        match sim::world::run(seed, false) {
            Ok(report) => {
                calls += report.calls;
                answered += report.answered;
            }
            Err(violation) => panic!("{violation}\nreplay: cargo xtask sim --replay {seed}"),
        }
    }
    // A world in which nobody talks proves nothing.
    assert!(
        calls > 2_000 && answered > 500,
        "{calls} calls, {answered} answered"
    );
}

/// One seed twice is one and the same run, to the byte.
#[test]
fn a_seed_repeats() {
    let [first, second] = [1, 1].map(|_| sim::world::run(4, true));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.trace, second.trace);
    assert_eq!(first, second);
    assert!(!first.trace.is_empty());
}
