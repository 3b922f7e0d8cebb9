//! The sender: all that this node sends at a time goes to the log together.
//!
//! One task takes all that waits, packs it into a batch for each partition and appends the batches in one call; while the
//! log answers, the next ones gather. So a lone message leaves at once, and many share the cost of one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use essaim_base::crash;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::DurableConfig;
use essaim_contract::SendError;
use essaim_protocol::log::{Append, AppendError, Appended, Beginning, Log, LogError, Partition, Registry, WhenFull};
use essaim_protocol::record::Batch;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::message::{OutgoingKind, OutgoingMessage};
use crate::outbox::BackfillSubscriber;

/// The most bytes of messages in one call of the log, about: it is answered as a whole, and in time.
const CALL_BYTES: usize = 4 << 20;

/// The way of this node into the log.
pub struct Sender {
    requests: mpsc::Sender<SendRequest>,
    config: DurableConfig,
    /// The version of the registry by which it sends.
    version: Arc<AtomicU64>,
}

/// Letters that are answered together.
struct SendRequest {
    messages: Vec<OutgoingMessage>,
    answer: oneshot::Sender<Vec<SendOutcome>>,
}

/// The outcome for one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendOutcome {
    /// Subscribers that have no room for it, and what is to be done about that; the others have it.
    pub full: Vec<(Arc<str>, WhenFull)>,
    /// Those of its subscribers for whom it has to wait behind others; they do not have it.
    pub behind: Vec<Arc<str>>,
    /// Whether it is stored for anybody.
    pub stored: bool,
    /// Why it may not be stored; repeating it does no harm.
    pub error: Option<SendError>,
}

impl Sender {
    /// Begins to store, on the thread of these tasks.
    pub fn start(log: Arc<dyn Log>, config: &DurableConfig, partitions: HashMap<String, u32>, tasks: &Tasks) -> Self {
        let (requests, waiting) = mpsc::channel(config.sends_waiting);
        let version = Arc::<AtomicU64>::default();
        let send_loop = SendLoop { log, config: config.clone(), partitions, registry: None, version: version.clone() };
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        tasks.restarted(TaskName::of_node("sender"), move || send_loop.clone().work(waiting.clone()));
        Self { requests, config: config.clone(), version }
    }

    /// Stores one letter for somebody who can be told to come back later.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, message: OutgoingMessage) -> Result<(), SendError> {
        let (id, capability) = (message.id.clone(), message.capability.clone());
        let (answer, answered) = oneshot::channel();
        if self.requests.try_send(SendRequest { messages: vec![message], answer }).is_err() {
            let bound = format!("durable.sends_waiting = {} messages wait in this node", self.config.sends_waiting);
            return Err(SendError::Full { capability: capability.to_string(), bound });
        }
        let limit = Duration::from_millis(self.config.send_timeout_ms);
        let Ok(Ok(mut sent)) = timeout(limit, answered).await else { return Err(SendError::Unknown { id }) };
        let sent = sent.pop().unwrap_or_default();
        match (sent.error, sent.full.into_iter().next()) {
            (Some(error), _) => Err(error),
            // Some have it: it is not for its sender to say that it was not stored, and to send it under another id.
            (None, Some(_)) if sent.stored => Err(SendError::Unknown { id }),
            (None, Some((capability, _))) => Err(self.full(&capability)),
            (None, None) => Ok(()),
        }
    }

    /// Stores letters in their order, for somebody who repeats what was not stored.
    pub async fn send_all(&self, messages: Vec<OutgoingMessage>) -> Vec<SendOutcome> {
        let unknown: Vec<_> =
            messages.iter().map(|l| SendOutcome::failed(SendError::Unknown { id: l.id.clone() })).collect();
        let (answer, answered) = oneshot::channel();
        let limit = Duration::from_millis(self.config.send_timeout_ms);
        let sent = async {
            self.requests.send(SendRequest { messages, answer }).await.ok()?;
            answered.await.ok()
        };
        timeout(limit, sent).await.ok().flatten().unwrap_or(unknown)
    }

    /// The version of the registry by which it sends; 0 before it has sent anything.
    pub fn registry_version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    fn full(&self, capability: &str) -> SendError {
        let bound = format!("durable.partition_messages = {} wait in its partition", self.config.partition_messages);
        SendError::Full { capability: capability.to_string(), bound }
    }
}

impl SendOutcome {
    fn failed(error: SendError) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

/// The task that stores. One that begins anew asks the log for the registry.
#[derive(Clone)]
struct SendLoop {
    log: Arc<dyn Log>,
    config: DurableConfig,
    /// Partitions of those capabilities for which the configuration says something else than for all.
    partitions: HashMap<String, u32>,
    registry: Option<Arc<Registry>>,
    version: Arc<AtomicU64>,
}

/// Batches on their way, and which letters are in each.
#[derive(Default)]
struct PackedBatches {
    batches: Vec<(Partition, Batch, Vec<BatchedCopy>)>,
    /// The batch of each partition that is still open, of what is urgent and of what is not.
    open: HashMap<(Partition, bool), usize>,
    /// Letters that have to wait behind others, and for which subscriber.
    behind: Vec<(usize, Arc<str>)>,
}

/// A letter in a batch.
struct BatchedCopy {
    message: usize,
    /// What to do if there is no room, for a copy of an event.
    when_full: Option<WhenFull>,
}

impl SendLoop {
    async fn work(mut self, waiting: Arc<tokio::sync::Mutex<mpsc::Receiver<SendRequest>>>) {
        let mut waiting = waiting.lock().await;
        let mut requests = Vec::new();
        while waiting.recv_many(&mut requests, self.config.sends_waiting).await > 0 {
            while !requests.is_empty() {
                let together: Vec<_> = requests.drain(..fitting(&requests)).collect();
                let messages: Vec<_> = together.iter().flat_map(|request| &request.messages).collect();
                let mut sent = self.store(&messages).await.into_iter();
                for request in together {
                    // A sender that does not wait any more has been told that the outcome is unknown.
                    let _ = request.answer.send(sent.by_ref().take(request.messages.len()).collect());
                }
            }
        }
    }

    async fn store(&mut self, messages: &[&OutgoingMessage]) -> Vec<SendOutcome> {
        loop {
            let registry = match self.registry_for(messages).await {
                Ok(registry) => registry,
                Err(error) => {
                    let not_stored =
                        |_: &&OutgoingMessage| SendOutcome::failed(SendError::NotStored { reason: error.to_string() });
                    return messages.iter().map(not_stored).collect();
                }
            };
            self.version.store(registry.version, Ordering::Relaxed);
            let packed = self.pack(messages, &registry);
            let mut appends = Vec::with_capacity(packed.batches.len());
            for (to, batch, copies) in &packed.batches {
                let (count, batch) = (batch.count, Bytes::copy_from_slice(&batch.bytes));
                let urgent = copies.iter().all(|copy| messages[copy.message].urgent);
                appends.push(Append { to: to.clone(), count, batch, urgent });
            }
            crash::point("sender.before-append");
            let appended = self.log.append(registry.version, self.config.partition_messages, &appends).await;
            crash::point("sender.after-append");
            match appended {
                Err(AppendError::Stale) => self.registry = None,
                appended => return self.sent(messages, &packed, appended),
            }
        }
    }

    /// The registry, in which each command's capability is known.
    async fn registry_for(&mut self, messages: &[&OutgoingMessage]) -> Result<Arc<Registry>, LogError> {
        loop {
            let registry = match &self.registry {
                Some(registry) => registry.clone(),
                None => self.registry.insert(self.log.registry().await?).clone(),
            };
            let unknown = messages.iter().find(|l| {
                !matches!(l.kind, OutgoingKind::Event { .. }) && !registry.partitions.contains_key(l.receiver())
            });
            let Some(message) = unknown else { return Ok(registry) };
            let receiver = message.receiver();
            let partitions = self.partitions.get(receiver).copied().unwrap_or(self.config.partitions);
            self.log.register(receiver, partitions, &[]).await?;
            self.registry = None;
        }
    }

    fn pack(&self, messages: &[&OutgoingMessage], registry: &Registry) -> PackedBatches {
        let mut packed = PackedBatches::default();
        let add = |packed: &mut PackedBatches, index: usize, capability: &str, when_full| {
            let message = messages[index];
            let partitions = registry.partitions.get(capability).copied().unwrap_or(self.config.partitions);
            let to = Partition { capability: capability.into(), number: partition_of(&message.order, partitions) };
            packed.add(to, message, BatchedCopy { message: index, when_full }, self.config.batch_bytes);
        };
        for (index, message) in messages.iter().enumerate() {
            match &message.kind {
                OutgoingKind::Command => add(&mut packed, index, &message.capability, None),
                OutgoingKind::EventFor(subscriber) => add(&mut packed, index, subscriber, Some(WhenFull::Block)),
                OutgoingKind::Event { except, backfilled } => {
                    for (subscriber, how) in registry.subscriptions.get(&*message.name).into_iter().flatten() {
                        let is_backfilled = |all: &Arc<[_]>| {
                            all.iter().any(|l: &BackfillSubscriber| l.is(&message.name, subscriber, how.since))
                        };
                        let awaits_backfill = how.from == Beginning::EarliestRetained
                            && backfilled.as_ref().is_some_and(|all| !is_backfilled(all));
                        match except.iter().find(|except| ***except == **subscriber) {
                            // It gets it with what is kept, once it has caught up.
                            _ if awaits_backfill => {}
                            Some(subscriber) => packed.behind.push((index, subscriber.clone())),
                            None => add(&mut packed, index, subscriber, Some(how.when_full)),
                        }
                    }
                }
            }
        }
        packed
    }

    fn sent(
        &self,
        messages: &[&OutgoingMessage],
        packed: &PackedBatches,
        appended: Result<Vec<Appended>, AppendError>,
    ) -> Vec<SendOutcome> {
        let appended = match appended {
            Ok(appended) => appended,
            Err(AppendError::Unknown(reason)) => {
                tracing::warn!(reason, messages = messages.len(), "whether messages were stored is not known");
                return messages.iter().map(|l| SendOutcome::failed(SendError::Unknown { id: l.id.clone() })).collect();
            }
            Err(error) => {
                let reason = error.to_string();
                let not_stored =
                    |_: &&OutgoingMessage| SendOutcome::failed(SendError::NotStored { reason: reason.clone() });
                return messages.iter().map(not_stored).collect();
            }
        };
        let mut sent = vec![SendOutcome::default(); messages.len()];
        packed.behind.iter().for_each(|(message, subscriber)| sent[*message].behind.push(subscriber.clone()));
        for ((to, _, copies), appended) in packed.batches.iter().zip(appended) {
            let Appended::Full { waiting } = appended else {
                copies.iter().for_each(|copy| sent[copy.message].stored = true);
                continue;
            };
            for copy in copies {
                match copy.when_full {
                    Some(when_full) => sent[copy.message].full.push((to.capability.clone(), when_full)),
                    None => {
                        let (capability, most) = (to.capability.to_string(), self.config.partition_messages);
                        let bound =
                            format!("{waiting} messages wait in its partition, durable.partition_messages = {most}");
                        sent[copy.message].error = Some(SendError::Full { capability, bound });
                    }
                }
            }
        }
        sent
    }
}

/// How many of the first jobs go into one call of the log: as many as have [`CALL_BYTES`] together, or one.
fn fitting(requests: &[SendRequest]) -> usize {
    let mut bytes = 0;
    let fit = requests.iter().take_while(|request| {
        bytes += request.messages.iter().map(|message| message.record.len()).sum::<usize>();
        bytes <= CALL_BYTES
    });
    fit.count().max(1)
}

impl PackedBatches {
    fn add(&mut self, to: Partition, message: &OutgoingMessage, copy: BatchedCopy, batch_bytes: usize) {
        let open = self.open.get(&(to.clone(), message.urgent)).copied().filter(|&index| {
            let bytes = &self.batches[index].1.bytes;
            bytes.len() + message.record.len() <= batch_bytes
        });
        let index = open.unwrap_or_else(|| {
            self.batches.push((to.clone(), Batch::default(), Vec::new()));
            self.open.insert((to, message.urgent), self.batches.len() - 1);
            self.batches.len() - 1
        });
        let (_, batch, copies) = &mut self.batches[index];
        batch.push(&message.record);
        copies.push(copy);
    }
}

impl OutgoingMessage {
    /// The capability in whose partitions it is stored; of an event for all, the publisher.
    fn receiver(&self) -> &str {
        match &self.kind {
            OutgoingKind::EventFor(subscriber) => subscriber,
            _ => &self.capability,
        }
    }
}

/// The partition of a key: FNV-1a of its bytes (64 bits), which any language has, modulo the number of partitions.
pub fn partition_of(order: &str, partitions: u32) -> u32 {
    let hash = order
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash % u64::from(partitions.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_partition_is_the_same_in_every_version() {
        assert_eq!(partition_of("", 8), (0xcbf2_9ce4_8422_2325_u64 % 8) as u32);
        assert_eq!(partition_of("a", 1_000), (0xaf63_dc4c_8601_ec8c_u64 % 1_000) as u32);
        assert_eq!(partition_of("order-1", 0), 0);
    }
}
