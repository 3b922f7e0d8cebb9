//! The writer's state of the log, and the changes of a group of jobs.
//!
//! Only the writer writes, so its memory has the stored state and the changes of the present group. When a group fails, both are
//! dropped and the state is loaded again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use essaim_protocol::log::{
    Acknowledge, Acknowledged, Append, AppendError, Appended, LogError, Partition, Registry, Subscription, Tally,
};
use essaim_store::own_rows::OwnQueries;
use sea_orm::DbErr;

use super::published::Published;
use super::{dead_letters, rows};

/// The registry, and the counters of every partition.
pub(super) struct LogState {
    pub registry: Registry,
    pub rows: HashMap<Partition, PartitionRow>,
    last_id: i64,
}

/// The counters of one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct PartitionRow {
    /// Its number among the partitions of all capabilities.
    pub id: i64,
    /// The position of the last entry ever appended; positions are never used again.
    pub last: u64,
    /// Messages appended, ever.
    pub appended: u64,
    /// How many they were when they were read from the file, until a database has told what it knows; not stored.
    pub loaded: Option<u64>,
    /// Messages in its present entries.
    pub waiting: u64,
    /// Messages that its owner has parked; not stored, since each new owner reports it.
    pub parked: u64,
    /// The highest epoch of an owner.
    pub epoch: u64,
    pub tally: Tally,
}

/// An entry to store.
pub(super) struct NewEntry {
    pub partition: i64,
    pub position: u64,
    pub first: u64,
    pub count: u32,
    pub batch: Bytes,
}

/// The changes of a group of jobs that are not stored yet.
#[derive(Default)]
pub(super) struct LogChanges {
    pub entries: Vec<NewEntry>,
    /// Partitions whose rows have changed.
    pub rows: HashSet<Partition>,
    pub capabilities: Vec<(String, u32)>,
    /// Events and subscribers, each with its new subscription or `None` for its end.
    pub subscriptions: Vec<(String, String, Option<Subscription>)>,
    pub dead: Vec<(Arc<str>, String, Bytes)>,
    /// Capabilities that are removed, before all other changes.
    pub retired: Vec<Arc<str>>,
    /// Capabilities whose owners may have changed; owners are not stored.
    pub changed_owners: Vec<Arc<str>>,
}

impl LogState {
    /// Reads it from the database.
    pub async fn load(db: &impl OwnQueries) -> Result<Self, DbErr> {
        let registry = rows::registry(db).await?;
        let rows: HashMap<_, _> = rows::partitions(db).await?.into_iter().collect();
        let last_id = rows.values().map(|row| row.id).max().unwrap_or(0);
        Ok(Self { registry, rows, last_id })
    }

    /// The same, if what is known of the file was published before: whether it is older than a database is told once, when it is
    /// opened, and not by what it has when a group has failed.
    pub fn of_the_same_file(mut self, published: &Published) -> Self {
        for (partition, row) in &mut self.rows {
            row.loaded = published.place(partition).map_or(row.loaded, |known| known.loaded);
        }
        self
    }

    /// Registers a capability and its subscriptions.
    pub fn register(
        &mut self,
        capability: &str,
        partitions: u32,
        subscriptions: &[(String, Subscription)],
        changes: &mut LogChanges,
    ) {
        let mut changed = false;
        if !self.registry.partitions.contains_key(capability) {
            // Without a partition the capability could receive no message.
            let partitions = partitions.max(1);
            self.registry.partitions.insert(capability.into(), partitions);
            changes.capabilities.push((capability.into(), partitions));
            let capability: Arc<str> = capability.into();
            for number in 0..partitions {
                let partition = Partition { capability: capability.clone(), number };
                self.last_id += 1;
                self.rows.insert(partition.clone(), PartitionRow { id: self.last_id, ..PartitionRow::default() });
                changes.rows.insert(partition);
            }
            changed = true;
        }
        for (event, how) in subscriptions {
            let subscribers = self.registry.subscriptions.entry(event.clone()).or_default();
            let since = subscribers.get(capability).map_or(self.registry.version + 1, |known| known.since);
            let how = Subscription { since, ..*how };
            if subscribers.insert(capability.into(), how) != Some(how) {
                changes.subscriptions.push((event.clone(), capability.into(), Some(how)));
                changed = true;
            }
        }
        self.registry.version += u64::from(changed);
    }

    /// Ends a subscription, and returns whether there was one.
    pub fn unsubscribe(&mut self, event: &str, capability: &str, changes: &mut LogChanges) -> bool {
        let Some(subscribers) = self.registry.subscriptions.get_mut(event) else { return false };
        if subscribers.remove(capability).is_none() {
            return false;
        }
        if subscribers.is_empty() {
            self.registry.subscriptions.remove(event);
        }
        changes.subscriptions.push((event.into(), capability.into(), None));
        self.registry.version += 1;
        true
    }

    /// Raises the epoch to one of another log that a database has seen: the next one is higher.
    pub fn raise_epoch(&mut self, partition: Partition, seen: u64, changes: &mut LogChanges) {
        let row = self.rows.entry(partition.clone()).or_default();
        row.epoch = row.epoch.max(seen);
        changes.rows.insert(partition);
    }

    /// Counts on from behind messages that a database knows to have been appended. The file that was opened is an older state if it has
    /// counted fewer: those that were appended to it since come behind them.
    pub fn raise(&mut self, partition: &Partition, appended: u64, changes: &mut LogChanges) -> Result<(), LogError> {
        let Some(row) = self.rows.get_mut(partition) else { return Err(LogError::UnknownPartition(partition.clone())) };
        let counted = row.loaded.take().unwrap_or(row.appended);
        row.appended += appended.saturating_sub(counted);
        changes.rows.insert(partition.clone());
        Ok(())
    }

    /// Removes a capability, and returns the number of its waiting messages.
    pub fn retire(&mut self, capability: &str, changes: &mut LogChanges) -> u64 {
        self.registry.partitions.remove(capability);
        self.registry.subscriptions.retain(|_, subscribers| {
            subscribers.remove(capability);
            !subscribers.is_empty()
        });
        self.registry.version += 1;
        changes.retired.push(capability.into());
        let gone = self.rows.extract_if(|partition, _| *partition.capability == *capability);
        gone.map(|(_, row)| row.waiting).sum()
    }

    /// A new epoch for an owner of this partition, higher than any before, in this file or in one that was lost: in
    /// microseconds since 1970, as all logs give them, since a capability can go on with another log.
    pub fn next_epoch(&mut self, partition: Partition, wall_ms: u64, changes: &mut LogChanges) -> u64 {
        let row = self.rows.entry(partition.clone()).or_default();
        row.epoch = wall_ms.saturating_mul(1_000).max(row.epoch + 1);
        changes.rows.insert(partition);
        row.epoch
    }

    /// The entries that an acknowledgement may remove, by partition and position.
    pub fn removable<'a>(&self, acknowledge: &'a Acknowledge) -> impl Iterator<Item = (i64, u64)> + 'a {
        let row = self.rows.get(&acknowledge.partition).filter(|row| acknowledge.epoch >= row.epoch);
        let id = row.map(|row| row.id);
        let positions = acknowledge.positions.iter().chain(&acknowledge.foreign);
        positions.filter_map(move |position| Some((id?, position.0)))
    }

    /// Counts removed entries, each for the first acknowledgement that names it.
    ///
    /// The tally of an acknowledgement is added unless all its entries were gone: then it is a repetition.
    pub fn acknowledge(
        &mut self,
        acknowledge: &Acknowledge,
        removed: &mut HashMap<(i64, u64), u64>,
        changes: &mut LogChanges,
    ) -> Result<Acknowledged, LogError> {
        let partition = &acknowledge.partition;
        let Some(row) = self.rows.get_mut(partition) else { return Err(LogError::UnknownPartition(partition.clone())) };
        if acknowledge.epoch < row.epoch {
            return Ok(Acknowledged::Fenced);
        }
        row.parked = acknowledge.parked;
        let mut repeated = !(acknowledge.positions.is_empty() && acknowledge.foreign.is_empty());
        for position in &acknowledge.positions {
            if let Some(count) = removed.remove(&(row.id, position.0)) {
                row.waiting = row.waiting.saturating_sub(count);
                repeated = false;
            }
        }
        for position in &acknowledge.foreign {
            if removed.remove(&(row.id, position.0)).is_some() {
                row.appended += 1;
                repeated = false;
            }
        }
        if !repeated {
            row.tally.handled += acknowledge.tally.handled;
            row.tally.duplicates += acknowledge.tally.duplicates;
            row.tally.dead += acknowledge.tally.dead;
            row.tally.expired += acknowledge.tally.expired;
            let dead = acknowledge.dead.iter();
            changes.dead.extend(dead.map(|(id, letter)| (partition.capability.clone(), id.clone(), letter.clone())));
            changes.rows.insert(partition.clone());
        }
        Ok(Acknowledged::Done)
    }

    /// Appends to the partitions that have room, if the sender knows the present registry.
    pub fn append(
        &mut self,
        registry: u64,
        most: u64,
        appends: &[Append],
        changes: &mut LogChanges,
    ) -> Result<Vec<Appended>, AppendError> {
        if registry != self.registry.version {
            return Err(AppendError::Stale);
        }
        if let Some(append) = appends.iter().find(|append| !self.rows.contains_key(&append.to)) {
            return Err(AppendError::NotStored(LogError::UnknownPartition(append.to.clone()).to_string()));
        }
        Ok(appends.iter().map(|append| self.append_one(most, append, changes)).collect())
    }

    fn append_one(&mut self, most: u64, append: &Append, changes: &mut LogChanges) -> Appended {
        let row = self.rows.entry(append.to.clone()).or_default();
        debug_assert!(row.waiting <= row.appended, "only appended messages wait");
        let waiting = row.waiting + row.parked;
        if waiting >= most && !append.urgent {
            return Appended::Full { waiting };
        }
        let (first, count) = (row.appended, append.count);
        row.last += 1;
        row.appended += u64::from(count);
        row.waiting += u64::from(count);
        let (partition, position, batch) = (row.id, row.last, append.batch.clone());
        changes.entries.push(NewEntry { partition, position, first, count, batch });
        if !changes.rows.contains(&append.to) {
            changes.rows.insert(append.to.clone());
        }
        Appended::Stored { first }
    }
}

impl LogChanges {
    /// Whether the registry has changed.
    pub fn of_registry(&self) -> bool {
        !self.capabilities.is_empty() || !self.subscriptions.is_empty() || !self.retired.is_empty()
    }

    /// Stores them.
    pub async fn store(&self, state: &LogState, db: &impl OwnQueries) -> Result<(), DbErr> {
        if self.of_registry() {
            rows::keep_version(db, state.registry.version).await?;
        }
        for (name, partitions) in &self.capabilities {
            rows::keep_capability(db, name, *partitions).await?;
        }
        for (event, capability, how) in &self.subscriptions {
            rows::keep_subscription(db, event, capability, *how).await?;
        }
        let changed = self.rows.iter().filter_map(|partition| state.rows.get_key_value(partition));
        rows::keep_partitions(db, &changed.collect::<Vec<_>>()).await?;
        rows::insert(db, &self.entries).await?;
        for letter in &self.dead {
            dead_letters::keep(db, letter).await?;
        }
        Ok(())
    }
}
