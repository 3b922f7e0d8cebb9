//! Duplicate asks: ids of one sender's asks that were seen, so that a repeated frame runs nothing twice.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasherDefault;

use essaim_base::idhash::IdHasher;

/// The ids of the last asks of one epoch of one sender.
pub struct SeenIds {
    ids: HashSet<u64, BuildHasherDefault<IdHasher>>,
    /// The ids, oldest first. Bounded by `remembered`.
    oldest_first: VecDeque<u64>,
    remembered: usize,
}

impl SeenIds {
    /// So many ids are remembered (`wire.duplicate_ids`).
    pub fn new(remembered: usize) -> Self {
        Self { ids: HashSet::default(), oldest_first: VecDeque::new(), remembered }
    }

    /// Records the id of an ask, and says whether it is new.
    pub fn record(&mut self, id: u64) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.oldest_first.push_back(id);
        if self.oldest_first.len() > self.remembered
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
        debug_assert_eq!(self.ids.len(), self.oldest_first.len());
        debug_assert!(self.oldest_first.len() <= self.remembered);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_id_is_seen_for_as_long_as_it_is_remembered() {
        let mut seen = SeenIds::new(2);
        assert!(seen.record(1) && seen.record(2));
        assert!(!seen.record(1));
        assert!(seen.record(3), "the oldest is forgotten");
        assert!(!seen.record(3) && !seen.record(2));
        assert!(seen.record(1));
    }
}
