//! Loads under way, and the generations that tell whether their results may be kept.
//!
//! Keys are spread over a fixed number of shards, each with a generation that rises with every invalidation of one of
//! its keys. Memory is bounded that way, at the price that an invalidation also outdates loads of other keys of its
//! shard: they are answered, not kept, and nothing worse; so are those that a bar on another key meets. The loads under way are as many as callers wait for, which
//! the mailboxes and the gateway bound.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::key::{Key, Seeded};

/// A power of two; with a load of 10 ms and a thousand invalidations a second, one load in 25 is not kept.
const SHARDS: usize = 256;

pub(super) struct Flights {
    shards: Box<[Mutex<Shard>]>,
    hasher: Seeded,
}

struct Shard {
    generation: u64,
    /// Bars on its keys; while there is one, no load is kept or shared.
    bars: u32,
    /// The next flight's number, so that a ticket removes no flight but its own.
    next: u64,
    flights: HashMap<Key, Flying, Seeded>,
}

/// A load under way that others may wait for. Of this generation: an invalidation takes it off the map.
struct Flying {
    number: u64,
    landing: watch::Receiver<Option<Outcome>>,
}

/// How a load ended; the value, if it did not fail.
type Outcome = Option<Bytes>;

/// What a reader that found nothing in the cache should do.
pub(super) enum Joined<'a> {
    /// The value is in the cache now.
    Landed(Bytes),
    /// Wait for another's load.
    Waiting(Flight),
    /// Load.
    Leading(Ticket<'a>),
}

/// Another's load.
pub(super) struct Flight(watch::Receiver<Option<Outcome>>);

/// How another's load ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Landing {
    Value(Bytes),
    Failed,
    /// Nobody is loading any more.
    Abandoned,
}

/// The duty to load; dropping it abandons the flight.
pub(super) struct Ticket<'a> {
    shard: &'a Mutex<Shard>,
    generation: u64,
    /// Absent for a load that nobody waits for.
    flight: Option<(Key, u64, watch::Sender<Option<Outcome>>)>,
}

impl Flights {
    pub fn new(hasher: Seeded) -> Self {
        let shard = || Shard { generation: 0, bars: 0, next: 0, flights: HashMap::with_hasher(hasher) };
        Self { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(), hasher }
    }

    /// Joins the load of a key, or begins it. `look` looks into the cache again, now that no load can end meanwhile.
    pub fn join(&self, key: &Key, look: impl FnOnce() -> Option<Bytes>) -> Joined<'_> {
        let mutex = self.shard(key);
        let mut shard = lock(mutex);
        if let Some(value) = look() {
            return Joined::Landed(value);
        }
        if shard.bars > 0 {
            return Joined::Leading(Ticket { shard: mutex, generation: shard.generation, flight: None });
        }
        if let Some(flying) = shard.flights.get(key) {
            return Joined::Waiting(Flight(flying.landing.clone()));
        }
        let (sender, landing) = watch::channel(None);
        let number = shard.next;
        shard.next += 1;
        shard.flights.insert(key.clone(), Flying { number, landing });
        Joined::Leading(Ticket {
            shard: mutex,
            generation: shard.generation,
            flight: Some((key.clone(), number, sender)),
        })
    }

    /// Begins a load that nobody joins.
    pub fn alone(&self, key: &Key) -> Ticket<'_> {
        let shard = self.shard(key);
        Ticket { shard, generation: lock(shard).generation, flight: None }
    }

    /// Outdates the loads of a key that are under way, and runs `then` before any other can begin or end.
    pub fn outdate(&self, key: &Key, then: impl FnOnce()) {
        let mut shard = lock(self.shard(key));
        shard.generation += 1;
        shard.flights.remove(key);
        then();
    }

    /// Keeps every load of a key from being kept or shared until [`Flights::lift`], and runs `then` before any other can
    /// begin or end.
    pub fn bar(&self, key: &Key, then: impl FnOnce()) {
        let mut shard = lock(self.shard(key));
        shard.bars += 1;
        shard.flights.remove(key);
        then();
    }

    /// Takes a bar away. What was loaded before this is not kept.
    pub fn lift(&self, key: &Key) {
        let mut shard = lock(self.shard(key));
        shard.bars = shard.bars.saturating_sub(1);
        shard.generation += 1;
    }

    /// Outdates all loads that are under way.
    pub fn outdate_all(&self) {
        for mutex in &self.shards {
            let mut shard = lock(mutex);
            shard.generation += 1;
            shard.flights.clear();
        }
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl Flight {
    /// Waits until the load has ended.
    pub async fn landing(mut self) -> Landing {
        match self.0.wait_for(Option::is_some).await.map(|outcome| outcome.clone().flatten()) {
            Ok(Some(value)) => Landing::Value(value),
            Ok(None) => Landing::Failed,
            Err(_) => Landing::Abandoned,
        }
    }
}

impl Ticket<'_> {
    /// Ends the load with a value: those who wait get it, and `keep` runs unless it is outdated.
    pub fn land(self, value: Bytes, keep: impl FnOnce()) {
        {
            let shard = lock(self.shard);
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

    fn end(self, outcome: Outcome) {
        // The flight leaves the map when `self` is dropped; whoever joins until then finds the outcome at once.
        if let Some((_, _, sender)) = &self.flight {
            sender.send_replace(Some(outcome));
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some((key, number, _)) = &self.flight else { return };
        let mut shard = lock(self.shard);
        if shard.flights.get(key).is_some_and(|f| f.number == *number) {
            shard.flights.remove(key);
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
