//! The records of the log that this node knows, for a server that loses them.
//!
//! The registry is known as it was read, with its rank: the version of its last change. Of all nodes the one that has read the
//! highest rank restores it, and entries that this node does not know were ended: a union of the registries of several nodes would
//! bring back ended ones. Registrations of a node's own that it has not read since are made again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use essaim_base::lock::Mutex;
use essaim_protocol::log::{Acknowledge, OwnedPartition, Partition, Position, Tally};

use super::registry::StoredRegistry;

/// The registrations of this node, by capability.
pub type Registered = BTreeMap<String, Registration>;

/// One capability: its partitions, and its subscriptions as they are stored, by event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    pub partitions: u32,
    pub subscriptions: BTreeMap<String, String>,
    /// Whether it was seen in the registry: if it is missing there later, it was ended.
    seen: bool,
}

/// The counts of a partition, as far as this node has seen them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownCounts {
    /// Messages appended, ever.
    pub appended: u64,
    /// Messages that its owner has parked.
    pub parked: u64,
    /// The outcomes of messages of handlers without a database.
    pub tally: Tally,
    /// The last entry that was read.
    pub last: Position,
    /// The time at which counting began, in milliseconds since 1970; 0 if that is not known.
    pub born: u64,
}

/// The dead letters of a capability in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetterCounts {
    pub count: u64,
    /// How often the last one was deleted on purpose.
    pub emptied: u64,
    /// The version of the registry in which the capability was retired last.
    pub retired: u64,
}

/// The known records.
#[derive(Default)]
pub struct KnownLog(Mutex<KnownState>);

#[derive(Default)]
struct KnownState {
    own: Registered,
    read: Arc<StoredRegistry>,
    partitions: HashMap<Partition, KnownCounts>,
    owned: HashMap<Arc<str>, KnownOwnership>,
    letters: HashMap<Arc<str>, DeadLetterCounts>,
    /// The end of the last restore in which this node has taken part, in microseconds since 1970.
    restored_until: u64,
}

/// The partitions of a capability that a host owns, by the answer to its last heartbeat.
#[derive(Default)]
struct KnownOwnership {
    host: String,
    /// Numbers and epochs.
    partitions: Vec<(u32, u64)>,
    /// Whether they are of another log than the present one: then they are taken over again.
    is_outdated: bool,
}

impl KnownLog {
    /// The registry of the highest rank that was read.
    pub fn read(&self) -> Arc<StoredRegistry> {
        self.0.lock().read.clone()
    }

    /// Records a registration of this node.
    pub fn register(&self, capability: &str, partitions: u32, subscriptions: BTreeMap<String, String>) {
        let mut state = self.0.lock();
        let own = state.own.entry(capability.into()).or_default();
        own.partitions = partitions;
        own.subscriptions.extend(subscriptions);
        own.seen = false;
    }

    /// Records a complete registry that was read: an entry that is missing in it was ended. An older state of the same log is
    /// ignored; the registry of an older log replaces everything known of the one before.
    pub fn learn(&self, read: StoredRegistry) {
        let mut state = self.0.lock();
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
        // Counts from before a capability was retired say nothing of those that have begun since.
        let is_there = |capability: &str| {
            read.all.contains_key(capability) && read.retired.get(capability).is_none_or(|retired| *retired <= known)
        };
        state.partitions.retain(|partition, _| is_there(&partition.capability));
        if *state.read != read {
            state.read = Arc::new(read);
        }
    }

    /// Records that an operator has ended a subscription, or retired a capability.
    pub fn ended(&self, capability: &str, event: Option<&str>) {
        let mut state = self.0.lock();
        match event {
            Some(event) => drop(state.own.get_mut(capability).map(|own| own.subscriptions.remove(event))),
            None => drop(state.own.remove(capability)),
        }
    }

    /// The registrations of this node that the registry does not have.
    pub fn unseen(&self) -> Registered {
        self.0.lock().own.iter().filter(|(_, own)| !own.seen).map(|(name, own)| (name.clone(), own.clone())).collect()
    }

    /// Records the number of messages ever appended to a partition.
    pub fn appended(&self, partition: &Partition, appended: u64) {
        let mut state = self.0.lock();
        let counted = state.partitions.entry(partition.clone()).or_default();
        counted.appended = counted.appended.max(appended);
    }

    /// Records an entry that was read, and the number of messages appended up to its end.
    pub fn seen(&self, partition: &Partition, appended: u64, position: Position) {
        let mut state = self.0.lock();
        let counted = state.partitions.entry(partition.clone()).or_default();
        counted.appended = counted.appended.max(appended);
        counted.last = counted.last.max(position);
    }

    /// Records an acknowledgement.
    pub fn acknowledged(&self, acknowledge: &Acknowledge) {
        let mut state = self.0.lock();
        let counted = state.partitions.entry(acknowledge.partition.clone()).or_default();
        counted.parked = acknowledge.parked;
        counted.tally.add(acknowledge.tally);
    }

    /// Records the server's counts of a partition; `appended` is certain.
    pub fn counted(&self, partition: &Partition, appended: u64, tally: Tally, born: u64) {
        let mut state = self.0.lock();
        if let Some(counted) = state.partitions.get_mut(partition) {
            counted.appended = counted.appended.max(appended);
            counted.tally = counted.tally.most(tally);
            counted.born = born;
        }
    }

    /// The known counts of a partition.
    pub fn of(&self, partition: &Partition) -> KnownCounts {
        self.0.lock().partitions.get(partition).copied().unwrap_or_default()
    }

    /// All partitions with known counts.
    pub fn partitions(&self) -> Vec<(Partition, KnownCounts)> {
        self.0.lock().partitions.iter().map(|(partition, counted)| (partition.clone(), *counted)).collect()
    }

    /// Records the partitions of a capability that a host owns.
    pub fn owns(&self, capability: &Arc<str>, host: &str, owned: &[OwnedPartition]) {
        let mut state = self.0.lock();
        for owned in owned {
            state.partitions.entry(Partition { capability: capability.clone(), number: owned.number }).or_default();
        }
        let partitions = owned.iter().map(|owned| (owned.number, owned.epoch)).collect();
        state.owned.insert(capability.clone(), KnownOwnership { host: host.into(), partitions, is_outdated: false });
    }

    /// Numbers and epochs of the partitions of a capability that a host owned by the last answer, and whether it has to take them
    /// over again.
    pub fn owned(&self, capability: &str, host: &str) -> (Vec<(u32, u64)>, bool) {
        let state = self.0.lock();
        let owned = state.owned.get(capability).filter(|owned| owned.host == host);
        owned.map(|owned| (owned.partitions.clone(), owned.is_outdated)).unwrap_or_default()
    }

    /// The capabilities of which this node owned a partition by the last answer.
    pub fn capabilities(&self) -> Vec<Arc<str>> {
        let state = self.0.lock();
        let owned = state.owned.iter().filter(|(_, owned)| !owned.partitions.is_empty());
        owned.map(|(capability, _)| capability.clone()).collect()
    }

    /// Records the server's dead letters of a capability, and returns how many it has lost.
    pub fn letters(&self, capability: &Arc<str>, there: DeadLetterCounts) -> u64 {
        let mut state = self.0.lock();
        let before = state.letters.insert(capability.clone(), there).unwrap_or_default();
        let on_purpose = there.emptied > before.emptied || there.retired > before.retired;
        if there.count == 0 && !on_purpose { before.count } else { 0 }
    }

    /// Records a restore that lasts until then, and returns whether this node has not taken part in it yet.
    pub fn has_to_restore(&self, until_us: u64) -> bool {
        let mut state = self.0.lock();
        let is_new = until_us > state.restored_until;
        state.restored_until = state.restored_until.max(until_us);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry of a log and a rank, in which these capabilities subscribe to an event.
    fn read(identity: &str, rank: u64, subscribers: &[&str]) -> StoredRegistry {
        let all = subscribers.iter().map(|s| (s.to_string(), BTreeMap::from([("e".to_string(), "how".to_string())])));
        StoredRegistry {
            identity: identity.into(),
            version: rank,
            rank,
            all: all.collect(),
            ..StoredRegistry::default()
        }
    }

    fn subscribed() -> BTreeMap<String, String> {
        BTreeMap::from([("e".to_string(), "how".to_string())])
    }

    #[test]
    fn of_one_log_the_highest_rank_is_known_and_of_several_the_oldest() {
        let known = KnownLog::default();
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
        let known = KnownLog::default();
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
        assert!(unseen().is_empty() && !known.0.lock().own.contains_key("a"), "it was retired");
    }

    #[test]
    fn what_was_counted_before_a_capability_was_retired_is_known_no_more() {
        let (known, partition) = (KnownLog::default(), Partition { capability: "a".into(), number: 0 });
        known.learn(read("b", 1, &["a"]));
        known.appended(&partition, 9);
        let begun_anew = StoredRegistry { retired: BTreeMap::from([("a".to_string(), 2)]), ..read("b", 3, &["a"]) };
        known.learn(begun_anew.clone());
        assert_eq!(known.of(&partition), KnownCounts::default());
        known.appended(&partition, 1);
        known.learn(StoredRegistry { rank: 4, ..begun_anew });
        assert_eq!(known.of(&partition).appended, 1);
    }

    #[test]
    fn dead_letters_are_forgotten_unless_that_was_on_purpose() {
        let (known, capability) = (KnownLog::default(), Arc::from("a"));
        let letters =
            |count, emptied, retired| known.letters(&capability, DeadLetterCounts { count, emptied, retired });
        assert_eq!(letters(3, 0, 0), 0);
        assert_eq!(letters(0, 0, 0), 3);
        assert_eq!(letters(0, 0, 0), 0, "that is said once");
        assert_eq!([letters(2, 0, 0), letters(0, 1, 0)], [0, 0], "an operator has dropped the last one");
        assert_eq!([letters(2, 1, 0), letters(0, 0, 0)], [0, 2], "all else is forgotten, too");
        assert_eq!([letters(2, 0, 0), letters(0, 0, 7)], [0, 0], "the capability was retired");
    }
}
