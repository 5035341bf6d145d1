//! The same octets through our parser, `rsip` and `rvoip-sip-core`: where they disagree about what
//! is a message, or about what it says, the difference is known and has a reason, or it is a fault.
//!
//! `rvoip-sip-core` prints some of what it reads; that noise is not ours.
#![allow(clippy::unwrap_used)]

mod differential {
    pub(crate) mod known;
    pub(crate) mod mutate;
    pub(crate) mod view;
}

use std::collections::BTreeMap;

use differential::{
    known::{self, KNOWN},
    mutate::Mutator,
    view::{Difference, Peer, View},
};

/// Inputs that are tried; each costs about 0.3 ms in a debug build.
const INPUTS: usize = 4000;

#[test]
fn disagreements_are_known() {
    let mut mutator = Mutator::new([0x5f; 32]);
    let mut seen = vec![0_usize; KNOWN.len()];
    let mut unknown: BTreeMap<String, (usize, Vec<u8>)> = BTreeMap::new();
    let mut agreed = 0_usize;
    for _ in 0..INPUTS {
        let input = mutator.next_input();
        let ours = View::ours(&input.octets);
        for peer in [Peer::Rsip, Peer::Rvoip] {
            let Some(difference) = Difference::between(&ours, &peer.view(&input.octets)) else {
                agreed += 1;
                continue;
            };
            match known::explain(peer, &difference, &input.octets) {
                Some(index) => seen[index] += 1,
                None => {
                    let key = format!("{peer:?} {difference:?}");
                    let entry = unknown.entry(key).or_insert((0, input.octets.clone()));
                    entry.0 += 1;
                }
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "unknown differences:\n{}",
        unknown
            .iter()
            .map(|(key, (count, sample))| format!("{count:5} {key}\n{}\n", sample.escape_ascii()))
            .collect::<String>()
    );
    assert!(
        agreed > INPUTS / 2,
        "the parsers agree about {agreed} readings only"
    );
    let stale: Vec<_> = KNOWN
        .iter()
        .zip(&seen)
        .filter(|(_, count)| **count == 0)
        .map(|(k, _)| k.reason)
        .collect();
    assert!(
        stale.is_empty(),
        "no input shows these differences any more: {stale:#?}"
    );
}
