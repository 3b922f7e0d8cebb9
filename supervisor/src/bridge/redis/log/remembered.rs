//! What is registered, as this node remembers it for a server that may have forgotten.
//!
//! Beside what the node has registered itself, that is all that it has read: a subscriber that is away, or connects a
//! moment later, must not miss what is sent until then. A subscription is known by the version that has brought it
//! (`since`). A server that still has one of those that are remembered has forgotten nothing, so what is missing there was
//! ended, by whomever; only one that has none of them begins empty, and is told all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a server is told, by capability.
pub type Registered = BTreeMap<String, Registration>;

/// One capability: its partitions, and its subscriptions as they are written, by event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    pub partitions: u32,
    pub subscriptions: BTreeMap<String, String>,
}

/// All that was read in a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    pub all: Registered,
    /// The versions that have brought the subscriptions, by capability and event.
    pub since: BTreeMap<(String, String), u64>,
    /// Capabilities that an operator has retired: nobody registers them again but their own hosts.
    pub retired: BTreeSet<String>,
}

/// What this node remembers.
#[derive(Default)]
pub struct Remembered(Mutex<State>);

#[derive(Default)]
struct State {
    own: Registered,
    read: Read,
    /// Rises with every change, so that what was read before one is not taken for newer.
    changes: u64,
}

impl Remembered {
    /// What this node has registered itself.
    pub fn add<'a>(&self, capability: &str, partitions: u32, events: impl Iterator<Item = (&'a str, String)>) {
        let mut state = self.lock();
        let own = state.own.entry(capability.into()).or_default();
        own.partitions = partitions;
        own.subscriptions.extend(events.map(|(event, subscription)| (event.to_string(), subscription)));
        state.changes += 1;
    }

    /// A subscription was ended.
    pub fn remove(&self, capability: &str, event: &str) {
        let mut state = self.lock();
        let State { own, read, .. } = &mut *state;
        for all in [own, &mut read.all] {
            all.get_mut(capability).map(|known| known.subscriptions.remove(event));
        }
        read.since.remove(&(capability.into(), event.into()));
        state.changes += 1;
    }

    /// A capability was retired.
    pub fn retire(&self, capability: &str) {
        let mut state = self.lock();
        state.own.remove(capability);
        state.read.all.remove(capability);
        state.read.since.retain(|(whose, _), _| whose != capability);
        state.changes += 1;
    }

    /// Where one is before a look at the registry; for [`Remembered::learn`].
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// What was read in a registry that had been told all: what is missing there was ended. Nothing is learned from a look
    /// during which something else was, nor from an empty registry.
    pub fn learn(&self, read: Read, changes: u64) {
        let mut state = self.lock();
        if state.changes != changes || read.all.is_empty() || state.read == read {
            return;
        }
        state.own.retain(|capability, _| !read.retired.contains(capability));
        for (capability, own) in &mut state.own {
            let there = read.all.get(capability);
            own.subscriptions.retain(|event, _| there.is_some_and(|there| there.subscriptions.contains_key(event)));
        }
        state.read = read;
        state.changes += 1;
    }

    /// What a server that has this registry is to be told.
    pub fn missing(&self, there: &Read) -> Registered {
        let state = self.lock();
        let is_retired = |capability: &String| there.retired.contains(capability);
        let mut missing = state.own.clone();
        missing.retain(|capability, _| !is_retired(capability));
        if state.read.since.iter().any(|(whose, since)| there.since.get(whose) == Some(since)) {
            return missing;
        }
        for (capability, known) in state.read.all.iter().filter(|(capability, _)| !is_retired(capability)) {
            let has =
                |event: &str| there.all.get(capability).is_some_and(|there| there.subscriptions.contains_key(event));
            let one = missing.entry(capability.clone()).or_default();
            if one.partitions == 0 {
                one.partitions = known.partitions;
            }
            for (event, subscription) in known.subscriptions.iter().filter(|(event, _)| !has(event)) {
                one.subscriptions.entry(event.clone()).or_insert_with(|| subscription.clone());
            }
        }
        missing
    }

    /// Whether there is nothing to tell anybody.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        state.own.is_empty() && state.read.all.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry in which these capabilities subscribe to these events, since these versions.
    fn read(subscriptions: &[(&str, &str, u64)]) -> Read {
        let mut read = Read::default();
        for (capability, event, since) in subscriptions {
            let of_capability = read.all.entry(capability.to_string()).or_default();
            of_capability.partitions = 2;
            of_capability.subscriptions.insert(event.to_string(), format!("since {since}"));
            read.since.insert((capability.to_string(), event.to_string()), *since);
        }
        read
    }

    fn told(registered: &Registered) -> Vec<(&str, &str)> {
        registered
            .iter()
            .flat_map(|(capability, one)| {
                one.subscriptions.values().map(move |how| (capability.as_str(), how.as_str()))
            })
            .collect()
    }

    #[test]
    fn one_that_has_forgotten_is_told_what_it_has_not_been_told_since() {
        let remembered = Remembered::default();
        remembered.learn(read(&[("a", "e", 1), ("b", "e", 2)]), 0);
        let all = remembered.missing(&Read::default());
        assert_eq!(told(&all), [("a", "since 1"), ("b", "since 2")]);
        assert!(all.values().all(|one| one.partitions == 2));
        assert_eq!(told(&remembered.missing(&read(&[("b", "e", 9)]))), [("a", "since 1")]);
        assert!(remembered.missing(&read(&[("b", "e", 2)])).is_empty(), "that one has forgotten nothing");
    }

    #[test]
    fn what_a_node_has_registered_itself_is_told_until_it_was_ended() {
        let remembered = Remembered::default();
        remembered.add("a", 1, [("e", "own".to_string())].into_iter());
        let before = remembered.changes();
        remembered.learn(read(&[("a", "e", 1), ("b", "e", 2)]), before);
        assert_eq!(told(&remembered.missing(&read(&[("b", "e", 2)]))), [("a", "own")]);
        remembered.learn(read(&[("b", "e", 2)]), before);
        assert_eq!(told(&remembered.missing(&Read::default())).len(), 2, "that look began too early");
        remembered.learn(Read::default(), remembered.changes());
        assert_eq!(told(&remembered.missing(&Read::default())).len(), 2, "that one is empty");
        remembered.learn(read(&[("b", "e", 2)]), remembered.changes());
        assert_eq!(told(&remembered.missing(&Read::default())), [("b", "since 2")]);
        remembered.remove("b", "e");
        assert_eq!(told(&remembered.missing(&Read::default())), []);
    }

    #[test]
    fn nobody_is_told_of_what_was_retired() {
        let remembered = Remembered::default();
        remembered.add("a", 1, [("e", "own".to_string())].into_iter());
        remembered.learn(read(&[("a", "e", 1), ("b", "e", 2)]), remembered.changes());
        let there = Read { retired: ["a".to_string()].into(), ..Read::default() };
        assert_eq!(told(&remembered.missing(&there)), [("b", "since 2")]);
        remembered.retire("a");
        assert_eq!(told(&remembered.missing(&Read::default())), [("b", "since 2")]);
    }
}
