//! A capability hosted in this node: its instances, and the admission to them.

use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use essaim_contract::{Ask, AskError, Never, NotDelivered, Unknown};
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::call::Call;
use crate::durable::outbox::Outbox;
use crate::durable::schedule::Timetable;
use crate::handles::EntryInfo;
use crate::keys::{self, KeyPlace, Keys};
use crate::mailbox::{Delivery, Enclosed, Envelope, HereEnvelope, Mailbox};
use crate::nearby;
use crate::slot::{GivenUp, Slot};
use crate::span::is_observed;
use crate::startup::Startup;
use crate::store::Database;
use crate::tree::Supervision;
use crate::watchdog::Beat;

/// How often a draining node looks whether a host is idle.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A capability in this node.
pub(crate) struct Host {
    pub name: Arc<str>,
    pub supervision: Supervision,
    pub startup: Startup,
    asks: &'static [&'static str],
    /// Whether only one live node may host it.
    exclusive: bool,
    entries: Vec<EntryInfo>,
    /// What it sends itself at set times.
    timetables: Vec<Timetable>,
    /// The watchdog's label of the first entry; the others follow.
    first_label: usize,
    instances: Box<[Instance]>,
    admitted: AtomicU32,
    limit: u32,
    keys: Arc<Keys>,
    /// Set once the capability has started: what it does at a drain, and its figures.
    hooks: OnceLock<Hooks>,
}

/// What the runtime calls without knowing the actor's type.
pub(crate) struct Hooks {
    pub drain: Box<dyn Fn() -> LocalBoxFuture<'static, ()> + Send + Sync>,
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
    pub database: Option<Database>,
    pub outbox: Option<Arc<Outbox>>,
}

/// One concurrency slot.
pub(crate) struct Instance {
    pub arbiter: usize,
    pub beat: Arc<Beat>,
    /// Unique in this process.
    pub id: u64,
    pub mailbox: Mailbox,
    /// 1 while the instance has its state, or is about to build it for the first time in a row.
    up: AtomicU32,
    sent: AtomicU64,
    done: AtomicU64,
}

/// A place in an instance's mailbox, to be taken or given back.
pub(crate) struct Permit<'a> {
    host: &'a Host,
    instance: usize,
    ticket: u64,
    key: Option<KeyPlace>,
    /// How long its asker waits for an instance whose arbiter makes no turn; else until the deadline.
    patience: Option<Duration>,
}

impl Host {
    pub fn new(
        name: Arc<str>,
        supervision: Supervision,
        asks: &'static [&'static str],
        entries: Vec<EntryInfo>,
        first_label: usize,
        arbiter_of_instance: impl Iterator<Item = (usize, Arc<Beat>)>,
        limit: u32,
    ) -> Self {
        let instances = arbiter_of_instance.map(Instance::on).collect();
        let (admitted, hooks) = (AtomicU32::new(0), OnceLock::new());
        Self {
            name,
            supervision,
            startup: Startup::default(),
            asks,
            exclusive: false,
            entries,
            timetables: Vec::new(),
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

    /// This host, which sends itself commands at set times.
    pub fn scheduled(mut self, timetables: Vec<Timetable>) -> Self {
        self.timetables = timetables;
        self
    }

    pub fn timetables(&self) -> &[Timetable] {
        &self.timetables
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

    /// Whether no instance has made a turn for so long, since handlers block all their arbiters.
    pub fn is_blocked_for(&self, limit: Duration) -> bool {
        self.instances.iter().all(|i| i.is_blocked() && i.beat.blocked() >= limit)
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

    /// Takes a place in a mailbox: with a key, as a rule the key's; without, that of an idle or the least busy instance.
    pub fn admit(&self, key: Option<&str>) -> Result<Permit<'_>, NotDelivered> {
        self.supervision.admits()?;
        // Whoever is refused changes nothing: counted for a moment, many of them would keep others from free places.
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
        // Nobody else writes it, so it needs no locked instruction.
        let done = &self.instances[instance].done;
        done.store(done.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far an ask came before its asker had to wait.
enum Entered<M, T, E> {
    Answered(Result<T, AskError<E>>),
    /// Its handler waits for something, on this thread.
    Running(Arc<Slot<Result<T, AskError<E>>>>),
    WaitingHere(Arc<Envelope<M, T, E>>),
    WaitingElsewhere(Arc<Envelope<M, T, E>>),
}

/// Waits for an answer; the message is taken back if the asker goes away before it has begun.
async fn until_answered<T, W>(slot: &Slot<T, W>) -> T {
    let asker = Asker(slot);
    let answer = slot.answered().await;
    std::mem::forget(asker);
    answer
}

/// The envelope of an ask.
pub(crate) type AskEnvelope<M> = Envelope<M, <M as Ask>::Reply, <M as Ask>::Error>;

fn enclosed<M>(message: M, call: Call, key: Option<KeyPlace>) -> Enclosed<M> {
    let queued = is_observed(&call.trace).then(Instant::now);
    Enclosed { message, call, queued, key }
}

/// An asker that goes away takes its message back if it has not begun.
struct Asker<'a, T, W>(&'a Slot<T, W>);

impl<T, W> Drop for Asker<'_, T, W> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl Instance {
    fn on((arbiter, beat): (usize, Arc<Beat>)) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            arbiter,
            beat,
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

    /// Whether a handler, of whichever instance, blocks its arbiter.
    pub fn is_blocked(&self) -> bool {
        !self.beat.blocked().is_zero()
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
        let envelope = Envelope::<M, (), Never>::holding(enclosed(message, call, self.key.take()));
        self.put(Delivery { entry, envelope: Arc::new(envelope), deadline });
    }

    /// Asks the instance and waits for its answer until the deadline.
    ///
    /// On the instance's own thread the message is run at once if the instance has nothing else to do. If it has, the
    /// instance keeps the deadline, of what waits and of what runs, and the asker sets no timer: whatever keeps the
    /// instance from that would keep the asker from it too.
    pub async fn ask<M, T, E>(self, entry: usize, message: M, call: Call) -> Result<T, AskError<E>>
    where
        M: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (deadline, ticket, patience) = (call.deadline, self.ticket, self.patience);
        let instance = &self.host.instances[self.instance];
        match self.enter(entry, message, call) {
            Entered::Answered(answer) => answer,
            Entered::Running(slot) => until_answered(&slot).await,
            Entered::WaitingHere(envelope) => until_answered(&envelope).await,
            Entered::WaitingElsewhere(envelope) => {
                let asker = Asker(&envelope);
                let blocked = async {
                    match patience {
                        Some(patience) => instance.beat.until_blocked(patience).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    answer = envelope.answered() => {
                        std::mem::forget(asker);
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
    fn enter<M, T, E>(mut self, entry: usize, message: M, call: Call) -> Entered<M, T, E>
    where
        M: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let instance = &self.host.instances[self.instance];
        let nearby = nearby::find(instance.id);
        match nearby.as_ref().filter(|nearby| instance.waiting() == 1 && nearby.is_free()) {
            Some(nearby) => {
                let envelope = Rc::new(HereEnvelope::holding(enclosed(message, call, self.key.take())));
                std::mem::forget(self);
                nearby.run_now(entry, envelope.clone());
                envelope.answered().map_or_else(Entered::Running, Entered::Answered)
            }
            None => {
                let deadline = call.deadline;
                let envelope = Arc::new(Envelope::<M, T, E>::holding(enclosed(message, call, self.key.take())));
                self.put(Delivery { entry, envelope: envelope.clone(), deadline });
                if nearby.is_some() { Entered::WaitingHere(envelope) } else { Entered::WaitingElsewhere(envelope) }
            }
        }
    }

    fn put(self, delivery: Delivery) {
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
