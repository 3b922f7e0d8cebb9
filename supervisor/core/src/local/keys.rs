//! Key affinity: which instance a message goes to, and how many messages of one key a host admits.
//!
//! A key prefers one instance (affinity) without a claim on it: behind many messages of other keys it goes elsewhere, and no
//! key takes more than its share of a host's mailbox. So a key whose handler hangs starves no other key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use essaim_base::idhash::IdHasher;
use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::rendezvous::weight;

use crate::local::arbiters;
use crate::local::instance::InstanceHandle;

/// Rank penalty of a blocked arbiter: above any number of waiting messages.
const BLOCKED: u64 = 1 << 40;

/// Keys with admitted messages in one host; bounded by its permits.
pub struct Keys {
    /// Messages of one key, at most.
    most: u32,
    held: Mutex<HashMap<u64, KeyLoad, BuildHasherDefault<IdHasher>>>,
}

struct KeyLoad {
    messages: u32,
    instance: usize,
}

/// Counts a message towards its key's limit until dropped.
pub struct KeyPermit {
    keys: Arc<Keys>,
    key: u64,
}

impl Keys {
    /// At most so many messages of one key.
    pub fn of(most: u32) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// A place for one more message of a key, and its instance: the one that has the key's other messages, if any has.
    ///
    /// # Errors
    /// How many messages of the key there may be, if there are as many.
    pub fn take(self: &Arc<Self>, key: &str, instances: &[InstanceHandle]) -> Result<(KeyPermit, usize), u32> {
        let hash = weight(key, ());
        let place = || KeyPermit { keys: self.clone(), key: hash };
        let mut held = self.held();
        match held.entry(hash) {
            Entry::Occupied(entry) if entry.get().messages >= self.most => Err(self.most),
            Entry::Occupied(mut entry) => {
                let held = entry.get_mut();
                held.messages += 1;
                if !instances[held.instance].is_up() || instances[held.instance].is_blocked() {
                    held.instance = instance_of(key, instances);
                }
                Ok((place(), held.instance))
            }
            Entry::Vacant(entry) => {
                let instance = instance_of(key, instances);
                entry.insert(KeyLoad { messages: 1, instance });
                Ok((place(), instance))
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<u64, KeyLoad, BuildHasherDefault<IdHasher>>> {
        self.held.lock()
    }
}

impl Drop for KeyPermit {
    fn drop(&mut self) {
        match self.keys.held().entry(self.key) {
            Entry::Occupied(mut entry) if entry.get().messages > 1 => entry.get_mut().messages -= 1,
            Entry::Occupied(entry) => drop(entry.remove()),
            Entry::Vacant(_) => debug_assert!(false, "a key is known while it has a permit"),
        }
    }
}

/// The instance for a key of which nothing is there: its own (rendezvous hashing: a key moves only when its own instance goes
/// or comes), unless that has more than twice as much to do as the least busy one.
fn instance_of(key: &str, instances: &[InstanceHandle]) -> usize {
    let up = instances.iter().enumerate().filter(|(_, i)| i.is_up());
    let own = up.max_by_key(|(index, _)| weight(key, index)).map_or(0, |(index, _)| index);
    match instances[own].waiting() {
        0 if !instances[own].is_blocked() => own,
        waiting => {
            let other = least_busy(instances);
            let rather = instances[own].is_blocked() || waiting > 2 * instances[other].waiting();
            if rather { other } else { own }
        }
    }
}

/// An idle instance of the caller's arbiter, else the least busy one; one whose arbiter is blocked only where all are.
pub fn least_busy(instances: &[InstanceHandle]) -> usize {
    let here = arbiters::current();
    let mut best = (0, u64::MAX);
    for (index, instance) in instances.iter().enumerate() {
        if !instance.is_up() {
            continue;
        }
        let near = here == Some(instance.arbiter);
        let waiting = instance.waiting();
        if near && waiting == 0 {
            // Its arbiter makes this very turn.
            return index;
        }
        // Of two that are equally busy the near one wins.
        let mut rank = waiting * 2 + u64::from(!near);
        if rank < best.1 && instance.is_blocked() {
            rank += BLOCKED;
        }
        if rank < best.1 {
            best = (index, rank);
        }
    }
    best.0
}
