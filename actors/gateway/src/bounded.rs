//! A map that forgets what was not used for longest.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map of at most `limit` entries. Two halves take turns: when the young one is full it becomes the old one, and what
/// was in the old one and not used since is forgotten. That is nearly least-recently-used, and costs no list.
pub(crate) struct Bounded<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    /// An empty map of at most `limit` entries, and at least two.
    pub fn new(limit: usize) -> Self {
        Self { half: (limit / 2).max(1), young: HashMap::new(), old: HashMap::new() }
    }

    /// The value of a key, which counts as a use of it.
    pub fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// Remembers a value.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Forgets a key.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut map = Bounded::new(10);
        map.insert("kept".to_string(), 0);
        for i in 0..1_000 {
            map.insert(i.to_string(), i);
            assert_eq!(map.get("kept"), Some(&mut 0));
            assert!(map.len() <= 10);
        }
        assert_eq!(map.get("1"), None);
        map.remove("kept");
        assert_eq!(map.get("kept"), None);
    }
}
