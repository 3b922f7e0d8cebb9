//! The cached values, in moka's concurrent cache.

use essaim_base::Env;
use moka::sync::Cache;

use crate::key::{Key, Seeded};
use crate::{NearBounds, NearEntry};

/// The weight of an entry beside its key and value, in bytes: the cache's own nodes and links, rounded up.
const ENTRY_OVERHEAD: usize = 128;

/// The entries of one node, within the bounds.
pub(super) struct Entries {
    cache: Cache<Key, NearEntry, Seeded>,
    max_bytes: u64,
}

impl Entries {
    pub fn new(bounds: NearBounds, seeded: Seeded, env: &Env) -> Self {
        let NearBounds { ttl, max_bytes } = bounds;
        let mut cache = Cache::builder().max_capacity(max_bytes).weigher(weight);
        if !env.is_simulated() {
            // Freshness is judged by `Env`'s clock at each read; moka's own clock only gives memory back sooner.
            cache = cache.time_to_live(ttl);
        }
        Self { cache: cache.build_with_hasher(seeded), max_bytes }
    }

    pub fn get(&self, key: &Key) -> Option<NearEntry> {
        self.cache.get(key)
    }

    pub fn insert(&self, key: Key, entry: NearEntry) {
        // moka would take an entry that is larger than the whole cache, and drop it some time later.
        if u64::from(weight(&key, &entry)) <= self.max_bytes {
            self.cache.insert(key, entry);
        }
    }

    pub fn remove(&self, key: &Key) {
        self.cache.invalidate(key);
    }

    pub fn clear(&self) {
        self.cache.invalidate_all();
    }

    /// The number of entries, and their weight in bytes.
    pub fn count(&self) -> (u64, u64) {
        // moka counts lazily; the counts should not be lower than the truth.
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }
}

/// The weight of an entry, which counts towards [`NearBounds::max_bytes`].
fn weight(key: &Key, entry: &NearEntry) -> u32 {
    u32::try_from(key.len() + entry.value.len() + ENTRY_OVERHEAD).unwrap_or(u32::MAX)
}
