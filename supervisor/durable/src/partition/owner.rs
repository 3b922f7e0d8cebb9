//! One ownership of a partition: what the work on each of its messages needs.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::backoff::Backoff;
use essaim_base::call::{Call, Chain};
use essaim_base::panic::panic_text;
use essaim_base::trace::TraceHeaders;
use essaim_config::DurableConfig;
use essaim_contract::{AskError, NotDelivered, Unknown};
use essaim_protocol::log::{Entry, Partition};
use essaim_protocol::record::Record;
use essaim_store::Database;
use essaim_store::tables::dead::DeadReason;
use essaim_store::tables::inbox;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::outbox::{Outbox, OutboxQueue};
use crate::partition::copies::{Copies, OneCopy};
use crate::partition::delivery::DeliveryContext;
use crate::partition::queue::{LogMessage, Tries};
use crate::partition::unhandled::UnhandledMessages;
use crate::ports::{Applied, DurableHandler, Handlers};
use crate::send::sender::partition_of;
use crate::soon;
use crate::trust::RecordTrust;

/// The longest wait for a capability that cannot take messages now before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Logs that are told apart by a hash of their names; with the bits of an offset of one they make a positive number of the
/// database.
const LOGS: u32 = 1 << 22;

/// A partition, owned by this node.
pub struct PartitionOwner {
    pub partition: Partition,
    pub epoch: u64,
    pub handlers: Arc<dyn Handlers>,
    pub config: DurableConfig,
    /// Which stored messages are believed.
    pub trust: Arc<RecordTrust>,
    pub env: Env,
    /// The capability's database and the way out of it; none: nothing is remembered of what was applied.
    pub store: Option<CapabilityStore>,
    /// What tells the log that its messages come from apart from others, below [`LOGS`].
    pub log: u32,
    /// The last number of a parked message.
    pub last_seq: Cell<u64>,
    /// What it finds no handler of.
    pub unhandled: Arc<UnhandledMessages>,
    /// Whether the work is to stop.
    pub stop: watch::Receiver<bool>,
}

/// Where a capability remembers.
#[derive(Clone)]
pub struct CapabilityStore {
    pub database: Database,
    pub outbox: Arc<Outbox>,
    /// The outbox's queue of this partition.
    pub queue: OutboxQueue,
    /// Ids in the inbox of the whole capability, about.
    pub remembered: Arc<AtomicU64>,
    /// Messages of the whole capability that are under way in this node.
    pub copies: Arc<Copies>,
}

/// How an attempt to apply a message ended.
pub enum Attempt {
    Applied,
    /// Its effect was there already, by another copy of it.
    Repeated,
    /// Its handler said no.
    Rejected(String),
    /// This binary cannot read it.
    Unreadable(String),
    /// It failed; it counts unless what it needs was not there.
    Failed {
        why: String,
        counts: bool,
    },
    /// It may have been applied.
    Doubtful(String),
    /// Nobody handles its kind, here or elsewhere.
    Unsupported(String),
    /// Nobody here handles its kind; perhaps another host does.
    UnhandledMessages(String),
    /// Its time was over before its handler began.
    Expired,
    /// The work stops, and its handler did not run.
    Left,
}

impl PartitionOwner {
    pub fn number(&self) -> u32 {
        self.partition.number
    }

    /// The number of a log.
    pub fn log(name: &str) -> u32 {
        partition_of(name, LOGS)
    }

    /// A message's offset as the inbox remembers it. Every log counts from 0, and a copy of a message that another log had
    /// before, perhaps at the same offset, is not that message delivered again.
    pub fn place(&self, offset: u64) -> u64 {
        (u64::from(self.log) << Entry::OFFSET_BITS) | offset
    }

    /// The next number of a parked message: an even one. The odd one before it is for a dead letter that is tried again
    /// before the message.
    pub fn next_seq(&self) -> u64 {
        self.last_seq.set((self.last_seq.get() / 2 + 1) * 2);
        self.last_seq.get()
    }

    /// Whether no more can be remembered, so that nothing may be applied.
    pub fn is_inbox_full(&self) -> bool {
        let full = |store: &CapabilityStore| store.remembered.load(Ordering::Relaxed) >= self.config.inbox_ids;
        self.store.as_ref().is_some_and(full)
    }

    fn backoff(&self, tries: u32) -> Duration {
        let first = Duration::from_millis(self.config.backoff_first_ms);
        Backoff { first, most: Duration::from_millis(self.config.backoff_most_ms) }.delay(tries, &self.env)
    }

    /// When a message that has failed is tried again, in milliseconds since 1970.
    pub fn next_try(&self, tries: Tries) -> u64 {
        self.env.wall_ms() + self.backoff(tries.tries).as_millis() as u64
    }

    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Why a message is dead whose attempts are used up.
    pub fn reason_of(&self, record: &Record) -> DeadReason {
        if self.handler_of(record).is_some() { DeadReason::Attempts } else { DeadReason::Unsupported }
    }

    /// Tells that a message is given up, in words that an operator can act on.
    pub fn log_death(&self, record: &Record, reason: DeadReason, attempts: u32, why: &str) {
        let (capability, name, id, key) = (&self.partition.capability, &record.name, &record.id, &record.key);
        let (key, reason, trace) = (key.as_deref().unwrap_or("-"), reason.as_str(), &record.trace);
        tracing::error!(
            %capability, name, %id, key, reason, attempts, why, trace,
            "a message is a dead letter now: see `essaim dead show ID`, then replay or drop it"
        );
    }

    /// Has the actor apply a message; waits while the capability cannot take it, until the work stops.
    pub async fn attempt(&self, record: &Record, delivery: &Arc<DeliveryContext>) -> Attempt {
        let mut waits = 0;
        loop {
            if self.is_expired(record) {
                let (capability, name, id) = (&self.partition.capability, &record.name, &record.id);
                tracing::info!(%capability, name, %id, "a message expired before it was handled");
                return Attempt::Expired;
            }
            let why = match self.dispatch(record, delivery).await {
                _ if delivery.is_repeated() => return Attempt::Repeated,
                Ok(()) => return Attempt::Applied,
                Err(AskError::Rejected(why)) => return Attempt::Rejected(why),
                Err(AskError::Failed(failure)) => {
                    let counts = failure.kind != essaim_contract::FailureKind::Unavailable;
                    return Attempt::Failed { why: failure.to_string(), counts };
                }
                Err(AskError::Unknown(Unknown::TimedOut { running_ms, doing })) => {
                    let doing = if doing.is_empty() { doing } else { format!(", {doing}") };
                    return Attempt::Doubtful(format!("it was still running after {running_ms} ms{doing}"));
                }
                Err(AskError::Unknown(unknown)) => return Attempt::Doubtful(unknown.to_string()),
                Err(AskError::NotDelivered(NotDelivered::Undecodable { detail, .. })) => {
                    return Attempt::Unreadable(detail);
                }
                Err(AskError::NotDelivered(NotDelivered::Unsupported { message })) => {
                    let capability = &self.partition.capability;
                    if !self.unhandled.is_handled_nowhere(self.number(), &message) {
                        return Attempt::UnhandledMessages(format!(
                            "this version of `{capability}` has no handler of `{message}`"
                        ));
                    }
                    return Attempt::Unsupported(format!(
                        "this version of `{capability}` has no handler of `{message}`: replay it once there is one, or drop it"
                    ));
                }
                Err(AskError::NotDelivered(why)) => why,
            };
            waits += 1;
            tracing::debug!(capability = %self.partition.capability, %why, "a durable message waits for its capability");
            let able = async {
                match why {
                    NotDelivered::Starting { .. } | NotDelivered::Failed { .. } => {
                        // The supervision of the capability says when it is up.
                        let _ = timeout(LOOK_AGAIN, self.handlers.running()).await;
                        tokio::task::yield_now().await;
                    }
                    _ => tokio::time::sleep(self.backoff(waits).min(LOOK_AGAIN)).await,
                }
            };
            let mut stop = self.stop.clone();
            tokio::select! {
                () = able => {}
                _ = stop.wait_for(|stop| *stop) => return Attempt::Left,
            }
        }
    }

    /// The handler of a message.
    fn handler_of(&self, record: &Record) -> Option<DurableHandler> {
        self.handlers.handler_of(&record.name)
    }

    /// One delivery of a message: from the log with that offset, or parked under that number.
    pub fn delivery(
        &self,
        record: &Record,
        offset: u64,
        (parked, tries): (Option<u64>, Tries),
        copy: Option<Arc<OneCopy>>,
    ) -> Arc<DeliveryContext> {
        Arc::new(DeliveryContext {
            id: record.id.clone(),
            partition: self.number(),
            epoch: self.epoch,
            offset,
            parked,
            queue: self.store.as_ref().map(|store| store.queue.clone()),
            patience: Duration::from_millis(self.config.lease_ms),
            copy,
            attempt: tries.tries.saturating_add(1),
            repeated: AtomicBool::default(),
            rehearsal: None,
        })
    }

    async fn dispatch(&self, record: &Record, delivery: &Arc<DeliveryContext>) -> Applied {
        let Some(handler) = self.handler_of(record) else {
            return Err(AskError::NotDelivered(NotDelivered::Unsupported { message: record.name.clone() }));
        };
        let trace = TraceHeaders::of_message(&record.trace, &record.trace_state, record.kept, &self.env);
        let call = Call {
            deadline: self.env.now() + Duration::from_millis(self.config.handler_timeout_ms),
            trace: trace.context,
            trace_state: trace.state,
            chain: Chain::default(),
            principal: record.principal.clone().map(Arc::new),
            metadata: (!record.meta.is_empty()).then(|| Arc::new(record.meta.clone())),
            origin: None,
        };
        // Reading the message runs code that is not ours.
        let begun = || self.handlers.clone().apply(handler, &record.body, call, delivery.clone());
        match catch_unwind(AssertUnwindSafe(begun)) {
            Ok(Ok(applied)) => applied.await,
            Ok(Err(why)) => Err(AskError::NotDelivered(why)),
            Err(panic) => {
                let detail = format!("reading it panicked: {}", panic_text(&*panic));
                Err(AskError::NotDelivered(NotDelivered::Undecodable { message: record.name.clone(), detail }))
            }
        }
    }

    /// Whether a message may no longer be handled: its sender has said so, or the subscription has.
    pub fn is_expired(&self, record: &Record) -> bool {
        let now = self.env.wall_ms();
        let subscription = self.handler_of(record).and_then(|handler| handler.subscription);
        let outlived = |most: u64| record.not_before.unwrap_or(record.at).saturating_add(most) < now;
        record.expires.is_some_and(|expires| now > expires)
            || subscription.and_then(|s| s.retention_ms).is_some_and(outlived)
    }

    /// How long to wait for a database that is away.
    pub async fn pause(&self, tries: u32) {
        tokio::time::sleep(soon(&self.config).delay(tries, &self.env)).await;
    }

    /// Waits until this moment, in milliseconds since 1970; for ever if there is none.
    pub async fn until(&self, due_ms: Option<u64>) {
        match due_ms {
            Some(due) => tokio::time::sleep(Duration::from_millis(due.saturating_sub(self.env.wall_ms()))).await,
            None => pending().await,
        }
    }

    /// Where copies of these messages were applied or parked.
    pub async fn seen(&self, messages: &[LogMessage]) -> HashMap<String, Vec<u64>> {
        let Some(store) = &self.store else { return Default::default() };
        let ids: Vec<_> = messages.iter().map(|message| message.record.id.as_str()).collect();
        let mut tries = 0;
        loop {
            match inbox::seen(store.database.own_reads(), &ids).await {
                Ok(seen) => return seen,
                Err(error) => {
                    tries += 1;
                    tracing::debug!(%error, "the inbox cannot be read");
                    self.pause(tries).await;
                }
            }
        }
    }
}
