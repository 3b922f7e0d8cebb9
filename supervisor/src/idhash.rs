//! A hasher for keys that are spread already: ids that this node counted out itself, and `TypeId`s.

use std::hash::Hasher;

/// Spreads a number by one multiplication (Fibonacci hashing).
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }

    fn write_u64(&mut self, value: u64) {
        // The upper bits tell entries of one bucket apart; a count has none.
        self.0 ^= value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
