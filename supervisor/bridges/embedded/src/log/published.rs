//! What the writer tells everybody else once it is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use essaim_protocol::log::{Partition, Registry};
use tokio::sync::watch;

use super::state::{Changes, State};

/// Where readers look before they ask the database, and what wakes them up.
#[derive(Default)]
pub(super) struct Published {
    known: Mutex<Known>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Known {
    registry: Arc<Registry>,
    places: HashMap<Partition, Place>,
    owners: HashMap<Arc<str>, Vec<Option<(String, u64)>>>,
}

/// Where the entries of a partition are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub id: i64,
    /// The position of the last entry.
    pub last: u64,
}

impl Published {
    pub fn registry(&self) -> Arc<Registry> {
        self.known().registry.clone()
    }

    pub fn place(&self, partition: &Partition) -> Option<Place> {
        self.known().places.get(partition).copied()
    }

    /// The owner of each partition of a capability, as far as there are any.
    pub fn owners(&self, capability: &str) -> Vec<Option<(String, u64)>> {
        self.known().owners.get(capability).cloned().unwrap_or_default()
    }

    /// Tells of every later change of what can be read.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Notes all there is.
    pub fn replace(&self, state: &State) {
        let mut known = self.known();
        known.registry = Arc::new(state.registry.clone());
        known.places = state.rows.iter().map(|(p, row)| (p.clone(), Place { id: row.id, last: row.last })).collect();
        drop(known);
        self.changed.send_replace(());
    }

    /// Notes what has changed.
    pub fn update(&self, state: &State, changes: &Changes) {
        let mut known = self.known();
        if changes.of_registry() {
            known.registry = Arc::new(state.registry.clone());
        }
        for retired in &changes.retired {
            known.places.retain(|partition, _| partition.capability != *retired);
        }
        for (partition, row) in changes.rows.iter().filter_map(|p| state.rows.get_key_value(p)) {
            let place = Place { id: row.id, last: row.last };
            match known.places.get_mut(partition) {
                Some(known) => *known = place,
                None => drop(known.places.insert(partition.clone(), place)),
            }
        }
        drop(known);
        if !changes.entries.is_empty() {
            self.changed.send_replace(());
        }
    }

    /// Notes who owns the partitions of a capability.
    pub fn own(&self, capability: Arc<str>, owners: Vec<Option<(String, u64)>>) {
        self.known().owners.insert(capability, owners);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
