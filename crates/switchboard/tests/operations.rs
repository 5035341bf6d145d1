//! Anything that can happen, in any order: the seeds of the fuzzer, and sequences made by chance, on stable.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;
use std::time::Instant;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// Sequences for every merge; the fuzzer runs as many as one likes.
const SEQUENCES: u64 = 250;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/operations");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        switchboard::fuzz::operations(Instant::now(), &data);
        files += 1;
    }
    assert!(files >= 5, "{files} files");
}

/// Whatever pages, SIP Server, media workers and operators do: no invariant breaks.
#[test]
fn any_order_of_anything_holds() {
    let base = Instant::now();
    let mut broken = Vec::new();
    for seed in 0..SEQUENCES {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut data = vec![0; rng.random_range(20..400)];
        rng.fill_bytes(&mut data);
        if std::panic::catch_unwind(|| switchboard::fuzz::operations(base, &data)).is_err() {
            broken.push(seed);
        }
    }
    assert!(broken.is_empty(), "sequences that do not hold: {broken:?}");
}
