//! A capability hosted in this node: its instances, and the admission to them.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use essaim_contract::{Ask, AskError, NotDelivered, Unknown};
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::arbiters;
use crate::call::Call;
use crate::handles::{AskEnvelope, AskResult, EntryInfo};
use crate::slot::{GivenUp, Slot};
use crate::span::is_observed;
use crate::store::Database;
use crate::tree::Supervision;

/// How often a draining node looks whether a host is idle.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A capability in this node.
pub(crate) struct Host {
    pub name: Arc<str>,
    pub supervision: Supervision,
    asks: &'static [&'static str],
    /// Whether only one live node may host it.
    exclusive: bool,
    entries: Vec<EntryInfo>,
    /// The watchdog's label of the first entry; the others follow.
    first_label: usize,
    instances: Box<[Instance]>,
    admitted: AtomicU32,
    limit: u32,
    /// Set once the capability has started: what it does at a drain, and its figures.
    hooks: OnceLock<Hooks>,
}

/// What the runtime calls without knowing the actor's type.
pub(crate) struct Hooks {
    pub drain: Box<dyn Fn() -> LocalBoxFuture<'static, ()> + Send + Sync>,
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
    pub database: Option<Database>,
}

/// One concurrency slot.
pub(crate) struct Instance {
    pub arbiter: usize,
    mailbox: OnceLock<Box<dyn Mailbox>>,
    /// 1 while the instance has its state, or is about to build it for the first time in a row.
    up: AtomicU32,
    sent: AtomicU64,
    done: AtomicU64,
}

/// Where an instance takes its messages.
pub(crate) trait Mailbox: Send + Sync {
    fn deliver(&self, delivery: Delivery);
}

/// A message on its way to an instance.
pub(crate) struct Delivery {
    pub entry: usize,
    pub envelope: Box<dyn Any + Send>,
    pub call: Call,
    pub permit: Permit,
    /// When it entered the mailbox, if somebody looks.
    pub queued: Option<Instant>,
}

/// The right to be in a capability's mailbox; it travels with the message and ends with it.
pub(crate) struct Permit {
    host: Arc<Host>,
    instance: usize,
    ticket: u64,
}

impl Host {
    pub fn new(
        name: Arc<str>,
        supervision: Supervision,
        asks: &'static [&'static str],
        entries: Vec<EntryInfo>,
        first_label: usize,
        arbiter_of_instance: impl Iterator<Item = usize>,
        limit: u32,
    ) -> Self {
        let instances = arbiter_of_instance.map(Instance::on).collect();
        let (admitted, hooks) = (AtomicU32::new(0), OnceLock::new());
        Self { name, supervision, asks, exclusive: false, entries, first_label, instances, admitted, limit, hooks }
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

    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// Waits until nothing is admitted. It looks again and again, so that messages need not announce their end.
    pub async fn idle(&self) {
        while self.admitted() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub fn entries(&self) -> &[EntryInfo] {
        &self.entries
    }

    pub fn label(&self, entry: usize) -> usize {
        self.first_label + entry
    }

    pub fn instances(&self) -> &[Instance] {
        &self.instances
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

    /// Takes a place in a mailbox: with a key, the key's; without, an idle one of the caller's arbiter, else the least
    /// busy one.
    pub fn admit(self: &Arc<Self>, key: Option<&str>) -> Result<Permit, NotDelivered> {
        self.supervision.admits()?;
        // Whoever is refused changes nothing: counted for a moment, many of them would keep others from free places.
        let one_more = |admitted| (admitted < self.limit).then_some(admitted + 1);
        if self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            let bound = format!("capabilities.{}.mailbox = {} messages", self.name, self.limit);
            return Err(NotDelivered::Overloaded { capability: self.name.to_string(), bound });
        }
        let instance = match key {
            _ if self.instances.len() == 1 => 0,
            Some(key) => self.instance_of(key),
            None => self.least_busy(),
        };
        let ticket = self.instances[instance].sent.fetch_add(1, Ordering::Relaxed);
        Ok(Permit { host: self.clone(), instance, ticket })
    }

    /// Rendezvous hashing: a key moves only when its own instance goes or comes.
    fn instance_of(&self, key: &str) -> usize {
        let up = self.instances.iter().enumerate().filter(|(_, i)| i.is_up());
        up.max_by_key(|(index, _)| rendezvous(key, index)).map_or(0, |(index, _)| index)
    }

    fn least_busy(&self) -> usize {
        let here = arbiters::current();
        let mut best = (0, u64::MAX);
        for (index, instance) in self.instances.iter().enumerate() {
            if !instance.is_up() {
                continue;
            }
            let near = here == Some(instance.arbiter);
            let waiting = instance.waiting();
            if near && waiting == 0 {
                return index;
            }
            // Of two that are equally busy the near one wins.
            let rank = waiting * 2 + u64::from(!near);
            if rank < best.1 {
                best = (index, rank);
            }
        }
        best.0
    }

    /// Puts a message that nobody waits for into the permit's mailbox.
    pub fn deliver(&self, permit: Permit, entry: usize, envelope: Box<dyn Any + Send>, call: Call) {
        let instance = &self.instances[permit.instance];
        if let Some(mailbox) = instance.mailbox.get() {
            let queued = is_observed(&call.trace).then(Instant::now);
            mailbox.deliver(Delivery { entry, envelope, call, permit, queued });
        }
    }

    /// Asks an instance and waits for its answer until the deadline.
    pub async fn ask<M: Ask>(self: &Arc<Self>, permit: Permit, entry: usize, message: M, call: Call) -> AskResult<M> {
        let deadline = call.deadline;
        let (instance, ticket) = (permit.instance, permit.ticket);
        let slot = Arc::new(Slot::new());
        let asker = Asker(&slot);
        self.deliver(permit, entry, Box::new(AskEnvelope { message, slot: slot.clone() }), call);
        match timeout_at(deadline, slot.answered()).await {
            Ok(answer) => {
                std::mem::forget(asker);
                answer
            }
            Err(_) => match asker.0.give_up() {
                GivenUp::Answered(answer) => answer,
                GivenUp::TakenBack => {
                    let ahead = ticket.saturating_sub(self.instances[instance].done.load(Ordering::Relaxed));
                    Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: ahead as u32 }))
                }
                GivenUp::Running(since) => {
                    let running_ms = since.map_or(0, |s: Instant| s.elapsed().as_millis() as u64);
                    Err(AskError::Unknown(Unknown::TimedOut { running_ms }))
                }
            },
        }
    }
}

/// An asker that goes away takes its message back if it has not begun.
struct Asker<'a, T>(&'a Slot<T>);

impl<T> Drop for Asker<'_, T> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// The weight of a place for a key; the key goes to the heaviest (Thaler and Ravishankar, 1998).
pub(crate) fn rendezvous(key: &str, place: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, place).hash(&mut hasher);
    hasher.finish()
}

impl Instance {
    fn on(arbiter: usize) -> Self {
        Self {
            arbiter,
            mailbox: OnceLock::new(),
            up: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    pub fn open(&self, mailbox: Box<dyn Mailbox>) {
        let _ = self.mailbox.set(mailbox);
    }

    pub fn set_up(&self, up: bool) {
        self.up.store(u32::from(up), Ordering::Release);
    }

    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire) == 1
    }

    /// Messages admitted to this instance and not yet done.
    pub fn waiting(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.done.load(Ordering::Relaxed))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.host.instances[self.instance].done.fetch_add(1, Ordering::Relaxed);
        self.host.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}
