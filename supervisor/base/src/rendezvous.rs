//! Rendezvous hashing (Thaler and Ravishankar, 1998): each key goes to the place with the highest weight for it, so that a key
//! moves only when its own place comes or goes.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The weight of a place for a key.
#[inline]
pub fn weight(key: &str, place: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, place).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(key: &str, places: impl Iterator<Item = usize>) -> Option<usize> {
        places.max_by_key(|place| weight(key, place))
    }

    #[test]
    fn a_key_moves_only_when_its_own_place_goes() {
        for key in (0..200).map(|n| format!("key-{n}")) {
            let before = place_of(&key, 0..5);
            let after = place_of(&key, (0..5).filter(|place| *place != 3));
            assert!(before == after || before == Some(3), "{key}");
        }
    }
}
