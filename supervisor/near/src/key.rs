//! Names of entries, and their hashes.

use std::hash::{BuildHasher, DefaultHasher, Hasher};

/// A namespace and a key within it, in one allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    both: Box<str>,
    /// The length of the namespace, so that no two pairs are equal.
    split: usize,
}

impl Key {
    pub fn new(ns: &str, key: &str) -> Self {
        let mut both = String::with_capacity(ns.len() + key.len());
        both.push_str(ns);
        both.push_str(key);
        Self { both: both.into(), split: ns.len() }
    }

    /// Its length in bytes.
    #[cfg(feature = "cache")]
    pub fn len(&self) -> usize {
        self.both.len()
    }
}

/// SipHash with a random prefix from the environment: clients that choose keys cannot aim them at one bucket, and a simulation
/// hashes alike each time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeded(pub u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_and_key_do_not_run_into_each_other() {
        assert_ne!(Key::new("ab", "c"), Key::new("a", "bc"));
        let hash = |key| Seeded(1).hash_one(key);
        assert_ne!(hash(Key::new("ab", "c")), hash(Key::new("a", "bc")));
    }
}
