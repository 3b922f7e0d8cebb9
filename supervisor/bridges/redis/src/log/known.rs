//! What this node knows of the log, for a server that has forgotten it.
//!
//! The registry is known as it was read, with its rank: the version of its last change. Of all nodes the one that has read
//! the highest rank tells the server, and what that one does not know was ended: a union of what several know would bring
//! back what was. What a node has registered itself and not read since is registered again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use essaim_protocol::log::{Acknowledge, OwnedPartition, Partition, Position, Tally};

use super::registering::Read;

/// What this node has registered, by capability.
pub type Registered = BTreeMap<String, Registration>;

/// One capability: its partitions, and its subscriptions as they are written, by event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    pub partitions: u32,
    pub subscriptions: BTreeMap<String, String>,
    /// It was seen in the registry: where it is missing later, it was ended.
    seen: bool,
}

/// What was counted in a partition, as far as this node has seen it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Messages that were ever appended.
    pub appended: u64,
    /// Messages that its owner has parked.
    pub parked: u64,
    /// What handlers without a database did.
    pub tally: Tally,
    /// The last entry that was read.
    pub last: Position,
    /// When counting began, in milliseconds since 1970; 0 if that is not known.
    pub born: u64,
}

/// The dead letters of a capability that the log keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Letters {
    pub count: u64,
    /// How often the last one was forgotten on purpose.
    pub emptied: u64,
    /// The version of the registry that has retired the capability last.
    pub retired: u64,
}

/// What this node knows.
#[derive(Default)]
pub struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    own: Registered,
    read: Arc<Read>,
    partitions: HashMap<Partition, Counted>,
    owned: HashMap<Arc<str>, Ownership>,
    letters: HashMap<Arc<str>, Letters>,
    /// The last time of telling that this node has taken part in: when it ends.
    told: u64,
}

/// What a host owns of a capability, as it was told last.
#[derive(Default)]
struct Ownership {
    host: String,
    /// Numbers and epochs.
    partitions: Vec<(u32, u64)>,
    /// They are of another log than the one that is there: they are taken over again.
    is_outdated: bool,
}

impl Known {
    /// The registry of the highest rank that was read.
    pub fn read(&self) -> Arc<Read> {
        self.lock().read.clone()
    }

    /// What this node has registered itself.
    pub fn register(&self, capability: &str, partitions: u32, subscriptions: BTreeMap<String, String>) {
        let mut state = self.lock();
        let own = state.own.entry(capability.into()).or_default();
        own.partitions = partitions;
        own.subscriptions.extend(subscriptions);
        own.seen = false;
    }

    /// A registry was read that is complete: what is missing there was ended. Of one log nothing is learned from an older
    /// state than is known; another log is followed, whatever was known of the one before.
    pub fn learn(&self, read: Read) {
        let mut state = self.lock();
        let is_same_log = read.identity == state.read.identity;
        let is_younger = !state.read.identity.is_empty() && read.identity > state.read.identity;
        if read.identity.is_empty() || is_younger {
            return;
        }
        if !is_same_log {
            state.partitions.clear();
            let had_begun = !state.read.identity.is_empty();
            state.owned.values_mut().for_each(|owned| owned.is_outdated |= had_begun);
            state.own.values_mut().for_each(|own| own.seen = false);
        } else if read.rank < state.read.rank {
            return;
        }
        state.own.retain(|capability, own| {
            let there = read.all.get(capability);
            let has = |event: &String| there.is_some_and(|there| there.contains_key(event));
            if own.seen {
                own.subscriptions.retain(|event, _| has(event));
            }
            own.seen |= there.is_some() && own.subscriptions.keys().all(has);
            there.is_some() || !own.seen
        });
        let known = state.read.rank;
        // What was counted before a capability was retired says nothing of what has begun since.
        let is_there = |capability: &str| {
            read.all.contains_key(capability) && read.retired.get(capability).is_none_or(|retired| *retired <= known)
        };
        state.partitions.retain(|partition, _| is_there(&partition.capability));
        if *state.read != read {
            state.read = Arc::new(read);
        }
    }

    /// An operator has ended a subscription, or retired a capability.
    pub fn ended(&self, capability: &str, event: Option<&str>) {
        let mut state = self.lock();
        match event {
            Some(event) => drop(state.own.get_mut(capability).map(|own| own.subscriptions.remove(event))),
            None => drop(state.own.remove(capability)),
        }
    }

    /// What this node has registered and the registry does not have.
    pub fn unseen(&self) -> Registered {
        self.lock().own.iter().filter(|(_, own)| !own.seen).map(|(name, own)| (name.clone(), own.clone())).collect()
    }

    /// So many messages were appended to a partition.
    pub fn appended(&self, partition: &Partition, appended: u64) {
        let mut state = self.lock();
        let counted = state.partitions.entry(partition.clone()).or_default();
        counted.appended = counted.appended.max(appended);
    }

    /// An entry was read, up to which so many messages were appended.
    pub fn seen(&self, partition: &Partition, appended: u64, position: Position) {
        let mut state = self.lock();
        let counted = state.partitions.entry(partition.clone()).or_default();
        counted.appended = counted.appended.max(appended);
        counted.last = counted.last.max(position);
    }

    /// An acknowledgement was done.
    pub fn acknowledged(&self, acknowledge: &Acknowledge) {
        let mut state = self.lock();
        let counted = state.partitions.entry(acknowledge.partition.clone()).or_default();
        counted.parked = acknowledge.parked;
        counted.tally.add(acknowledge.tally);
    }

    /// The server has told what is counted of a partition, and for certain that so many messages were appended.
    pub fn counted(&self, partition: &Partition, appended: u64, tally: Tally, born: u64) {
        let mut state = self.lock();
        if let Some(counted) = state.partitions.get_mut(partition) {
            counted.appended = counted.appended.max(appended);
            counted.tally = counted.tally.most(tally);
            counted.born = born;
        }
    }

    /// What is known of a partition.
    pub fn of(&self, partition: &Partition) -> Counted {
        self.lock().partitions.get(partition).copied().unwrap_or_default()
    }

    /// All partitions of which something is known.
    pub fn partitions(&self) -> Vec<(Partition, Counted)> {
        self.lock().partitions.iter().map(|(partition, counted)| (partition.clone(), *counted)).collect()
    }

    /// What a host owns of a capability by now.
    pub fn owns(&self, capability: &Arc<str>, host: &str, owned: &[OwnedPartition]) {
        let mut state = self.lock();
        for owned in owned {
            state.partitions.entry(Partition { capability: capability.clone(), number: owned.number }).or_default();
        }
        let partitions = owned.iter().map(|owned| (owned.number, owned.epoch)).collect();
        state.owned.insert(capability.clone(), Ownership { host: host.into(), partitions, is_outdated: false });
    }

    /// Numbers and epochs of what a host owned of a capability when it was told last, and whether it has to take that over
    /// again.
    pub fn owned(&self, capability: &str, host: &str) -> (Vec<(u32, u64)>, bool) {
        let state = self.lock();
        let owned = state.owned.get(capability).filter(|owned| owned.host == host);
        owned.map(|owned| (owned.partitions.clone(), owned.is_outdated)).unwrap_or_default()
    }

    /// The capabilities of which this node owned a partition when it was told last.
    pub fn capabilities(&self) -> Vec<Arc<str>> {
        let state = self.lock();
        let owned = state.owned.iter().filter(|(_, owned)| !owned.partitions.is_empty());
        owned.map(|(capability, _)| capability.clone()).collect()
    }

    /// The server has told of a capability's dead letters; how many it has forgotten.
    pub fn letters(&self, capability: &Arc<str>, there: Letters) -> u64 {
        let mut state = self.lock();
        let before = state.letters.insert(capability.clone(), there).unwrap_or_default();
        let on_purpose = there.emptied > before.emptied || there.retired > before.retired;
        if there.count == 0 && !on_purpose { before.count } else { 0 }
    }

    /// Nodes tell what they know until then. Whether this one has not yet.
    pub fn is_to_tell(&self, until_us: u64) -> bool {
        let mut state = self.lock();
        let is_new = until_us > state.told;
        state.told = state.told.max(until_us);
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry of a log and a rank, in which these capabilities subscribe to an event.
    fn read(identity: &str, rank: u64, subscribers: &[&str]) -> Read {
        let all = subscribers.iter().map(|s| (s.to_string(), BTreeMap::from([("e".to_string(), "how".to_string())])));
        Read { identity: identity.into(), version: rank, rank, all: all.collect(), ..Read::default() }
    }

    fn subscribed() -> BTreeMap<String, String> {
        BTreeMap::from([("e".to_string(), "how".to_string())])
    }

    #[test]
    fn of_one_log_the_highest_rank_is_known_and_of_several_the_oldest() {
        let known = Known::default();
        let ranks = |identity: &str, rank| {
            known.learn(read(identity, rank, &["a"]));
            let read = known.read();
            (read.identity.clone(), read.rank)
        };
        assert_eq!(ranks("b", 5), ("b".into(), 5));
        assert_eq!(ranks("b", 4), ("b".into(), 5), "the server has forgotten the last change");
        assert_eq!(ranks("b", 6), ("b".into(), 6));
        assert_eq!(ranks("c", 7), ("b".into(), 6), "it has begun anew meanwhile");
        assert_eq!(ranks("", 0), ("b".into(), 6));
        assert_eq!(ranks("a", 3), ("a".into(), 3), "this one had begun anew");
    }

    #[test]
    fn what_a_node_has_registered_is_registered_again_until_it_was_seen_and_not_once_it_was_ended() {
        let known = Known::default();
        let unseen = || known.unseen().into_keys().collect::<Vec<_>>();
        known.learn(read("b", 1, &[]));
        known.register("a", 1, subscribed());
        assert_eq!(unseen(), ["a"]);
        known.learn(read("b", 1, &[]));
        assert_eq!(unseen(), ["a"], "the server has forgotten it before anybody read it");
        known.learn(read("b", 2, &["a", "other"]));
        assert!(unseen().is_empty());
        known.learn(read("a", 1, &["other"]));
        assert_eq!(unseen(), ["a"], "it was registered with a log that had begun anew");
        known.learn(read("a", 2, &["a"]));
        known.learn(read("a", 3, &["other"]));
        assert!(unseen().is_empty() && !known.lock().own.contains_key("a"), "it was retired");
    }

    #[test]
    fn what_was_counted_before_a_capability_was_retired_is_known_no_more() {
        let (known, partition) = (Known::default(), Partition { capability: "a".into(), number: 0 });
        known.learn(read("b", 1, &["a"]));
        known.appended(&partition, 9);
        let begun_anew = Read { retired: BTreeMap::from([("a".to_string(), 2)]), ..read("b", 3, &["a"]) };
        known.learn(begun_anew.clone());
        assert_eq!(known.of(&partition), Counted::default());
        known.appended(&partition, 1);
        known.learn(Read { rank: 4, ..begun_anew });
        assert_eq!(known.of(&partition).appended, 1);
    }

    #[test]
    fn dead_letters_are_forgotten_unless_that_was_on_purpose() {
        let (known, capability) = (Known::default(), Arc::from("a"));
        let letters = |count, emptied, retired| known.letters(&capability, Letters { count, emptied, retired });
        assert_eq!(letters(3, 0, 0), 0);
        assert_eq!(letters(0, 0, 0), 3);
        assert_eq!(letters(0, 0, 0), 0, "that is said once");
        assert_eq!([letters(2, 0, 0), letters(0, 1, 0)], [0, 0], "an operator has dropped the last one");
        assert_eq!([letters(2, 1, 0), letters(0, 0, 0)], [0, 2], "all else is forgotten, too");
        assert_eq!([letters(2, 0, 0), letters(0, 0, 7)], [0, 0], "the capability was retired");
    }
}
