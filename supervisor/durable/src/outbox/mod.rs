//! Transactional outbox: what handlers send is first kept in their own database, with what else they write, and goes to the log
//! from there. (Richardson, "Microservices Patterns", 2018.)
//!
//! Messages wait in queues, each with a relay of its own that goes in order and stops at the first message that it cannot
//! hand over. A relay that ends between handing over and forgetting hands over again; the receivers' inboxes make that
//! harmless.
//!
//! # Layout
//! - `queue`: the names of queues, and whose messages they hold; `counters`, `numbers`: how many messages wait in one, and by
//!   which numbers they are ordered.
//! - `relay`: hands over a queue; `handed`: what it need not read back; `page`: the outcome for the messages that it has taken at a time.
//! - `overflow`: events whose subscriber has no room; `ended_subscriptions`: those of them that it does not want any more.
//! - `backfill`: subscribers that want what was published before they came.

mod backfill;
mod counters;
mod ended_subscriptions;
mod handed;
mod numbers;
mod overflow;
mod page;
mod queue;
mod relay;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::task::{TaskName, Tasks};
use essaim_config::DurableConfig;
use essaim_contract::SendError;
use essaim_protocol::log::Registry;
use essaim_store::Database;
use essaim_store::tables::tx_effects::SentMessages;
use essaim_store::tables::{outbox as table, retained};
use futures_util::future::AbortHandle;
use sea_orm::DbErr;
use tokio::runtime::Handle;
use tokio::sync::Notify;

pub use self::backfill::BackfillSubscriber;
use self::counters::QueueCounters;
use self::ended_subscriptions::EndedSubscriptions;
use self::handed::HandedMessages;
use self::numbers::QueueExtent;
pub use self::queue::{OutboxQueue, QueueKind};
use self::relay::relay;
use crate::Durable;
use crate::send::sender::Sender;
use crate::trust::RecordTrust;

/// Interval at which a node that leaves polls whether its queue is empty.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The outbox of one capability in this node.
pub struct Outbox {
    pub database: Database,
    sender: Arc<Sender>,
    trust: Arc<RecordTrust>,
    config: DurableConfig,
    env: Env,
    tasks: Tasks,
    /// The queue of this node's asks and timers.
    own: OutboxQueue,
    queues: Mutex<HashMap<OutboxQueue, RelayedQueue>>,
    /// The last numbers of queues that were closed: a handler from before may still commit what it has sent by them.
    closed: Mutex<HashMap<OutboxQueue, u64>>,
    /// How often a queue was opened.
    openings: AtomicU64,
    /// Where messages go, as last heard.
    registry: Mutex<Arc<Registry>>,
    ended: Mutex<EndedSubscriptions>,
    /// The subscribers of the capability's events that want what is retained.
    backfill: Mutex<Arc<[BackfillSubscriber]>>,
}

/// A queue that this outbox relays.
struct RelayedQueue {
    /// The last number that was given to a message.
    last: AtomicU64,
    /// The numbers up to this one are noted as used up.
    used_up: AtomicU64,
    opening: Opening,
    counters: Arc<QueueCounters>,
    /// What its relay need not read.
    handed: HandedMessages,
    /// Those subscribers that have got what was retained before they came.
    backfilled: Arc<[BackfillSubscriber]>,
    more: Arc<Notify>,
    relay: AbortHandle,
    /// Why its first message cannot be handed over now.
    stalled: Option<String>,
}

/// Under what a queue is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opening {
    /// Which opening of a queue of this outbox it is: a partition may be opened twice under one ownership.
    number: u64,
    /// The ownership of its partition; 0 where it is a node's.
    epoch: u64,
}

/// A queue that its outbox relays, with what overflows from it, until this is dropped. One that was opened again meanwhile stays
/// open.
#[must_use = "the queue is closed when this is dropped"]
pub struct OpenQueue {
    /// None where it is relayed as long as the outbox lives.
    outbox: Weak<Outbox>,
    opening: Opening,
}

impl OpenQueue {
    /// Relays the queue as long as its outbox lives.
    pub fn keep(mut self) {
        self.outbox = Weak::new();
    }
}

impl Drop for OpenQueue {
    fn drop(&mut self) {
        if let Some(outbox) = self.outbox.upgrade() {
            let mut queues = outbox.lock();
            for (queue, relayed) in queues.extract_if(|_, relayed| relayed.opening == self.opening) {
                outbox.closed.lock().insert(queue, relayed.last.load(Ordering::Relaxed));
            }
        }
    }
}

impl Drop for RelayedQueue {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

impl Outbox {
    /// The outbox of a capability's database; `own` is the queue of this node's asks and timers.
    pub fn new(durable: &Durable, database: Database, own: OutboxQueue) -> Arc<Self> {
        let (sender, trust, config) = (durable.sender.clone(), durable.trust.clone(), durable.config.clone());
        let (env, tasks) = (durable.env.clone(), durable.tasks.clone());
        let (queues, closed, openings) = Default::default();
        let (registry, ended, backfill) = (Mutex::default(), Mutex::default(), Mutex::new(Arc::default()));
        let outbox = Arc::new(Self {
            database,
            sender,
            trust,
            config,
            env,
            tasks,
            own,
            queues,
            closed,
            openings,
            registry,
            ended,
            backfill,
        });
        let handed = Arc::downgrade(&outbox);
        outbox.database.give_outgoing(move |sent| {
            if let Some(outbox) = handed.upgrade() {
                outbox.hand(sent);
            }
        });
        outbox
    }

    /// The queue of this node's asks and timers.
    pub fn own_queue(&self) -> &OutboxQueue {
        &self.own
    }

    /// Why an ask may send nothing now, if it may not.
    pub fn refusal(&self, capability: &str) -> Option<SendError> {
        let (waiting, most) = (self.waiting(), self.config.outbox_messages);
        let bound = || format!("{waiting} messages wait in its sender's outbox, durable.outbox_messages = {most}");
        (waiting >= most).then(|| SendError::Full { capability: capability.into(), bound: bound() })
    }

    /// Messages in the queues of this node, about. What waits for a subscriber that has no room is not counted: it has a bound
    /// of its own, and its publisher goes on.
    pub fn waiting(&self) -> u64 {
        let queues = self.lock();
        let own = queues.iter().filter(|(queue, _)| !queue.is_overflow());
        own.map(|(_, relayed)| relayed.counters.waiting()).sum()
    }

    /// Why messages do not leave the queues of this node now, each reason once.
    pub fn stalled(&self) -> BTreeSet<String> {
        self.lock().values().filter_map(|relayed| relayed.stalled.clone()).collect()
    }

    fn set_stalled(&self, queue: &OutboxQueue, why: Option<String>) {
        if let Some(relayed) = self.lock().get_mut(queue) {
            // What it has taken and not forgotten is in the table.
            relayed.handed.read_table();
            relayed.stalled = why;
        }
    }

    /// Relays a queue, with what is in it from before and what overflowed from it, under an ownership of its partition; 0 where
    /// it is a node's.
    pub async fn open(self: &Arc<Self>, queue: &OutboxQueue, epoch: u64) -> Result<OpenQueue, DbErr> {
        let reads = self.database.own_reads();
        let opening = self.opening(epoch);
        let open = OpenQueue { outbox: Arc::downgrade(self), opening };
        // What overflowed goes first, or a new message could overtake it.
        let found = parsed(table::queues(reads).await?);
        for overflow in found.into_iter().filter(|found| found.is_overflow() && found.origin() == queue) {
            let extent = self.extent(reads, &overflow, epoch).await?;
            self.relay(overflow, opening, extent);
        }
        self.relay(queue.clone(), opening, self.extent(reads, queue, epoch).await?);
        Ok(open)
    }

    /// Relays what nodes have left that are gone, and what is retained of them to the subscribers that want that: the queues of
    /// nodes for whose names `is_gone` holds, and what overflowed from them.
    pub async fn adopt(self: &Arc<Self>, is_gone: impl Fn(&str) -> bool) -> Result<(), DbErr> {
        let reads = self.database.own_reads();
        let found = parsed(table::queues(reads).await?);
        let is_backfilling = !self.backfill.lock().is_empty();
        let retained = if is_backfilling { parsed(retained::queues(reads).await?) } else { Vec::new() };
        let is_left = |queue: &OutboxQueue| match queue.kind() {
            QueueKind::Node { node, .. } => *queue != self.own && is_gone(node),
            _ => false,
        };
        let left = found.iter().chain(&retained).map(OutboxQueue::origin).filter(|queue| is_left(queue));
        for (name, queue) in left.map(|queue| (queue.as_str(), queue)).collect::<BTreeMap<_, _>>() {
            if !self.lock().contains_key(queue) {
                tracing::info!(lane = name, "relaying what a node left in its outbox");
                self.open(queue, 0).await?.keep();
                continue;
            }
            // Its node was not gone yet when it was adopted, or had a commit under way.
            for more in found.iter().filter(|found| found.origin() == queue) {
                let is_relayed = self.lock().contains_key(more);
                match is_relayed {
                    true => self.committed(more, 0),
                    false => self.relay(more.clone(), self.opening(0), self.extent(reads, more, 0).await?),
                }
            }
        }
        Ok(())
    }

    /// Messages of a queue may have been committed: its relay looks for them in the table.
    pub fn committed(&self, queue: &OutboxQueue, messages: usize) {
        if let Some(relayed) = self.lock().get_mut(queue) {
            relayed.handed.read_table();
            relayed.counters.add(messages);
            relayed.more.notify_one();
        }
    }

    /// Takes over what handlers have sent, which is committed.
    fn hand(&self, sent: SentMessages) {
        let in_order = self.database.kind().has_one_host();
        let mut queues = self.lock();
        for (queue, messages) in sent {
            if let Some(relayed) = queues.get_mut(&*queue) {
                let count = messages.len();
                relayed.handed.add(messages, in_order);
                relayed.counters.add(count);
                relayed.more.notify_one();
            }
        }
    }

    /// As [`Outbox::committed`], for a commit whose outcome is not known: the relay looks once more when it is certain.
    pub fn committed_perhaps(self: &Arc<Self>, queue: &OutboxQueue, messages: usize) {
        let counters = self.lock().get(queue).map(|relayed| relayed.counters.clone());
        if let Some(counters) = &counters {
            counters.begin_pending();
        }
        self.committed(queue, messages);
        let Some((runtime, counters)) = Handle::try_current().ok().zip(counters) else { return };
        let (outbox, queue, longest) = (Arc::downgrade(self), queue.clone(), self.database.longest_doubt());
        // It waits, and cannot panic.
        #[allow(clippy::disallowed_methods)]
        runtime.spawn(async move {
            tokio::time::sleep(longest).await;
            counters.end_pending();
            if let Some(outbox) = outbox.upgrade() {
                outbox.committed(&queue, 0);
            }
        });
    }

    /// Waits until what this node's asks and timers have sent is in the log; for a node that leaves and has time.
    pub async fn flushed(&self) {
        while table::load(self.database.own_reads(), &self.own, 0, 1).await.is_ok_and(|rows| !rows.is_empty()) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn opening(&self, epoch: u64) -> Opening {
        Opening { number: self.openings.fetch_add(1, Ordering::Relaxed), epoch }
    }

    fn relay(self: &Arc<Self>, queue: OutboxQueue, opening: Opening, extent: QueueExtent) {
        let QueueExtent { last, used_up, messages } = extent;
        let more = Arc::new(Notify::new());
        let task = TaskName::of("relay", &self.database.capability().into()).which(&queue);
        let (outbox, relayed, wake) = (Arc::downgrade(self), queue.clone(), more.clone());
        // The relay, on its thread, looks for its queue.
        let mut queues = self.lock();
        let relay = self.tasks.restarted(task, move || relay(outbox.clone(), relayed.clone(), wake.clone()));
        let before = queues.remove(&queue).map(|relayed| relayed.last.load(Ordering::Relaxed));
        let before = before.max(self.closed.lock().remove(&queue)).unwrap_or(0);
        let (last, used_up) = (AtomicU64::new(last.max(before)), AtomicU64::new(used_up));
        let (counters, backfilled) = (Arc::new(QueueCounters::new(messages)), Arc::default());
        queues.insert(
            queue,
            RelayedQueue {
                last,
                used_up,
                opening,
                counters,
                handed: HandedMessages::default(),
                backfilled,
                more,
                relay,
                stalled: None,
            },
        );
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OutboxQueue, RelayedQueue>> {
        self.queues.lock()
    }
}

/// The queues of these names; what is no name of a queue is nobody's to relay.
fn parsed(names: Vec<String>) -> Vec<OutboxQueue> {
    names.iter().filter_map(|name| OutboxQueue::parse(name)).collect()
}
