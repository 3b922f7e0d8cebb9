//! The capability `cache`: values remembered for a while, by namespace and key, for all askers.
//!
//! It keeps its values in the near cache of its node, under names of its own, so that one bound (`near.max_bytes`)
//! covers all that a node remembers, and one broadcast invalidates a key in every node.
//!
//! # Layout
//!
//! - [`CacheActor`]: the actor; [`CacheSettings`]: its section of the configuration.
//! - `stored.rs`: a value with the time until which it counts.

use std::sync::atomic::{AtomicU64, Ordering};

use essaim::{Actor, Cx, Fault, Handle, Handles, Near, Start, StartError, reject};
use essaim_cache_contract::{Blob, Cache, CacheError, Get, Invalidate, Put};
use serde::{Deserialize, Serialize};

mod stored;

/// `[cache]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// The most bytes that a namespace and a key may have together.
    pub max_key_bytes: u64,
    /// The most bytes that a value may have.
    pub max_value_bytes: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { max_key_bytes: 1 << 10, max_value_bytes: 1 << 20 }
    }
}

/// What the instances of one node share.
pub struct CacheShared {
    settings: CacheSettings,
    near: Near,
    figures: Figures,
}

/// Since the node began.
#[derive(Default, Serialize)]
struct Figures {
    gets: AtomicU64,
    found: AtomicU64,
    puts: AtomicU64,
    invalidations: AtomicU64,
    rejected: AtomicU64,
}

/// One instance. What it remembers is in the near cache, so it has no state to lose.
pub struct CacheActor(std::sync::Arc<CacheShared>);

impl Actor for CacheActor {
    type Capability = Cache;
    type Settings = CacheSettings;
    type Shared = std::sync::Arc<CacheShared>;

    async fn share(settings: CacheSettings, start: &mut Start) -> Result<Self::Shared, StartError> {
        let (near, figures) = (start.near().clone(), Figures::default());
        Ok(std::sync::Arc::new(CacheShared { settings, near, figures }))
    }

    async fn start(shared: &Self::Shared, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(shared.clone()))
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Get>().ask::<Put>().ask::<Invalidate>();
    }

    fn status(shared: &Self::Shared) -> serde_json::Value {
        // The node's near cache as a whole, of which these values are a part, has its own figures in the node's status.
        serde_json::json!(shared.figures)
    }
}

impl Handle<Get> for CacheActor {
    async fn handle(&mut self, m: Get, cx: &mut Cx) -> Result<Option<Blob>, Fault<CacheError>> {
        self.0.check(&m.namespace, &m.key, 0)?;
        let remembered = self.0.near.get(&name(&m.namespace), &m.key);
        let value = remembered.as_deref().and_then(|r| stored::value_at(r, cx.now_ms()));
        count(&self.0.figures.gets);
        if value.is_some() {
            count(&self.0.figures.found);
        }
        Ok(value)
    }
}

impl Handle<Put> for CacheActor {
    async fn handle(&mut self, m: Put, cx: &mut Cx) -> Result<(), Fault<CacheError>> {
        self.0.check(&m.namespace, &m.key, m.value.0.len())?;
        let until_ms = m.ttl_ms.map_or(u64::MAX, |ttl| cx.now_ms().saturating_add(ttl));
        let name = name(&m.namespace);
        // Another node may still have the key's former value, if it was the one that was asked at that time.
        self.0.near.invalidate(&name, &m.key);
        self.0.near.put(&name, &m.key, stored::until(until_ms, &m.value.0));
        count(&self.0.figures.puts);
        Ok(())
    }
}

impl Handle<Invalidate> for CacheActor {
    async fn handle(&mut self, m: Invalidate, _: &mut Cx) -> Result<(), Fault<CacheError>> {
        self.0.check(&m.namespace, &m.key, 0)?;
        self.0.near.invalidate(&name(&m.namespace), &m.key);
        count(&self.0.figures.invalidations);
        Ok(())
    }
}

impl CacheShared {
    fn check(&self, namespace: &str, key: &str, value_bytes: usize) -> Result<(), Fault<CacheError>> {
        let (limit, bytes) = (self.settings.max_key_bytes, (namespace.len() + key.len()) as u64);
        let error = if bytes > limit {
            CacheError::KeyTooLarge { bytes, limit }
        } else {
            let (limit, bytes) = (self.settings.max_value_bytes, value_bytes as u64);
            if bytes <= limit {
                return Ok(());
            }
            CacheError::ValueTooLarge { bytes, limit }
        };
        count(&self.figures.rejected);
        Err(reject(error))
    }
}

/// Name of a caller's namespace in the near cache, apart from those of this node's capabilities.
fn name(namespace: &str) -> String {
    format!("cache/{namespace}")
}

fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
