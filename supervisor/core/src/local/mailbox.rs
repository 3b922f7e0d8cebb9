//! Mailbox: the queue of one instance's messages.
//!
//! actix's own mailboxes do not bound senders that do not wait, and cost two allocations a message. This one is bounded by
//! the permit that each message holds, and the instance takes all queued messages in one locked swap.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use essaim_base::call::Call;
use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::slot::Slot;
use essaim_contract::{AskError, NotDelivered};
use tokio::time::Instant;

use crate::local::keys::KeyPermit;
use crate::local::span::Observed;

/// A message in an instance's mailbox.
pub struct QueuedMessage {
    pub entry: usize,
    /// An [`Envelope`] of the entry's message.
    pub envelope: Arc<dyn ErasedEnvelope>,
    /// Deadline: past it the message must not begin.
    pub deadline: Instant,
}

/// A queued message with the slot of its answer.
pub type Envelope<M, T, E> = Slot<Result<T, AskError<E>>, EnvelopeContents<M>>;

/// Contents of an envelope, taken out when the message begins.
pub struct EnvelopeContents<M> {
    pub message: M,
    pub call: Call,
    /// What is noted of it, if anybody looks.
    pub observed: Option<Box<Observed>>,
    /// Its share of its key's limit.
    pub key: Option<KeyPermit>,
}

/// A type-erased envelope.
pub trait ErasedEnvelope: Any + Send + Sync {
    /// Answers in place of the handler, if the message has not begun; it never begins then.
    fn refuse(&self, why: NotDelivered);
}

impl<M, T, E> ErasedEnvelope for Envelope<M, T, E>
where
    M: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn refuse(&self, why: NotDelivered) {
        self.answer_unbegun(|| Err(AskError::NotDelivered(why)));
    }
}

/// A type-erased envelope of a local call.
pub trait ErasedLocalEnvelope: Any {
    /// Answers in place of the handler.
    fn refuse(&self, why: NotDelivered);
}

impl<M: 'static, T: 'static, E: 'static> ErasedLocalEnvelope for LocalEnvelope<M, T, E> {
    fn refuse(&self, why: NotDelivered) {
        self.put_answer(Err(AskError::NotDelivered(why)));
    }
}

/// The slot of a message's answer.
type AnswerSlot<T, E> = Arc<Slot<Result<T, AskError<E>>>>;

/// Envelope of a local call, run at once on its asker's own thread: as an [`Envelope`], without locks.
pub struct LocalEnvelope<M, T, E> {
    contents: Cell<Option<EnvelopeContents<M>>>,
    answer: Cell<Option<Result<T, AskError<E>>>>,
    /// The slot of the answer, once the handler has had to wait.
    forward: OnceCell<AnswerSlot<T, E>>,
}

impl<M, T, E> LocalEnvelope<M, T, E> {
    pub fn holding(contents: EnvelopeContents<M>) -> Self {
        Self { contents: Cell::new(Some(contents)), answer: Cell::new(None), forward: OnceCell::new() }
    }

    /// The answer, or where it will be: to be asked once the message has been run up to its first wait.
    pub fn answered(&self) -> Result<Result<T, AskError<E>>, AnswerSlot<T, E>> {
        self.answer.take().ok_or_else(|| {
            let new = || {
                let slot = Arc::new(Slot::new());
                slot.begin();
                slot
            };
            self.forward.get_or_init(new).clone()
        })
    }

    fn put_answer(&self, answer: Result<T, AskError<E>>) {
        match self.forward.get() {
            Some(slot) => slot.answer(answer),
            None => self.answer.set(Some(answer)),
        }
    }
}

/// A message as dispatched to a runner.
pub enum Dispatched<S, H> {
    /// From a mailbox.
    Queued(S),
    /// From an asker on this thread.
    Local(H),
}

/// A dispatched message, type-erased.
pub type ErasedDispatch = Dispatched<Arc<dyn ErasedEnvelope>, Rc<dyn ErasedLocalEnvelope>>;

/// A dispatched message with its types.
pub type TypedDispatch<M, T, E> = Dispatched<Arc<Envelope<M, T, E>>, Rc<LocalEnvelope<M, T, E>>>;

impl ErasedDispatch {
    /// The same message with its types.
    ///
    /// # Errors
    /// The message as it was, if it is not of these types.
    pub fn downcast<M, T, E>(self) -> Result<TypedDispatch<M, T, E>, Self>
    where
        M: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        // Checked before the cast, which does not give back what it does not fit.
        let fits = match &self {
            Self::Queued(envelope) => (&**envelope as &dyn Any).is::<Envelope<M, T, E>>(),
            Self::Local(envelope) => (&**envelope as &dyn Any).is::<LocalEnvelope<M, T, E>>(),
        };
        match self {
            Self::Queued(envelope) if fits => {
                let envelope: Arc<dyn Any + Send + Sync> = envelope;
                Ok(Dispatched::Queued(envelope.downcast().unwrap_or_else(|_| unreachable!("its type was checked"))))
            }
            Self::Local(envelope) if fits => {
                let envelope: Rc<dyn Any> = envelope;
                Ok(Dispatched::Local(envelope.downcast().unwrap_or_else(|_| unreachable!("its type was checked"))))
            }
            other => Err(other),
        }
    }

    /// Answers in place of the handler.
    pub fn refuse(&self, why: NotDelivered) {
        match self {
            Self::Queued(envelope) => envelope.refuse(why),
            Self::Local(envelope) => envelope.refuse(why),
        }
    }
}

impl<M, T, E> TypedDispatch<M, T, E> {
    /// Called by the one who runs the message. None: the asker took it back, do not run it.
    pub fn begin(&self) -> Option<EnvelopeContents<M>> {
        match self {
            Self::Queued(envelope) => envelope.begin(),
            Self::Local(envelope) => envelope.contents.take(),
        }
    }

    /// Notes since when the message runs. An asker on this thread leaves its deadline to the instance.
    pub fn running_since(&self, now: Instant) {
        if let Self::Queued(envelope) = self {
            envelope.running_since(now);
        }
    }

    /// Gives the answer.
    pub fn answer(&self, answer: Result<T, AskError<E>>) {
        match self {
            Self::Queued(envelope) => envelope.answer(answer),
            Self::Local(envelope) => envelope.put_answer(answer),
        }
    }
}

/// The messages of one instance, in the order in which they came. Bounded by the host's permits (`mailbox`).
#[derive(Default)]
pub struct Mailbox {
    state: Mutex<MailboxState>,
    stub: Option<Stub>,
}

/// Answers in place of an instance, at once and in the asker's own call, so that its panics are the asker's.
pub type Stub = Box<dyn Fn(&QueuedMessage) + Send + Sync>;

#[derive(Default)]
struct MailboxState {
    waiting: VecDeque<QueuedMessage>,
    /// Lower bound of the deadlines in `waiting`.
    earliest: Option<Instant>,
    /// Waker of the instance, to be woken by a new message.
    waker: Option<Waker>,
    /// Only a message due before this wakes the instance.
    due_before: Option<Instant>,
    closed: bool,
}

impl Mailbox {
    /// A mailbox whose messages are all answered by a stub.
    pub fn stubbed(stub: Stub) -> Self {
        Self { stub: Some(stub), ..Self::default() }
    }

    /// Puts a message at the end; a closed mailbox gives it back, and one with a stub too, once it is answered.
    pub fn put(&self, message: QueuedMessage) -> Result<(), QueuedMessage> {
        if let Some(stub) = &self.stub {
            stub(&message);
            return Err(message);
        }
        let mut state = self.lock();
        if state.closed {
            return Err(message);
        }
        let due = message.deadline;
        state.earliest = earlier(state.earliest, Some(due));
        state.waiting.push_back(message);
        let worth_it = state.due_before.is_none_or(|before| due < before);
        let waker = if worth_it { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Takes all messages into `taken`, which is empty; no message in it is due before the answer.
    pub fn poll_take(&self, taken: &mut VecDeque<QueuedMessage>, task: &Context<'_>) -> Poll<Option<Instant>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            (state.waker, state.due_before) = (Some(task.waker().clone()), None);
            return Poll::Pending;
        }
        debug_assert!(taken.is_empty(), "more is taken when nothing is left");
        std::mem::swap(&mut state.waiting, taken);
        let earliest = state.earliest.take();
        debug_assert!(taken.iter().all(|queued| earliest.is_some_and(|earliest| earliest <= queued.deadline)));
        Poll::Ready(earliest)
    }

    /// Adds all messages to `taken`.
    pub fn take_more(&self, taken: &mut VecDeque<QueuedMessage>) {
        let mut state = self.lock();
        taken.append(&mut state.waiting);
        state.earliest = None;
    }

    /// The moment before which neither a message here nor one of those `taken` earlier is due. The task is woken by a
    /// message that is due sooner.
    pub fn poll_earliest(&self, taken: Option<Instant>, task: &Context<'_>) -> Option<Instant> {
        let mut state = self.lock();
        let earliest = earlier(state.earliest, taken);
        state.due_before = earliest;
        if !state.waker.as_ref().is_some_and(|w| w.will_wake(task.waker())) {
            state.waker = Some(task.waker().clone());
        }
        earliest
    }

    /// Takes nothing more; what is still here.
    pub fn close(&self) -> VecDeque<QueuedMessage> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        self.state.lock()
    }
}

/// The earlier of two moments, if there are any.
pub fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

#[cfg(test)]
mod tests;
