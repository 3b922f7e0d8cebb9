//! The absence of cached values, in a binary that was built without the cache: every read is a load.

use essaim_base::Env;

use crate::key::{Key, Seeded};
use crate::{NearBounds, NearEntry};

/// No entries.
pub(super) struct Entries;

impl Entries {
    pub fn new(_: NearBounds, _: Seeded, _: &Env) -> Self {
        Self
    }

    pub fn get(&self, _: &Key) -> Option<NearEntry> {
        None
    }

    pub fn insert(&self, _: Key, _: NearEntry) {}

    pub fn remove(&self, _: &Key) {}

    pub fn clear(&self) {}

    pub fn count(&self) -> (u64, u64) {
        (0, 0)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::Near;

    #[tokio::test]
    async fn readers_that_come_together_share_a_load_and_the_next_one_loads_again() {
        let near = Near::new(NearBounds { ttl: Duration::from_secs(9), max_bytes: 1 << 20 }, Env::system());
        let loads = Cell::new(0);
        let load = || async {
            loads.set(loads.get() + 1);
            tokio::task::yield_now().await;
            Ok::<_, ()>(Bytes::from_static(b"v"))
        };
        let (first, second) = tokio::join!(near.get_with("ns", "k", load()), near.get_with("ns", "k", load()));
        assert_eq!((first, second, loads.get()), (Ok("v".into()), Ok("v".into()), 1));
        near.put("ns", "k", Bytes::from_static(b"w"));
        assert_eq!(near.get("ns", "k"), None);
        assert_eq!((near.get_with("ns", "k", load()).await, loads.get()), (Ok("v".into()), 2));
    }
}
