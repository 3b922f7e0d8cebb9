//! Reading the log: one task of a node reads for all partitions that it owns, and gives each worker its entries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::task::{TaskName, Tasks};
use essaim_config::DurableConfig;
use essaim_protocol::log::{Entry, Log, Partition, Position, Reading};
use tokio::sync::{Notify, mpsc};

use super::in_flight::InFlight;
use crate::soon;

/// Entries of one partition that are read at a time.
const ENTRIES: u32 = 8;
/// How long one call waits for entries. A partition that comes or goes interrupts it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits while a worker is behind: that one is to get more soon after it has caught up.
const PATIENCE_WHILE_BEHIND: Duration = Duration::from_millis(10);

/// The reading of one node.
pub struct Reader {
    workers: Mutex<HashMap<Partition, Subscriber>>,
    changed: Notify,
    /// Told whenever a worker has come further.
    pub progress: Arc<Notify>,
    config: DurableConfig,
}

struct Subscriber {
    after: Position,
    entries: mpsc::UnboundedSender<Entry>,
    in_flight: Arc<InFlight>,
}

/// A partition's entries, as long as this lives.
pub struct Subscription {
    partition: Partition,
    reader: Arc<Reader>,
    in_flight: Arc<InFlight>,
}

impl Reader {
    /// Begins to read, on the thread of these tasks.
    pub fn start(log: Arc<dyn Log>, config: &DurableConfig, env: Env, tasks: &Tasks) -> Arc<Self> {
        let (workers, changed, progress) = (Mutex::default(), Notify::new(), Arc::default());
        let reader = Arc::new(Self { workers, changed, progress, config: config.clone() });
        let reading = reader.clone();
        tasks.restarted(TaskName::of_node("reader"), move || reading.clone().read(log.clone(), env.clone()));
        reader
    }

    /// The entries of a partition from its beginning on, and how many of its messages are in flight: the worker that takes them
    /// counts down.
    pub fn subscribe(
        self: &Arc<Self>,
        partition: &Partition,
    ) -> (Subscription, mpsc::UnboundedReceiver<Entry>, Arc<InFlight>) {
        // Bounded by `durable.window`: no more is read while so many messages are in flight.
        let (entries, receiver) = mpsc::unbounded_channel();
        let in_flight = Arc::new(InFlight::new(self.progress.clone()));
        let subscriber = Subscriber { after: Position::default(), entries, in_flight: in_flight.clone() };
        self.lock().insert(partition.clone(), subscriber);
        self.changed.notify_one();
        let (partition, reader) = (partition.clone(), self.clone());
        (Subscription { partition, reader, in_flight: in_flight.clone() }, receiver, in_flight)
    }

    async fn read(self: Arc<Self>, log: Arc<dyn Log>, env: Env) {
        let mut failures = 0;
        loop {
            let (readings, behind) = self.readings();
            let patience = if behind { PATIENCE_WHILE_BEHIND } else { PATIENCE };
            if readings.is_empty() {
                // Nothing to be read, or everybody is behind.
                let _ = tokio::time::timeout(patience, self.changed.notified()).await;
                continue;
            }
            let read = tokio::select! {
                read = log.read(&readings, patience) => read,
                () = self.changed.notified() => continue,
            };
            match read {
                Ok(entries) => {
                    failures = 0;
                    self.give(entries);
                }
                Err(error) => {
                    failures += 1;
                    if failures == 3 {
                        tracing::warn!(%error, "the log cannot be read; trying again");
                    }
                    tokio::time::sleep(soon(&self.config).delay(failures, &env)).await;
                }
            }
        }
    }

    /// What is to be read, and whether somebody is too far behind to get more.
    fn readings(&self) -> (Vec<Reading>, bool) {
        let workers = self.lock();
        let has_room = |s: &Subscriber| s.in_flight.count() < self.config.window;
        let open = workers.iter().filter(|(_, s)| has_room(s));
        let readings: Vec<_> = open
            .map(|(partition, s)| Reading { partition: partition.clone(), after: s.after, most: ENTRIES })
            .collect();
        let behind = readings.len() < workers.len();
        (readings, behind)
    }

    fn give(&self, read: Vec<(Partition, Vec<Entry>)>) {
        let mut workers = self.lock();
        for (partition, entries) in read {
            // It may have gone, or begun anew, while this was read.
            let Some(subscriber) = workers.get_mut(&partition) else { continue };
            for entry in entries.into_iter() {
                if entry.position > subscriber.after {
                    let after = entry.position;
                    subscriber.in_flight.given(entry.count as usize);
                    let _ = subscriber.entries.send(entry);
                    // Not before: what nobody was given is read again.
                    subscriber.after = after;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Partition, Subscriber>> {
        self.workers.lock()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A worker that has lost its partition may end after its successor in this node has begun.
        let own = |s: &Subscriber| Arc::ptr_eq(&s.in_flight, &self.in_flight);
        let mut workers = self.reader.lock();
        if workers.get(&self.partition).is_some_and(own) {
            workers.remove(&self.partition);
            self.reader.changed.notify_one();
        }
    }
}
