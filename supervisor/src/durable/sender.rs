//! Storing messages: whatever this node sends at a time goes to the log together.
//!
//! One task takes all that waits, packs it into a batch for each partition and appends the batches in one call; while the
//! log answers, the next ones gather. So a lone message leaves at once, and many share the cost of one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use essaim_contract::SendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::letter::{Letter, LetterKind};
use super::outbox::Latecomer;
use super::record::Batch;
use crate::bridge::log::{Append, AppendError, Appended, Beginning, Log, LogError, Partition, Registry, WhenFull};
use crate::config::DurableConfig;
use crate::crash;
use crate::task::{TaskName, Tasks};

/// The most bytes of messages in one call of the log, about: it is answered as a whole, and in time.
const CALL_BYTES: usize = 4 << 20;

/// The way of this node into the log.
pub(crate) struct Sender {
    jobs: mpsc::Sender<Job>,
    config: DurableConfig,
    /// The version of the registry by which it sends.
    version: Arc<AtomicU64>,
}

/// Letters that are answered together.
struct Job {
    letters: Vec<Letter>,
    answer: oneshot::Sender<Vec<Sent>>,
}

/// What became of one letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Subscribers that have no room for it, and what is to be done about that; the others have it.
    pub full: Vec<(Arc<str>, WhenFull)>,
    /// Those of its subscribers for whom it has to wait behind others; they do not have it.
    pub behind: Vec<Arc<str>>,
    /// Whether it is stored for anybody.
    pub stored: bool,
    /// Why it may not be stored; whoever repeats it does no harm.
    pub error: Option<SendError>,
}

impl Sender {
    /// Begins to store; must run on an arbiter.
    pub fn start(log: Arc<dyn Log>, config: &DurableConfig, partitions: HashMap<String, u32>, tasks: &Tasks) -> Self {
        let (jobs, waiting) = mpsc::channel(config.sends_waiting);
        let version = Arc::<AtomicU64>::default();
        let post = Post { log, config: config.clone(), partitions, registry: None, version: version.clone() };
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        tasks.restarted(TaskName::of_node("sender"), move || post.clone().work(waiting.clone()));
        Self { jobs, config: config.clone(), version }
    }

    /// Stores one letter for somebody who can be told to come back later.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, letter: Letter) -> Result<(), SendError> {
        let (id, capability) = (letter.id.clone(), letter.capability.clone());
        let (answer, answered) = oneshot::channel();
        if self.jobs.try_send(Job { letters: vec![letter], answer }).is_err() {
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
    pub async fn send_all(&self, letters: Vec<Letter>) -> Vec<Sent> {
        let unknown: Vec<_> = letters.iter().map(|l| Sent::failed(SendError::Unknown { id: l.id.clone() })).collect();
        let (answer, answered) = oneshot::channel();
        let limit = Duration::from_millis(self.config.send_timeout_ms);
        let sent = async {
            self.jobs.send(Job { letters, answer }).await.ok()?;
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

impl Sent {
    fn failed(error: SendError) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

/// The task that stores. One that begins anew asks the log for the registry.
#[derive(Clone)]
struct Post {
    log: Arc<dyn Log>,
    config: DurableConfig,
    /// Partitions of those capabilities for which the configuration says something else than for all.
    partitions: HashMap<String, u32>,
    registry: Option<Arc<Registry>>,
    version: Arc<AtomicU64>,
}

/// Batches on their way, and which letters are in each.
#[derive(Default)]
struct Packed {
    batches: Vec<(Partition, Batch, Vec<Place>)>,
    /// The batch of each partition that is still open, of what is urgent and of what is not.
    open: HashMap<(Partition, bool), usize>,
    /// Letters that have to wait behind others, and for which subscriber.
    behind: Vec<(usize, Arc<str>)>,
}

/// A letter in a batch.
struct Place {
    letter: usize,
    /// What to do if there is no room, for a copy of an event.
    when_full: Option<WhenFull>,
}

impl Post {
    async fn work(mut self, waiting: Arc<tokio::sync::Mutex<mpsc::Receiver<Job>>>) {
        let mut waiting = waiting.lock().await;
        let mut jobs = Vec::new();
        while waiting.recv_many(&mut jobs, self.config.sends_waiting).await > 0 {
            while !jobs.is_empty() {
                let together: Vec<_> = jobs.drain(..fitting(&jobs)).collect();
                let letters: Vec<_> = together.iter().flat_map(|job| &job.letters).collect();
                let mut sent = self.store(&letters).await.into_iter();
                for job in together {
                    // Whoever does not wait any more has been told that the outcome is unknown.
                    let _ = job.answer.send(sent.by_ref().take(job.letters.len()).collect());
                }
            }
        }
    }

    async fn store(&mut self, letters: &[&Letter]) -> Vec<Sent> {
        loop {
            let registry = match self.registry_for(letters).await {
                Ok(registry) => registry,
                Err(error) => {
                    let not_stored = |_: &&Letter| Sent::failed(SendError::NotStored { reason: error.to_string() });
                    return letters.iter().map(not_stored).collect();
                }
            };
            self.version.store(registry.version, Ordering::Relaxed);
            let packed = self.pack(letters, &registry);
            let mut appends = Vec::with_capacity(packed.batches.len());
            for (to, batch, places) in &packed.batches {
                let (count, batch) = (batch.count, Bytes::copy_from_slice(&batch.bytes));
                let urgent = places.iter().all(|place| letters[place.letter].urgent);
                appends.push(Append { to: to.clone(), count, batch, urgent });
            }
            crash::point("sender.before-append");
            let appended = self.log.append(registry.version, self.config.partition_messages, &appends).await;
            crash::point("sender.after-append");
            match appended {
                Err(AppendError::Stale) => self.registry = None,
                appended => return self.sent(letters, &packed, appended),
            }
        }
    }

    /// The registry, in which each command's capability is known.
    async fn registry_for(&mut self, letters: &[&Letter]) -> Result<Arc<Registry>, LogError> {
        loop {
            let registry = match &self.registry {
                Some(registry) => registry.clone(),
                None => self.registry.insert(self.log.registry().await?).clone(),
            };
            let unknown = letters.iter().find(|l| {
                !matches!(l.kind, LetterKind::Event { .. }) && !registry.partitions.contains_key(l.receiver())
            });
            let Some(letter) = unknown else { return Ok(registry) };
            let receiver = letter.receiver();
            let partitions = self.partitions.get(receiver).copied().unwrap_or(self.config.partitions);
            self.log.register(receiver, partitions, &[]).await?;
            self.registry = None;
        }
    }

    fn pack(&self, letters: &[&Letter], registry: &Registry) -> Packed {
        let mut packed = Packed::default();
        let add = |packed: &mut Packed, index: usize, capability: &str, when_full| {
            let letter = letters[index];
            let partitions = registry.partitions.get(capability).copied().unwrap_or(self.config.partitions);
            let to = Partition { capability: capability.into(), number: partition_of(&letter.order, partitions) };
            packed.add(to, letter, Place { letter: index, when_full }, self.config.batch_bytes);
        };
        for (index, letter) in letters.iter().enumerate() {
            match &letter.kind {
                LetterKind::Command => add(&mut packed, index, &letter.capability, None),
                LetterKind::EventFor(subscriber) => add(&mut packed, index, subscriber, Some(WhenFull::Block)),
                LetterKind::Event { except, caught_up } => {
                    for (subscriber, how) in registry.subscriptions.get(&*letter.name).into_iter().flatten() {
                        let is_told =
                            |all: &Arc<[_]>| all.iter().any(|l: &Latecomer| l.is(&letter.name, subscriber, how.since));
                        let is_late = how.from == Beginning::EarliestRetained
                            && caught_up.as_ref().is_some_and(|all| !is_told(all));
                        match except.iter().find(|except| ***except == **subscriber) {
                            // It gets it with what is kept, once it has caught up.
                            _ if is_late => {}
                            Some(subscriber) => packed.behind.push((index, subscriber.clone())),
                            None => add(&mut packed, index, subscriber, Some(how.when_full)),
                        }
                    }
                }
            }
        }
        packed
    }

    fn sent(&self, letters: &[&Letter], packed: &Packed, appended: Result<Vec<Appended>, AppendError>) -> Vec<Sent> {
        let appended = match appended {
            Ok(appended) => appended,
            Err(AppendError::Unknown(reason)) => {
                tracing::warn!(reason, messages = letters.len(), "whether messages were stored is not known");
                return letters.iter().map(|l| Sent::failed(SendError::Unknown { id: l.id.clone() })).collect();
            }
            Err(error) => {
                let reason = error.to_string();
                let not_stored = |_: &&Letter| Sent::failed(SendError::NotStored { reason: reason.clone() });
                return letters.iter().map(not_stored).collect();
            }
        };
        let mut sent = vec![Sent::default(); letters.len()];
        packed.behind.iter().for_each(|(letter, subscriber)| sent[*letter].behind.push(subscriber.clone()));
        for ((to, _, places), appended) in packed.batches.iter().zip(appended) {
            let Appended::Full { waiting } = appended else {
                places.iter().for_each(|place| sent[place.letter].stored = true);
                continue;
            };
            for place in places {
                match place.when_full {
                    Some(when_full) => sent[place.letter].full.push((to.capability.clone(), when_full)),
                    None => {
                        let (capability, most) = (to.capability.to_string(), self.config.partition_messages);
                        let bound =
                            format!("{waiting} messages wait in its partition, durable.partition_messages = {most}");
                        sent[place.letter].error = Some(SendError::Full { capability, bound });
                    }
                }
            }
        }
        sent
    }
}

/// How many of the first jobs go into one call of the log: as many as have [`CALL_BYTES`] together, or one.
fn fitting(jobs: &[Job]) -> usize {
    let mut bytes = 0;
    let fit = jobs.iter().take_while(|job| {
        bytes += job.letters.iter().map(|letter| letter.record.len()).sum::<usize>();
        bytes <= CALL_BYTES
    });
    fit.count().max(1)
}

impl Packed {
    fn add(&mut self, to: Partition, letter: &Letter, place: Place, batch_bytes: usize) {
        let open = self.open.get(&(to.clone(), letter.urgent)).copied().filter(|&index| {
            let bytes = &self.batches[index].1.bytes;
            bytes.len() + letter.record.len() <= batch_bytes
        });
        let index = open.unwrap_or_else(|| {
            self.batches.push((to.clone(), Batch::default(), Vec::new()));
            self.open.insert((to, letter.urgent), self.batches.len() - 1);
            self.batches.len() - 1
        });
        let (_, batch, places) = &mut self.batches[index];
        batch.push(&letter.record);
        places.push(place);
    }
}

impl Letter {
    /// The capability in whose partitions it is stored; of an event for all, the publisher.
    fn receiver(&self) -> &str {
        match &self.kind {
            LetterKind::EventFor(subscriber) => subscriber,
            _ => &self.capability,
        }
    }
}

/// The partition of a key: FNV-1a of its bytes (64 bits), which any language has, modulo the number of partitions.
pub(crate) fn partition_of(order: &str, partitions: u32) -> u32 {
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
