//! A capability that goes on with another log: a node over a bridge takes along what the embedded log in its data
//! directory still holds from the time when it was the only process.
//!
//! An entry is acknowledged there once the bridge's log has its messages, so what is interrupted is done again; the
//! receivers' inboxes make that harmless. It comes before anything new that this node sends or applies, unless the
//! bridge's log has no room.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use essaim_base::crash;
use essaim_base::task::TaskName;
use essaim_contract::SendError;
use essaim_protocol::log::{
    Acknowledge, Append, Entry, HostHeartbeat, Log, LogError, Partition, Position, Reading, Tally,
};
use essaim_protocol::record::Batch;
use tokio::sync::Mutex;

use super::Durable;
use crate::send::message::{OutgoingKind, OutgoingMessage};

/// Entries that are moved at a time.
const ENTRIES: u32 = 8;
/// For so long the mover counts as the owner of what it moves, without saying so again; nobody else wants it.
const LEASE: Duration = Duration::from_hours(24);

/// What is moved.
struct LogMigration {
    from: Arc<dyn Log>,
    durable: Arc<Durable>,
    moved: u64,
}

/// Why moving does not go on now.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("`{0}` has no room in the bridge's log (durable.partition_messages)")]
    Full(Arc<str>),
    #[error("a message cannot be read: {0}")]
    Unreadable(String),
}

/// Takes along what another log still holds. Goes on in the background if the bridge's log does not take it at once. Must run
/// on an arbiter.
pub async fn run(durable: &Arc<Durable>, from: Arc<dyn Log>) {
    let mut migration = LogMigration { from, durable: durable.clone(), moved: 0 };
    if let Err(why) = migration.all().await {
        tracing::warn!(%why, "messages of the embedded log cannot be moved to the bridge's yet; trying again");
        let migration = Arc::new(Mutex::new(migration));
        durable.tasks.restarted(TaskName::of_node("mover"), move || until_all(migration.clone()));
        return;
    }
    migration.log_moved();
}

async fn until_all(migration: Arc<Mutex<LogMigration>>) {
    let (mut migration, mut tries) = (migration.lock().await, 0);
    loop {
        tries += 1;
        tokio::time::sleep(migration.durable.pause(tries)).await;
        if migration.all().await.is_ok() {
            return migration.log_moved();
        }
    }
}

impl LogMigration {
    fn log_moved(&self) {
        if self.moved > 0 {
            tracing::info!(messages = self.moved, "the bridge's log has what the embedded log still held");
        }
    }

    async fn all(&mut self) -> Result<(), Stopped> {
        let registry = self.from.registry().await?;
        for (capability, &partitions) in &registry.partitions {
            let subscribed = registry.subscriptions.iter().filter_map(|(event, subscribers)| {
                subscribers.get(capability).map(|subscription| (event.clone(), *subscription))
            });
            let subscriptions: Vec<_> = subscribed.collect();
            if self.from.counts(capability).await?.iter().all(|count| count.waiting == 0) {
                continue;
            }
            self.durable.log.register(capability, partitions, &subscriptions).await?;
            self.capability(&capability.as_str().into()).await?;
        }
        Ok(())
    }

    async fn capability(&mut self, capability: &Arc<str>) -> Result<(), Stopped> {
        let heartbeat = HostHeartbeat {
            capability: capability.clone(),
            host: "moving".into(),
            handles: Default::default(),
            leaving: false,
            given_up: Vec::new(),
            unhandled: Vec::new(),
            stale_epochs: Vec::new(),
            lease: LEASE,
        };
        for owned in self.from.heartbeat(&heartbeat).await? {
            let partition = Partition { capability: capability.clone(), number: owned.number };
            let mut after = Position::default();
            loop {
                let reading = Reading { partition: partition.clone(), after, most: ENTRIES };
                let found = self.from.read(&[reading], Duration::ZERO).await?;
                let entries: Vec<Entry> = found.into_iter().flat_map(|(_, entries)| entries).collect();
                let Some(last) = entries.last() else { break };
                after = last.position;
                self.send(&partition, &entries).await?;
                crash::point("moving.after-append");
                let of = |foreign| entries.iter().filter(|e| e.foreign == foreign).map(|e| e.position).collect();
                let acknowledge = Acknowledge {
                    partition: partition.clone(),
                    epoch: owned.epoch,
                    positions: of(false),
                    foreign: of(true),
                    // This log has done with them.
                    tally: Tally {
                        handled: entries.iter().map(|entry| u64::from(entry.count)).sum(),
                        ..Tally::default()
                    },
                    dead: Vec::new(),
                    parked: 0,
                };
                self.from.acknowledge(&[acknowledge]).await?;
            }
        }
        Ok(())
    }

    /// Hands entries over; what of them cannot be read as it is, to be a dead letter there.
    async fn send(&mut self, partition: &Partition, entries: &[Entry]) -> Result<(), Stopped> {
        let (mut messages, mut unreadable) = (Vec::new(), Vec::new());
        for entry in entries {
            let keys = &self.durable.trust.keys;
            let (records, rest) = match entry.foreign {
                true => (Vec::new(), Some((1, &entry.batch[..]))),
                false => {
                    let (records, rest) = Batch::open(&entry.batch, entry.count, keys);
                    (records, rest.map(|rest| (rest.count, rest.bytes)))
                }
            };
            unreadable.extend(rest.filter(|(_, bytes)| !bytes.is_empty()));
            let capability = &partition.capability;
            for record in records {
                // What nobody believes is judged by its owner, and is to be found there.
                let record = match record {
                    Ok(record) => record,
                    Err(refused) => {
                        unreadable.push((1, refused.bytes));
                        continue;
                    }
                };
                let to = OutgoingKind::EventFor(capability.clone());
                let message = OutgoingMessage::of(record, capability.clone(), to, keys);
                messages.push(message.map_err(|e| Stopped::Unreadable(e.to_string()))?);
            }
        }
        self.moved += messages.len() as u64;
        for sent in self.durable.sender.send_all(messages).await {
            sent.error.map_or(Ok(()), Err)?;
            if !sent.full.is_empty() {
                return Err(Stopped::Full(partition.capability.clone()));
            }
        }
        self.append_as_it_is(partition, &unreadable).await
    }

    async fn append_as_it_is(&mut self, partition: &Partition, found: &[(u32, &[u8])]) -> Result<(), Stopped> {
        if found.is_empty() {
            return Ok(());
        }
        let log = &self.durable.log;
        let registry = log.registry().await?;
        let partitions = registry.partitions.get(&*partition.capability).copied().unwrap_or(1);
        let to = Partition { number: partition.number % partitions.max(1), ..partition.clone() };
        let append = |&(count, bytes): &(u32, &[u8])| {
            let (batch, most) = (Bytes::copy_from_slice(bytes), u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            Append { to: to.clone(), count: count.clamp(1, most), batch, urgent: true }
        };
        let appends: Vec<_> = found.iter().map(append).collect();
        log.append(registry.version, u64::MAX, &appends).await.map_err(LogError::from)?;
        Ok(())
    }
}
