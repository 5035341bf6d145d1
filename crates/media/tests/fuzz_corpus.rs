//! The corpus of the fuzz target, and operations made by chance, on the stable compiler.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;
use std::time::Instant;

use proptest::prelude::*;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/rtp");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        media::fuzz(
            Instant::now(),
            &std::fs::read(entry.unwrap().path()).unwrap(),
        );
        files += 1;
    }
    assert!(files >= 5, "{files} files");
}

/// An operation with a datagram that is nearly RTP, so that more than the header check is reached.
fn operation() -> impl Strategy<Value = Vec<u8>> {
    let rtp = (
        prop::sample::select(vec![0_u8, 8, 13, 101, 126]),
        0_u16..40,
        any::<u8>(),
        0_u32..3,
    )
        .prop_map(|(payload_type, sequence, octet, ssrc)| {
            let mut bytes = vec![0x80, payload_type];
            bytes.extend(sequence.wrapping_mul(97).to_be_bytes());
            bytes.extend((u32::from(sequence) * 160).to_be_bytes());
            bytes.extend(ssrc.to_be_bytes());
            bytes.extend([octet % 18, octet, 0, 160]);
            bytes
        });
    let noise = proptest::collection::vec(any::<u8>(), 0..60);
    (0_u8..4, prop_oneof![rtp, noise]).prop_map(|(kind, datagram)| {
        let mut bytes = vec![kind, datagram.len() as u8];
        bytes.extend(datagram);
        bytes
    })
}

proptest! {
    #[test]
    fn any_order_of_anything_holds(operations in proptest::collection::vec(operation(), 0..150)) {
        media::fuzz(Instant::now(), &operations.concat());
    }
}
