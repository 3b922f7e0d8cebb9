//! Running loads, and the generations that tell whether their results may be kept.
//!
//! Keys are spread over a fixed number of shards, each with a generation that rises with every invalidation of one of
//! its keys. Memory is bounded that way, at the price that an invalidation also outdates loads of other keys of its
//! shard: they are answered, but not kept. A bar on another key of the shard does the same. Running loads are bounded by their
//! readers, which mailboxes and the gateway bound.

use std::collections::HashMap;
use std::hash::BuildHasher;

use bytes::Bytes;
use essaim_base::lock::Mutex;
use tokio::sync::watch;

use super::key::{Key, Seeded};

/// A power of two; with a load of 10 ms and a thousand invalidations a second, one load in 25 is not kept.
const SHARDS: usize = 256;

/// The running loads of a cache.
pub(super) struct SingleFlight {
    shards: Box<[Mutex<LoadShard>]>,
    hasher: Seeded,
}

struct LoadShard {
    generation: u64,
    /// Bars on its keys; while there is one, no load of the shard is kept or shared.
    bars: u32,
    /// The next load's number, so that a ticket removes no load but its own.
    next: u64,
    loads: HashMap<Key, RunningLoad, Seeded>,
}

/// A running load of this generation, for which others may wait; an invalidation removes it.
struct RunningLoad {
    number: u64,
    end: watch::Receiver<Option<LoadOutcome>>,
}

/// The value of a load that has ended, if it did not fail.
type LoadOutcome = Option<Bytes>;

/// The next step of a reader that found no value in the cache.
pub(super) enum Joined<'a> {
    /// Return the value, which is in the cache now.
    Landed(Bytes),
    /// Wait for another reader's load.
    Waiting(OthersLoad),
    /// Load.
    Leading(LoadTicket<'a>),
}

/// The load of another reader.
pub(super) struct OthersLoad(watch::Receiver<Option<LoadOutcome>>);

/// The end of another reader's load.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoadEnd {
    Value(Bytes),
    Failed,
    /// Its reader was dropped or has panicked.
    Abandoned,
}

/// The duty to load; dropping it abandons the load.
pub(super) struct LoadTicket<'a> {
    shard: &'a Mutex<LoadShard>,
    generation: u64,
    /// Absent for a load that no other reader may wait for.
    shared: Option<(Key, u64, watch::Sender<Option<LoadOutcome>>)>,
}

impl SingleFlight {
    pub fn new(hasher: Seeded) -> Self {
        let shard = || LoadShard { generation: 0, bars: 0, next: 0, loads: HashMap::with_hasher(hasher) };
        Self { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(), hasher }
    }

    /// Joins the load of a key, or begins one. `look` looks into the cache again, now that no load can end meanwhile.
    pub fn join(&self, key: &Key, look: impl FnOnce() -> Option<Bytes>) -> Joined<'_> {
        let mutex = self.shard(key);
        let mut shard = mutex.lock();
        if let Some(value) = look() {
            return Joined::Landed(value);
        }
        if shard.bars > 0 {
            return Joined::Leading(LoadTicket { shard: mutex, generation: shard.generation, shared: None });
        }
        if let Some(running) = shard.loads.get(key) {
            return Joined::Waiting(OthersLoad(running.end.clone()));
        }
        let (sender, end) = watch::channel(None);
        let number = shard.next;
        shard.next += 1;
        shard.loads.insert(key.clone(), RunningLoad { number, end });
        Joined::Leading(LoadTicket {
            shard: mutex,
            generation: shard.generation,
            shared: Some((key.clone(), number, sender)),
        })
    }

    /// Begins a load that no other reader joins.
    pub fn alone(&self, key: &Key) -> LoadTicket<'_> {
        let shard = self.shard(key);
        LoadTicket { shard, generation: shard.lock().generation, shared: None }
    }

    /// Outdates the running loads of a key, and runs `then` before any other can begin or end.
    pub fn outdate(&self, key: &Key, then: impl FnOnce()) {
        let mut shard = self.shard(key).lock();
        shard.generation += 1;
        shard.loads.remove(key);
        then();
    }

    /// Keeps every load of a key from being kept or shared until [`SingleFlight::lift`], and runs `then` before any other can
    /// begin or end.
    pub fn bar(&self, key: &Key, then: impl FnOnce()) {
        let mut shard = self.shard(key).lock();
        shard.bars += 1;
        shard.loads.remove(key);
        then();
    }

    /// Removes a bar. No load that began before this is kept.
    pub fn lift(&self, key: &Key) {
        let mut shard = self.shard(key).lock();
        debug_assert!(shard.bars > 0, "a bar is lifted once");
        shard.bars = shard.bars.saturating_sub(1);
        shard.generation += 1;
    }

    /// Outdates all running loads.
    pub fn outdate_all(&self) {
        for mutex in &self.shards {
            let mut shard = mutex.lock();
            shard.generation += 1;
            shard.loads.clear();
        }
    }

    fn shard(&self, key: &Key) -> &Mutex<LoadShard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl OthersLoad {
    /// Waits until the load has ended.
    pub async fn end(mut self) -> LoadEnd {
        match self.0.wait_for(Option::is_some).await.map(|outcome| outcome.clone().flatten()) {
            Ok(Some(value)) => LoadEnd::Value(value),
            Ok(None) => LoadEnd::Failed,
            Err(_) => LoadEnd::Abandoned,
        }
    }
}

impl LoadTicket<'_> {
    /// Ends the load with a value: the waiting readers get it, and `keep` runs unless it is outdated.
    pub fn land(self, value: Bytes, keep: impl FnOnce()) {
        {
            let shard = self.shard.lock();
            if shard.generation == self.generation && shard.bars == 0 {
                keep();
            }
        }
        self.end(Some(value));
    }

    /// Ends the load without a value.
    pub fn fail(self) {
        self.end(None);
    }

    fn end(self, outcome: LoadOutcome) {
        // The load leaves the map when `self` is dropped; a reader that joins until then finds the outcome at once.
        if let Some((_, _, sender)) = &self.shared {
            sender.send_replace(Some(outcome));
        }
    }
}

impl Drop for LoadTicket<'_> {
    fn drop(&mut self) {
        let Some((key, number, _)) = &self.shared else { return };
        let mut shard = self.shard.lock();
        if shard.loads.get(key).is_some_and(|load| load.number == *number) {
            shard.loads.remove(key);
        }
    }
}
