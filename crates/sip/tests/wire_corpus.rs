//! The seeds of the fuzzers, and whatever they once found, through the same bodies on stable.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

/// Runs `body` over every file of a folder, seen from this crate.
fn replay(folder: &str, body: impl Fn(&[u8])) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut count = 0;
    for entry in fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        body(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} has seeds", path.display());
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
