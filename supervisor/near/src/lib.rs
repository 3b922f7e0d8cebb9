//! The near cache: a copy in this node of values that other capabilities own.
//!
//! # Promises
//!
//! The cache is best effort, and correctness never rests on it: a value that must be exact (a price that is charged) is asked
//! from its owner.
//!
//! - **Staleness.** A value is served for at most `near.ttl_ms` after the moment its load *began*. That bound holds
//!   even when an invalidation is lost on the wire; when it is not lost, the value goes when the invalidation arrives.
//! - **Generations.** A load that began before an invalidation of its key is answered to the readers that already waited for
//!   it, and never kept. A reader that comes after the invalidation loads anew.
//! - **Single flight.** Concurrent misses of one key wait for one load. A load that fails fails for its own reader only:
//!   the readers that waited for it then load for themselves, at the same time, as they would have done without a cache. A
//!   load that is cancelled (its reader was dropped, or panicked) is taken over by one of those that waited.
//! - **Gaps.** After a gap in the wire invalidations may have been missed, so all entries are dropped.
//!
//! So a writer commits first and invalidates then; the other way round, a reader between the two keeps the old value.
//!
//! **Exact entries.** Where one process alone can change what an entry says, it can be exact: the writer bars the key
//! before its commit can be seen and lifts the bar when the outcome is certain, and until then every reader asks the owner
//! (`Tx::outdates`). A reader may rely on it only where `Client::is_sole_host_of`, asked before the entry is read, says so.
//!
//! # Layout
//!
//! - [`Near`]: the cache, within its [`NearBounds`]; [`Bar`]: keeps a key out of it.
//! - `entries.rs`: what is cached, with the feature `cache`; without it a value is loaded at each read, and readers that come
//!   meanwhile still share one load. `single_flight.rs`: running loads and generations; `key.rs`: names of entries, and their hashes.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use essaim_base::{Env, codec};

#[cfg(feature = "cache")]
mod entries;
#[cfg(not(feature = "cache"))]
#[path = "no_entries.rs"]
mod entries;
use entries::Entries;

mod single_flight;
use single_flight::{Joined, LoadEnd, SingleFlight};

mod key;
use key::{Key, Seeded};

/// The wire name of the invalidation of one key in every node; its body is an [`Invalidation`].
const INVALIDATE: &str = "essaim.near-invalidate.v1";

/// This node's cache. Cheap to clone; clones share one cache.
#[derive(Clone)]
pub struct Near {
    inner: Arc<Inner>,
    /// Absent where there are no other nodes.
    broadcast: Option<Arc<BroadcastFn>>,
}

struct Inner {
    entries: Entries,
    loads: SingleFlight,
    ttl: Duration,
    env: Env,
    counts: Counts,
    said_undecodable: AtomicBool,
}

/// A bar on a key: while it lives the key is not cached, since its value is about to change.
pub struct Bar {
    inner: Arc<Inner>,
    key: Key,
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.inner.loads.lift(&self.key);
    }
}

/// Sends a broadcast, given its wire name and body, to every other node.
type BroadcastFn = dyn Fn(&str, Vec<u8>) + Send + Sync;

#[derive(Clone)]
struct NearEntry {
    value: Bytes,
    /// The beginning of its load; the value is at least as new.
    since: Instant,
    /// The number of flushes at the beginning of its load.
    flushes: u64,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    loads: AtomicU64,
    invalidations: AtomicU64,
    flushes: AtomicU64,
}

/// The counts of the near cache of one node since the process began, for `/status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NearFigures {
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Loads that ran; fewer than misses where several waited for one.
    pub loads: u64,
    /// Entries kept now.
    pub entries: u64,
    /// Their weight, in bytes; at most `near.max_bytes`.
    pub bytes: u64,
    /// Invalidations, from this node and from others.
    pub invalidations: u64,
    /// Times that all entries were dropped.
    pub flushes: u64,
}

/// `essaim.near-invalidate.v1` on the wire.
#[derive(Serialize, Deserialize)]
struct Invalidation {
    ns: String,
    key: String,
}

/// The bounds of a near cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearBounds {
    /// How long an entry is served, from the beginning of its load.
    pub ttl: Duration,
    /// The most bytes that all entries weigh.
    pub max_bytes: u64,
}

/// The most bytes of a cache apart.
const APART_BYTES: u64 = 1 << 20;

impl Near {
    /// An empty cache.
    pub fn new(bounds: NearBounds, env: Env) -> Self {
        let seeded = Seeded(env.random());
        let inner = Inner {
            entries: Entries::new(bounds, seeded, &env),
            loads: SingleFlight::new(seeded),
            ttl: bounds.ttl,
            env,
            counts: Counts::default(),
            said_undecodable: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner), broadcast: None }
    }

    /// An empty cache apart from this one, of which nobody hears: for a handler whose doings are not to remain.
    pub fn apart(&self) -> Self {
        Self::new(NearBounds { ttl: self.inner.ttl, max_bytes: APART_BYTES }, self.inner.env.clone())
    }

    /// This cache, which tells the other nodes of its invalidations by a broadcast, given its wire name and body.
    pub fn broadcasting(self, broadcast: impl Fn(&str, Vec<u8>) + Send + Sync + 'static) -> Self {
        Self { broadcast: Some(Arc::new(broadcast)), ..self }
    }

    /// The value of a key, if the cache has a fresh one.
    ///
    /// `ns` is the namespace: a name that one capability alone uses, such as `catalog.product`.
    pub fn get(&self, ns: &str, key: &str) -> Option<Bytes> {
        self.inner.read(&Key::new(ns, key))
    }

    /// The value of a key, loaded if the cache has no fresh one; see the promises above.
    ///
    /// # Errors
    /// Those of `load`; an error is never cached.
    pub async fn get_with<E>(
        &self,
        ns: &str,
        key: &str,
        load: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Bytes, E> {
        let inner = &*self.inner;
        let key = Key::new(ns, key);
        if let Some(value) = inner.read(&key) {
            return Ok(value);
        }
        let ticket = loop {
            // A load that has ended since the look at the cache has left its value there; `join` looks again.
            match inner.loads.join(&key, || inner.fresh(&key)) {
                Joined::Landed(value) => return Ok(value),
                Joined::Waiting(load) => match load.end().await {
                    LoadEnd::Value(value) => return Ok(value),
                    LoadEnd::Failed => break inner.loads.alone(&key),
                    LoadEnd::Abandoned => {}
                },
                Joined::Leading(ticket) => break ticket,
            }
        };
        let (since, flushes) = (inner.env.now(), inner.counts.flushes.load(Ordering::Acquire));
        inner.counts.loads.fetch_add(1, Ordering::Relaxed);
        match load.await {
            Ok(value) => {
                let entry = NearEntry { value: value.clone(), since, flushes };
                ticket.land(value.clone(), || inner.keep(key, entry));
                Ok(value)
            }
            Err(error) => {
                ticket.fail();
                Err(error)
            }
        }
    }

    /// Caches a value in this node. The value of a running load of the key is not kept after this.
    ///
    /// The value must not be a small slice of a large buffer: the buffer would stay in memory, and only the slice would
    /// be counted.
    pub fn put(&self, ns: &str, key: &str, value: Bytes) {
        let inner = &*self.inner;
        let key = Key::new(ns, key);
        let entry = NearEntry { value, since: inner.env.now(), flushes: inner.counts.flushes.load(Ordering::Acquire) };
        inner.loads.outdate(&key.clone(), || inner.keep(key, entry));
    }

    /// Drops a key here at once, and in every other node as soon as the broadcast arrives.
    ///
    /// Call it after the commit: a load between the two would see, and keep, the value that is about to change.
    pub fn invalidate(&self, ns: &str, key: &str) {
        self.inner.forget(ns, key);
        let Some(broadcast) = &self.broadcast else { return };
        match codec::encode(&Invalidation { ns: ns.into(), key: key.into() }) {
            Ok(body) => broadcast(INVALIDATE, body),
            Err(error) => tracing::error!(%error, "an invalidation cannot be encoded"),
        }
    }

    /// Drops all entries here, because invalidations may have been missed.
    pub fn flush(&self) {
        let inner = &*self.inner;
        // The count rises first: an entry of a running load is recognized by the old count.
        inner.counts.flushes.fetch_add(1, Ordering::AcqRel);
        inner.loads.outdate_all();
        inner.entries.clear();
    }

    /// Drops a key in this node and keeps no value of it until the bar is dropped.
    pub fn bar(&self, ns: &str, key: &str) -> Bar {
        let (inner, key) = (self.inner.clone(), Key::new(ns, key));
        inner.counts.invalidations.fetch_add(1, Ordering::Relaxed);
        inner.loads.bar(&key, || inner.entries.remove(&key));
        Bar { inner, key }
    }

    /// The counts of the cache.
    pub fn figures(&self) -> NearFigures {
        let inner = &*self.inner;
        let (entries, bytes) = inner.entries.count();
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        NearFigures {
            hits: read(&inner.counts.hits),
            misses: read(&inner.counts.misses),
            loads: read(&inner.counts.loads),
            entries,
            bytes,
            invalidations: read(&inner.counts.invalidations),
            flushes: read(&inner.counts.flushes),
        }
    }

    /// Handles an invalidation from another node; false if the broadcast is not for the near cache.
    pub fn hear(&self, name: &str, body: &[u8]) -> bool {
        if name != INVALIDATE {
            return false;
        }
        match codec::decode::<Invalidation>(body) {
            Ok(invalidation) => self.inner.forget(&invalidation.ns, &invalidation.key),
            Err(error) => {
                // Which key has changed is not known: only dropping all of them is safe.
                if !self.inner.said_undecodable.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "an invalidation cannot be read: everything is forgotten; said once");
                }
                self.flush();
            }
        }
        true
    }
}

impl Inner {
    fn read(&self, key: &Key) -> Option<Bytes> {
        let found = self.fresh(key);
        let count = if found.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn fresh(&self, key: &Key) -> Option<Bytes> {
        let entry = self.entries.get(key)?;
        let fresh = self.env.now().saturating_duration_since(entry.since) < self.ttl
            && entry.flushes == self.counts.flushes.load(Ordering::Acquire);
        fresh.then_some(entry.value)
    }

    fn keep(&self, key: Key, entry: NearEntry) {
        if !self.ttl.is_zero() {
            self.entries.insert(key, entry);
        }
    }

    fn forget(&self, ns: &str, key: &str) {
        let key = Key::new(ns, key);
        self.counts.invalidations.fetch_add(1, Ordering::Relaxed);
        self.loads.outdate(&key, || self.entries.remove(&key));
    }
}

#[cfg(feature = "cache")]
#[cfg(test)]
mod tests;
