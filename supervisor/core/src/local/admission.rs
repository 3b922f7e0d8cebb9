//! Admission: the permit that every message of a host holds from before its mailbox until it has ended, and the ask that is made
//! with one.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use essaim_base::call::Call;
use essaim_base::slot::{GivenUp, Slot};
use essaim_base::trace::TraceContext;
use essaim_contract::{Ask, AskError, Message, Never, NotDelivered, Unknown};
use essaim_trace::Shown;
use tokio::time::{Instant, sleep_until};

use crate::local::host::Host;
use crate::local::keys::{self, KeyPermit, Keys};
use crate::local::local_call;
use crate::local::mailbox::{Envelope, EnvelopeContents, LocalEnvelope, QueuedMessage};
use crate::local::span::Observed;

/// Permit for one message in an instance's mailbox; dropped unused, it is returned.
pub struct Permit<'a> {
    host: &'a Host,
    instance: usize,
    ticket: u64,
    key: Option<KeyPermit>,
    /// What its record shows of the message.
    shown: Shown,
    /// How long its asker waits for an instance whose arbiter makes no turn; else until the deadline.
    patience: Option<Duration>,
}

/// Bounds of a host's mailboxes: all admitted messages, and those of one key.
pub struct Admission {
    admitted: AtomicU32,
    limit: u32,
    keys: Arc<Keys>,
    refused: [AtomicU64; RefusalCause::ALL.len()],
}

/// Why a message was not admitted, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCause {
    /// Its capability does not run.
    NotRunning,
    /// The mailboxes hold as many messages as they may.
    MailboxFull,
    /// Its key has its share of them.
    KeyFull,
}

impl RefusalCause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::NotRunning, Self::MailboxFull, Self::KeyFull];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::MailboxFull => "mailbox_full",
            Self::KeyFull => "key_full",
        }
    }
}

impl Admission {
    /// At most so many messages, of which one key has at most half.
    pub fn of(limit: u32) -> Self {
        Self { admitted: AtomicU32::new(0), limit, keys: Keys::of(limit.div_ceil(2)), refused: Default::default() }
    }

    /// The same with another limit for one key; 0: half of all.
    pub fn per_key(self, most: u32) -> Self {
        if most > 0 { Self { keys: Keys::of(most), ..self } } else { self }
    }

    /// Messages admitted and not yet done.
    pub fn admitted(&self) -> u32 {
        self.admitted.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Messages that were refused for this cause.
    pub fn refused(&self, cause: RefusalCause) -> u64 {
        self.refused[cause as usize].load(Ordering::Relaxed)
    }

    fn record_refusal(&self, cause: RefusalCause) {
        self.refused[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        // A refused ask never touches the counter: counted even for a moment, many refusals would take free permits from
        // others.
        let one_more = |admitted| (admitted < self.limit).then_some(admitted + 1);
        self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Returns the permit of a message that was not delivered, or has ended.
    pub fn give_back(&self) {
        let before = self.admitted.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a permit is returned once");
    }
}

impl Host {
    /// Admits one message: to the key's instance as a rule, without a key to an idle or the least busy one.
    pub fn admit(&self, key: Option<&str>) -> Result<Permit<'_>, NotDelivered> {
        self.supervision.admits().inspect_err(|_| self.admission.record_refusal(RefusalCause::NotRunning))?;
        if !self.admission.take() {
            self.admission.record_refusal(RefusalCause::MailboxFull);
            let bound = format!("capabilities.{}.mailbox = {} messages", self.name, self.admission.limit);
            return Err(NotDelivered::Overloaded { capability: self.name.to_string(), bound });
        }
        let placed = match key {
            Some(key) => {
                self.admission.keys.take(key, self.instances()).map(|(place, instance)| (Some(place), instance))
            }
            None => Ok((None, keys::least_busy(self.instances()))),
        };
        let (key, instance) = placed.map_err(|most| {
            self.admission.give_back();
            self.admission.record_refusal(RefusalCause::KeyFull);
            let bound = format!("capabilities.{}.mailbox_per_key = {most} messages of one key", self.name);
            NotDelivered::Overloaded { capability: self.name.to_string(), bound }
        })?;
        let ticket = self.instances()[instance].admit();
        Ok(Permit { host: self, instance, ticket, key, shown: Shown::default(), patience: None })
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
pub type AskEnvelope<M> = Envelope<M, <M as Ask>::Reply, <M as Ask>::Error>;

fn contents<M>(message: M, call: Call, key: Option<KeyPermit>, shown: Shown) -> EnvelopeContents<M> {
    let observed = Observed::of(&call.trace, shown);
    EnvelopeContents { message, call, observed, key }
}

/// Guard: an asker that is dropped takes its message back if it has not begun.
struct AskerGuard<'a, T, W>(&'a Slot<T, W>);

impl<T, W> Drop for AskerGuard<'_, T, W> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl Permit<'_> {
    /// Gives up before the deadline if the instance's arbiter makes no turn for so long: its handler may run on.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Has the message's record show its key, and its payload if that is captured, if the record is kept.
    pub fn showing<M: Message>(mut self, message: &M, trace: &TraceContext) -> Self {
        if trace.kept {
            self.shown = Shown::of(message, self.host.payload_bytes);
        }
        self
    }

    /// Puts a message that nobody waits for into the mailbox.
    pub fn deliver<M: Send + 'static>(mut self, entry: usize, message: M, call: Call) {
        let deadline = call.deadline;
        let envelope = Envelope::<M, (), Never>::holding(contents(
            message,
            call,
            self.key.take(),
            std::mem::take(&mut self.shown),
        ));
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
        let instance = &self.host.instances()[self.instance];
        match self.enter(entry, message, call) {
            AskStage::Answered(answer) => answer,
            AskStage::Running(slot) => until_answered(&slot).await,
            AskStage::WaitingHere(envelope) => until_answered(&envelope).await,
            AskStage::WaitingElsewhere(envelope) => {
                let (guard, queued) = (AskerGuard(&envelope), Instant::now());
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
                        let ahead = ticket.saturating_sub(instance.done());
                        let queued_ms = queued.elapsed().as_millis() as u64;
                        Err(AskError::NotDelivered(instance.expired(ahead as u32, queued_ms)))
                    }
                    GivenUp::Running(since) => {
                        let running_ms = since.map_or(0, |s: Instant| s.elapsed().as_millis() as u64);
                        Err(AskError::Unknown(Unknown::TimedOut { running_ms, doing: instance.doing() }))
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
        let instance = &self.host.instances()[self.instance];
        let local_call = local_call::find(instance.id);
        match local_call.as_ref().filter(|local_call| instance.waiting() == 1 && local_call.is_free()) {
            Some(local_call) => {
                let envelope = Rc::new(LocalEnvelope::holding(contents(
                    message,
                    call,
                    self.key.take(),
                    std::mem::take(&mut self.shown),
                )));
                std::mem::forget(self);
                local_call.run_now(entry, envelope.clone());
                envelope.answered().map_or_else(AskStage::Running, AskStage::Answered)
            }
            None => {
                let deadline = call.deadline;
                let envelope = Arc::new(Envelope::<M, T, E>::holding(contents(
                    message,
                    call,
                    self.key.take(),
                    std::mem::take(&mut self.shown),
                )));
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
        match self.host.instances()[self.instance].mailbox.put(delivery) {
            Ok(()) => std::mem::forget(self),
            Err(refused) => refused.envelope.refuse(self.host.instance_ended()),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.host.instances()[self.instance].withdraw();
        self.host.admission.give_back();
    }
}

#[cfg(test)]
mod tests;
