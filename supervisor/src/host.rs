//! Host: one capability in this node, its instances, and admission to them.

mod handlers;

use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use essaim_contract::{Ask, AskError, Never, NotDelivered, Unknown};
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::call::Call;
use crate::durable::Outbox;
use crate::handler::Handler;
use crate::keys::{self, KeyPermit, Keys};
use crate::local_call;
use crate::mailbox::{Envelope, EnvelopeContents, LocalEnvelope, Mailbox, QueuedMessage};
use crate::slot::{GivenUp, Slot};
use crate::span::is_observed;
use crate::startup::Startup;
use crate::store::Database;
use crate::supervision::Supervision;
use crate::watchdog::TurnMonitor;

/// Interval at which a draining node polls whether a host is idle.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A capability in this node.
pub(crate) struct Host {
    pub name: Arc<str>,
    pub supervision: Supervision,
    pub startup: Startup,
    asks: &'static [&'static str],
    /// Whether only one live node may host it.
    exclusive: bool,
    entries: Vec<Arc<dyn Handler>>,
    /// The watchdog's label of the first entry; the others follow.
    first_label: usize,
    instances: Box<[InstanceHandle]>,
    admitted: AtomicU32,
    limit: u32,
    keys: Arc<Keys>,
    /// Set once the capability has started: what it does at a drain, and its figures.
    hooks: OnceLock<Hooks>,
}

/// Type-erased hooks of the actor, with its database.
pub(crate) struct Hooks {
    pub drain: Box<dyn Fn() -> LocalBoxFuture<'static, ()> + Send + Sync>,
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
    pub database: Option<Database>,
    pub outbox: Option<Arc<Outbox>>,
}

/// One concurrency slot.
pub(crate) struct InstanceHandle {
    pub arbiter: usize,
    pub monitor: Arc<TurnMonitor>,
    /// Unique in this process.
    pub id: u64,
    pub mailbox: Mailbox,
    /// 1 while the instance has its state, or is about to build it for the first time in a row.
    up: AtomicU32,
    sent: AtomicU64,
    done: AtomicU64,
}

/// Permit for one message in an instance's mailbox; dropped unused, it is returned.
pub(crate) struct Permit<'a> {
    host: &'a Host,
    instance: usize,
    ticket: u64,
    key: Option<KeyPermit>,
    /// How long its asker waits for an instance whose arbiter makes no turn; else until the deadline.
    patience: Option<Duration>,
}

impl Host {
    pub fn new(
        name: Arc<str>,
        supervision: Supervision,
        asks: &'static [&'static str],
        entries: Vec<Arc<dyn Handler>>,
        first_label: usize,
        arbiter_of_instance: impl Iterator<Item = (usize, Arc<TurnMonitor>)>,
        limit: u32,
    ) -> Self {
        let instances = arbiter_of_instance.map(InstanceHandle::on).collect();
        let (admitted, hooks) = (AtomicU32::new(0), OnceLock::new());
        Self {
            name,
            supervision,
            startup: Startup::default(),
            asks,
            exclusive: false,
            entries,
            first_label,
            instances,
            admitted,
            limit,
            keys: Keys::of(limit.div_ceil(2)),
            hooks,
        }
    }

    /// The capabilities that its handlers may ask.
    pub fn asks(&self) -> &'static [&'static str] {
        self.asks
    }

    /// This host, which must be the only live one in the cluster.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// This host, which admits so many messages of one key at a time; 0: half of all.
    pub fn admitting_of_a_key(mut self, most: u32) -> Self {
        if most > 0 {
            self.keys = Keys::of(most);
        }
        self
    }

    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// Waits until nothing is admitted. It polls, so that the hot path needs no notification at a message's end.
    pub async fn idle(&self) {
        while self.admitted() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub fn entries(&self) -> &[Arc<dyn Handler>] {
        &self.entries
    }

    pub fn label(&self, entry: usize) -> usize {
        self.first_label + entry
    }

    pub fn instances(&self) -> &[InstanceHandle] {
        &self.instances
    }

    /// Whether no instance has made a turn for so long, since handlers block all their arbiters.
    pub fn is_blocked_for(&self, limit: Duration) -> bool {
        self.instances.iter().all(|i| i.is_blocked() && i.monitor.blocked() >= limit)
    }

    pub fn instances_up(&self) -> usize {
        self.instances.iter().filter(|i| i.is_up()).count()
    }

    /// Messages admitted and not yet done.
    pub fn admitted(&self) -> u32 {
        self.admitted.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    pub fn set_hooks(&self, hooks: Hooks) {
        // A second start of the shared part keeps the hooks of the first.
        let _ = self.hooks.set(hooks);
    }

    pub async fn drain(&self) {
        if let Some(hooks) = self.hooks.get() {
            (hooks.drain)().await;
        }
    }

    pub fn status(&self) -> Value {
        self.hooks.get().map_or(Value::Null, |h| (h.status)())
    }

    /// Its database, once it has been opened.
    pub fn database(&self) -> Option<&Database> {
        self.hooks.get().and_then(|h| h.database.as_ref())
    }

    /// The way out of its database, once that has been opened.
    pub fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.hooks.get().and_then(|h| h.outbox.as_ref())
    }

    /// Whether what its instances share has been built once.
    pub fn has_started(&self) -> bool {
        self.hooks.get().is_some()
    }

    /// Admits one message: to the key's instance as a rule, without a key to an idle or the least busy one.
    pub fn admit(&self, key: Option<&str>) -> Result<Permit<'_>, NotDelivered> {
        self.supervision.admits()?;
        // A refused ask never touches the counter: counted even for a moment, many refusals would take free permits from others.
        let one_more = |admitted| (admitted < self.limit).then_some(admitted + 1);
        if self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            let bound = format!("capabilities.{}.mailbox = {} messages", self.name, self.limit);
            return Err(NotDelivered::Overloaded { capability: self.name.to_string(), bound });
        }
        let placed = match key {
            Some(key) => self.keys.take(key, &self.instances).map(|(place, instance)| (Some(place), instance)),
            None => Ok((None, keys::least_busy(&self.instances))),
        };
        let (key, instance) = placed.map_err(|most| {
            self.admitted.fetch_sub(1, Ordering::Relaxed);
            let bound = format!("capabilities.{}.mailbox_per_key = {most} messages of one key", self.name);
            NotDelivered::Overloaded { capability: self.name.to_string(), bound }
        })?;
        let ticket = self.instances[instance].sent.fetch_add(1, Ordering::Relaxed);
        Ok(Permit { host: self, instance, ticket, key, patience: None })
    }

    /// Why a message is refused whose instance has gone down with its thread.
    pub fn instance_ended(&self) -> NotDelivered {
        let reason = "the instance has ended with its thread".into();
        NotDelivered::Failed { capability: self.name.to_string(), reason }
    }

    /// Notes that a message which an instance took has ended; only on the instance's own thread.
    pub fn ended(&self, instance: usize) {
        // Only the instance's own thread writes it, so it needs no locked instruction.
        let done = &self.instances[instance].done;
        done.store(done.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// State of an ask at the moment its asker has to wait.
enum AskStage<M, T, E> {
    Answered(Result<T, AskError<E>>),
    /// Its handler waits for something, on this thread.
    Running(Arc<Slot<Result<T, AskError<E>>>>),
    WaitingHere(Arc<Envelope<M, T, E>>),
    WaitingElsewhere(Arc<Envelope<M, T, E>>),
}

/// Waits for an answer; the message is taken back if the asker goes away before it has begun.
async fn until_answered<T, W>(slot: &Slot<T, W>) -> T {
    let guard = AskerGuard(slot);
    let answer = slot.answered().await;
    std::mem::forget(guard);
    answer
}

/// The envelope of an ask.
pub(crate) type AskEnvelope<M> = Envelope<M, <M as Ask>::Reply, <M as Ask>::Error>;

fn contents<M>(message: M, call: Call, key: Option<KeyPermit>) -> EnvelopeContents<M> {
    let queued = is_observed(&call.trace).then(Instant::now);
    EnvelopeContents { message, call, queued, key }
}

/// Guard: an asker that is dropped takes its message back if it has not begun.
struct AskerGuard<'a, T, W>(&'a Slot<T, W>);

impl<T, W> Drop for AskerGuard<'_, T, W> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl InstanceHandle {
    fn on((arbiter, monitor): (usize, Arc<TurnMonitor>)) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            arbiter,
            monitor,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            mailbox: Mailbox::default(),
            up: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    pub fn set_up(&self, up: bool) {
        self.up.store(u32::from(up), Ordering::Release);
    }

    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire) == 1
    }

    /// Whether a handler blocks its arbiter, of this instance or of another on the same thread.
    pub fn is_blocked(&self) -> bool {
        !self.monitor.blocked().is_zero()
    }

    /// Messages admitted to this instance and not yet done.
    pub fn waiting(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.done.load(Ordering::Relaxed))
    }
}

impl Permit<'_> {
    /// Gives up before the deadline if the instance's arbiter makes no turn for so long: its handler may run on.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Puts a message that nobody waits for into the mailbox.
    pub fn deliver<M: Send + 'static>(mut self, entry: usize, message: M, call: Call) {
        let deadline = call.deadline;
        let envelope = Envelope::<M, (), Never>::holding(contents(message, call, self.key.take()));
        self.put(QueuedMessage { entry, envelope: Arc::new(envelope), deadline });
    }

    /// Asks the instance and waits for its answer until the deadline.
    ///
    /// On the instance's own thread the message is run at once if the instance has nothing else to do. If it has, the
    /// instance enforces the deadline of queued and running messages, and the asker sets no timer: a handler that blocks
    /// the thread would keep the asker from its timer too.
    pub async fn ask<M, T, E>(self, entry: usize, message: M, call: Call) -> Result<T, AskError<E>>
    where
        M: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (deadline, ticket, patience) = (call.deadline, self.ticket, self.patience);
        let instance = &self.host.instances[self.instance];
        match self.enter(entry, message, call) {
            AskStage::Answered(answer) => answer,
            AskStage::Running(slot) => until_answered(&slot).await,
            AskStage::WaitingHere(envelope) => until_answered(&envelope).await,
            AskStage::WaitingElsewhere(envelope) => {
                let guard = AskerGuard(&envelope);
                let blocked = async {
                    match patience {
                        Some(patience) => instance.monitor.until_blocked(patience).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    answer = envelope.answered() => {
                        std::mem::forget(guard);
                        return answer;
                    }
                    () = sleep_until(deadline) => {}
                    () = blocked => {}
                }
                match envelope.give_up() {
                    GivenUp::Answered(answer) => answer,
                    GivenUp::TakenBack => {
                        let ahead = ticket.saturating_sub(instance.done.load(Ordering::Relaxed));
                        Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: ahead as u32 }))
                    }
                    GivenUp::Running(since) => {
                        let running_ms = since.map_or(0, |s: Instant| s.elapsed().as_millis() as u64);
                        Err(AskError::Unknown(Unknown::TimedOut { running_ms }))
                    }
                }
            }
        }
    }

    /// Has the message run at once, if that can be, or puts it into the mailbox.
    fn enter<M, T, E>(mut self, entry: usize, message: M, call: Call) -> AskStage<M, T, E>
    where
        M: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let instance = &self.host.instances[self.instance];
        let local_call = local_call::find(instance.id);
        match local_call.as_ref().filter(|local_call| instance.waiting() == 1 && local_call.is_free()) {
            Some(local_call) => {
                let envelope = Rc::new(LocalEnvelope::holding(contents(message, call, self.key.take())));
                std::mem::forget(self);
                local_call.run_now(entry, envelope.clone());
                envelope.answered().map_or_else(AskStage::Running, AskStage::Answered)
            }
            None => {
                let deadline = call.deadline;
                let envelope = Arc::new(Envelope::<M, T, E>::holding(contents(message, call, self.key.take())));
                self.put(QueuedMessage { entry, envelope: envelope.clone(), deadline });
                if local_call.is_some() {
                    AskStage::WaitingHere(envelope)
                } else {
                    AskStage::WaitingElsewhere(envelope)
                }
            }
        }
    }

    fn put(self, delivery: QueuedMessage) {
        match self.host.instances[self.instance].mailbox.put(delivery) {
            Ok(()) => std::mem::forget(self),
            Err(refused) => refused.envelope.refuse(self.host.instance_ended()),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.host.instances[self.instance].sent.fetch_sub(1, Ordering::Relaxed);
        self.host.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
