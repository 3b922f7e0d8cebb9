//! The writer's state as readers see it: what is stored.

use std::collections::HashMap;
use std::sync::Arc;

use essaim_base::lock::{Mutex, MutexGuard};
use essaim_protocol::log::{Partition, Registry};
use tokio::sync::watch;

use super::state::{LogChanges, LogState, PartitionRow};

/// The published state, which readers check before they query the database, and the signal that wakes them.
#[derive(Default)]
pub(super) struct Published {
    state: Mutex<PublishedState>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct PublishedState {
    registry: Arc<Registry>,
    places: HashMap<Partition, PublishedPartition>,
    owners: HashMap<Arc<str>, Vec<Option<(String, u64)>>>,
}

/// The entries of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublishedPartition {
    /// The partition's number in the tables.
    pub id: i64,
    /// The position of the last entry.
    pub last: u64,
    /// Messages appended, ever.
    pub appended: u64,
    /// How many they were when the log was opened, until a database has told what it knows.
    pub loaded: Option<u64>,
}

impl From<&PartitionRow> for PublishedPartition {
    fn from(row: &PartitionRow) -> Self {
        let PartitionRow { id, last, appended, loaded, .. } = *row;
        Self { id, last, appended, loaded }
    }
}

impl Published {
    pub fn registry(&self) -> Arc<Registry> {
        self.known().registry.clone()
    }

    pub fn place(&self, partition: &Partition) -> Option<PublishedPartition> {
        self.known().places.get(partition).copied()
    }

    /// The owners of a capability's partitions.
    pub fn owners(&self, capability: &str) -> Vec<Option<(String, u64)>> {
        self.known().owners.get(capability).cloned().unwrap_or_default()
    }

    /// A signal for every later change of the entries.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Publishes the whole state.
    pub fn replace(&self, state: &LogState) {
        let mut known = self.known();
        known.registry = Arc::new(state.registry.clone());
        known.places = state.rows.iter().map(|(p, row)| (p.clone(), row.into())).collect();
        drop(known);
        self.changed.send_replace(());
    }

    /// Publishes changes.
    pub fn update(&self, state: &LogState, changes: &LogChanges) {
        let mut known = self.known();
        if changes.of_registry() {
            known.registry = Arc::new(state.registry.clone());
        }
        for retired in &changes.retired {
            known.places.retain(|partition, _| partition.capability != *retired);
        }
        for (partition, row) in changes.rows.iter().filter_map(|p| state.rows.get_key_value(p)) {
            match known.places.get_mut(partition) {
                Some(known) => *known = row.into(),
                None => drop(known.places.insert(partition.clone(), row.into())),
            }
        }
        drop(known);
        if !changes.entries.is_empty() {
            self.changed.send_replace(());
        }
    }

    /// Publishes the owners of a capability's partitions.
    pub fn own(&self, capability: Arc<str>, owners: Vec<Option<(String, u64)>>) {
        self.known().owners.insert(capability, owners);
    }

    fn known(&self) -> MutexGuard<'_, PublishedState> {
        self.state.lock()
    }
}
