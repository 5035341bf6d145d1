//! The seeds of the fuzzers, and whatever they once found, through the same bodies on stable.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

/// Mutations of each seed that every test run tries; a fuzzer tries millions.
const MUTATIONS: u64 = 300;

/// Runs `body` over every file of a folder, seen from this crate, and over mutations of it.
fn replay(folder: &str, body: impl Fn(&[u8])) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut count = 0;
    for entry in fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        body(&seed);
        for nth in 0..MUTATIONS {
            body(&mutated(&seed, nth));
        }
        count += 1;
    }
    assert!(count > 0, "{} has seeds", path.display());
}

/// A few octets of the seed are changed, doubled or cut out; which ones depends on `nth` alone.
fn mutated(seed: &[u8], nth: u64) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\r\n \t\"\\<>;:,=@%?&()[]*0019azA\xff\x80";
    let mut state = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut chance = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    let mut octets = seed.to_vec();
    for _ in 0..=chance(4) {
        let at = chance(octets.len() + 1);
        let end = (at + 1 + chance(8)).min(octets.len());
        match chance(4) {
            0 => octets.insert(at, TELLING[chance(TELLING.len())]),
            1 if at < octets.len() => octets[at] = TELLING[chance(TELLING.len())],
            2 if at < end => drop(octets.drain(at..end)),
            _ if at < end => {
                let twice = octets[at..end].to_vec();
                octets.splice(at..at, twice);
            }
            _ => {}
        }
    }
    octets
}

#[test]
fn messages() {
    for folder in ["sip-server", "rfc4475", "rfc5118"] {
        replay(&format!("tests/data/{folder}"), sip::fuzz::message);
    }
    replay("../../fuzz/corpus/sip_message", sip::fuzz::message);
}

#[test]
fn streams() {
    replay("../../fuzz/corpus/sip_stream", sip::fuzz::stream);
}

#[test]
fn challenges() {
    replay("../../fuzz/corpus/sip_digest", sip::fuzz::digest);
}

#[test]
fn uris() {
    replay("../../fuzz/corpus/sip_uri", sip::fuzz::uri);
}

#[test]
fn values() {
    replay("../../fuzz/corpus/sip_value", sip::fuzz::value);
}

#[test]
fn bodies() {
    replay("../../fuzz/corpus/sip_body", sip::fuzz::bodies);
}
