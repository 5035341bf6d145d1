//! The seeds of the fuzz target, and whatever it once found, through the same body on stable.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/control");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        control::fuzz(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 3, "{files} files");
}
