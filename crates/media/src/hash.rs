//! A cheap hash for keys that no stranger can choose.
//!
//! Keys are ids that we count ourselves, ICE user fragments that we draw, and addresses that passed an authenticated
//! check, so a keyed hash would buy nothing; and a fixed one keeps runs repeatable.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with the cheap hash.
pub(crate) type CheapMap<K, V> = HashMap<K, V, BuildHasherDefault<MixHasher>>;

/// Multiply and rotate, word by word.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MixHasher(u64);

/// An odd constant with well-spread bits (the golden ratio in 64 bits).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl MixHasher {
    const fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(SPREAD);
    }
}

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        // The table looks at the top and the bottom bits; a multiplication leaves the bottom ones poor.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}
