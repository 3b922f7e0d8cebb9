//! A hasher for keys that nobody else can choose: ids that this node has counted itself, and `TypeId`s.

use std::hash::Hasher;

/// Spreads a number by one multiplication (Fibonacci hashing).
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        // A hash table tells the entries of one bucket apart by the upper bits, which are all 0 in a count.
        self.0 ^= value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
