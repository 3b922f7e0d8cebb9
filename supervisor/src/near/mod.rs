//! The near cache: what this node remembers of what others own.
//!
//! # Promises
//!
//! The cache is best effort, and correctness never rests on it: what must be exact (a price that is charged) is asked
//! from its owner.
//!
//! - **Staleness.** A value is served for at most `near.ttl_ms` after the moment its load *began*. That bound holds
//!   even when an invalidation is lost on the wire; when it is not lost, the value goes when the invalidation arrives.
//! - **Generations.** A load that began before an invalidation of its key is answered to those who already waited for
//!   it, and never kept. Whoever starts after the invalidation loads anew.
//! - **One flight.** Concurrent misses of one key wait for one load. A load that fails fails for its own caller only:
//!   those who waited for it then load for themselves, at the same time, as they would have done without a cache. A
//!   load that is cancelled (its caller was dropped, or panicked) is taken over by one of those who waited.
//! - **Gaps.** After a gap in the wire invalidations may have been missed, so everything is forgotten.
//!
//! So a writer commits first and invalidates then; the other way round, a reader between the two keeps the old value.
//!
//! **Exact entries.** Where one process alone can change what an entry says, it can be exact: the writer bars the key
//! before its commit can be seen and lifts the bar when the outcome is certain, and until then everybody asks the owner
//! ([`Tx::outdates`](crate::store::Tx::outdates)). A reader may rely on it only where
//! [`Client::is_sole_host_of`](crate::Client::is_sole_host_of) says so, asked before the entry is read.
//!
//! # Layout
//!
//! - `mod.rs`: the cache; `flight.rs`: loads under way and generations; `key.rs`: names of entries, and their hashes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::NearConfig;
use crate::{Env, codec};

mod flight;
use flight::{Flights, Joined, Landing};

mod key;
use key::{Key, Seeded};

/// The wire name of the invalidation of one key in every node; its body is an [`Invalidation`].
const INVALIDATE: &str = "essaim.near-invalidate.v1";

/// What an entry weighs beside its key and value, in bytes: the cache's own nodes and links, rounded up.
const ENTRY_OVERHEAD: usize = 128;

/// This node's cache. Cheap to clone; clones share one cache.
#[derive(Clone)]
pub struct Near {
    inner: Arc<Inner>,
}

struct Inner {
    cache: Cache<Key, Entry, Seeded>,
    flights: Flights,
    ttl: Duration,
    max_bytes: u64,
    env: Env,
    counts: Counts,
    outlet: OnceLock<Outlet>,
    said_undecodable: AtomicBool,
}

/// While it lives, reads of a key are answered by its owner alone: what it says is about to change.
pub(crate) struct Bar {
    inner: Arc<Inner>,
    key: Key,
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.inner.flights.lift(&self.key);
    }
}

/// Sends a broadcast, given its wire name and body, to every other node.
type Outlet = Box<dyn Fn(&str, Vec<u8>) + Send + Sync>;

#[derive(Clone)]
struct Entry {
    value: Bytes,
    /// When its load began; what it says may be older by nothing.
    since: Instant,
    /// How many flushes there had been when its load began.
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

/// What the near cache of one node has done since the process began, for `/status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearFigures {
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Loads that ran; fewer than misses where several waited for one.
    pub loads: u64,
    /// Entries kept now.
    pub entries: u64,
    /// What they weigh, in bytes; at most `near.max_bytes`.
    pub bytes: u64,
    /// Invalidations, from this node and from others.
    pub invalidations: u64,
    /// Times that everything was forgotten.
    pub flushes: u64,
}

/// `essaim.near-invalidate.v1` on the wire.
#[derive(Serialize, Deserialize)]
struct Invalidation {
    ns: String,
    key: String,
}

impl Near {
    pub(crate) fn new(config: &NearConfig, env: Env) -> Self {
        let seeded = Seeded(env.random());
        let ttl = Duration::from_millis(config.ttl_ms);
        let mut cache = Cache::builder().max_capacity(config.max_bytes).weigher(weight);
        if !env.is_simulated() {
            // Freshness is judged by `Env`'s clock at each read; moka's own clock only gives memory back sooner.
            cache = cache.time_to_live(ttl);
        }
        let inner = Inner {
            cache: cache.build_with_hasher(seeded),
            flights: Flights::new(seeded),
            ttl,
            max_bytes: config.max_bytes,
            env,
            counts: Counts::default(),
            outlet: OnceLock::new(),
            said_undecodable: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The value of a key, if this node remembers one that is fresh.
    ///
    /// `ns` is the namespace: a name that one capability alone uses, such as `catalog.product`.
    pub fn get(&self, ns: &str, key: &str) -> Option<Bytes> {
        self.inner.read(&Key::new(ns, key))
    }

    /// The value of a key, loaded if this node does not remember it; see the module's promises.
    ///
    /// # Errors
    /// Those of `load`; an error is never remembered.
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
            // A flight that landed since the look at the cache has left its value there; `join` looks again.
            match inner.flights.join(&key, || inner.fresh(&key)) {
                Joined::Landed(value) => return Ok(value),
                Joined::Waiting(flight) => match flight.landing().await {
                    Landing::Value(value) => return Ok(value),
                    Landing::Failed => break inner.flights.alone(&key),
                    Landing::Abandoned => {}
                },
                Joined::Leading(ticket) => break ticket,
            }
        };
        let (since, flushes) = (inner.env.now(), inner.counts.flushes.load(Ordering::Acquire));
        inner.counts.loads.fetch_add(1, Ordering::Relaxed);
        match load.await {
            Ok(value) => {
                let entry = Entry { value: value.clone(), since, flushes };
                ticket.land(value.clone(), || inner.keep(key, entry));
                Ok(value)
            }
            Err(error) => {
                ticket.fail();
                Err(error)
            }
        }
    }

    /// Remembers a value in this node. A load of the key that is under way is not kept after this.
    ///
    /// The value must not be a small slice of a large buffer: the buffer would stay in memory, and only the slice would
    /// be counted.
    pub fn put(&self, ns: &str, key: &str, value: Bytes) {
        let inner = &*self.inner;
        let key = Key::new(ns, key);
        let entry = Entry { value, since: inner.env.now(), flushes: inner.counts.flushes.load(Ordering::Acquire) };
        inner.flights.outdate(&key.clone(), || inner.keep(key, entry));
    }

    /// Forgets a key here at once, and in every other node as soon as the broadcast arrives.
    ///
    /// Call it after the commit: a load between the two would see, and keep, what is about to change.
    pub fn invalidate(&self, ns: &str, key: &str) {
        self.inner.forget(ns, key);
        let Some(outlet) = self.inner.outlet.get() else { return };
        match codec::encode(&Invalidation { ns: ns.into(), key: key.into() }) {
            Ok(body) => outlet(INVALIDATE, body),
            Err(error) => tracing::error!(%error, "an invalidation cannot be encoded"),
        }
    }

    /// Forgets everything here, because invalidations may have been missed.
    pub fn flush(&self) {
        let inner = &*self.inner;
        // The count rises first: what a load that is under way leaves behind is recognized by the old count.
        inner.counts.flushes.fetch_add(1, Ordering::AcqRel);
        inner.flights.outdate_all();
        inner.cache.invalidate_all();
    }

    /// Forgets a key in this node and keeps nothing of it until the bar is dropped.
    pub(crate) fn bar(&self, ns: &str, key: &str) -> Bar {
        let (inner, key) = (self.inner.clone(), Key::new(ns, key));
        inner.counts.invalidations.fetch_add(1, Ordering::Relaxed);
        inner.flights.bar(&key, || inner.cache.invalidate(&key));
        Bar { inner, key }
    }

    /// What the cache has done and holds.
    pub fn figures(&self) -> NearFigures {
        let inner = &*self.inner;
        // moka counts lazily; the figures should not say less than what is there.
        inner.cache.run_pending_tasks();
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        NearFigures {
            hits: read(&inner.counts.hits),
            misses: read(&inner.counts.misses),
            loads: read(&inner.counts.loads),
            entries: inner.cache.entry_count(),
            bytes: inner.cache.weighted_size(),
            invalidations: read(&inner.counts.invalidations),
            flushes: read(&inner.counts.flushes),
        }
    }

    /// Gives the cache its way out to the other nodes; the first one counts.
    pub(crate) fn connect(&self, outlet: impl Fn(&str, Vec<u8>) + Send + Sync + 'static) {
        let _ = self.inner.outlet.set(Box::new(outlet));
    }

    /// Takes note of an invalidation from another node; false if the broadcast is not for the near cache.
    pub(crate) fn hear(&self, name: &str, body: &[u8]) -> bool {
        if name != INVALIDATE {
            return false;
        }
        match codec::decode::<Invalidation>(body) {
            Ok(invalidation) => self.inner.forget(&invalidation.ns, &invalidation.key),
            Err(error) => {
                // Some key has changed and it is not known which: only forgetting all of them is safe.
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
        let entry = self.cache.get(key)?;
        let fresh = self.env.now().saturating_duration_since(entry.since) < self.ttl
            && entry.flushes == self.counts.flushes.load(Ordering::Acquire);
        fresh.then_some(entry.value)
    }

    fn keep(&self, key: Key, entry: Entry) {
        // moka would take an entry that is larger than the whole cache, and drop it some time later.
        if u64::from(weight(&key, &entry)) <= self.max_bytes && !self.ttl.is_zero() {
            self.cache.insert(key, entry);
        }
    }

    fn forget(&self, ns: &str, key: &str) {
        let key = Key::new(ns, key);
        self.counts.invalidations.fetch_add(1, Ordering::Relaxed);
        self.flights.outdate(&key, || self.cache.invalidate(&key));
    }
}

/// What an entry counts towards `near.max_bytes`.
fn weight(key: &Key, entry: &Entry) -> u32 {
    u32::try_from(key.len() + entry.value.len() + ENTRY_OVERHEAD).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
