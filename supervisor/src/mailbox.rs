//! Where the messages of one instance wait.
//!
//! actix has mailboxes too, but their bound is none for whoever does not wait, and each message costs two allocations
//! there. Here the bound is the permit that each message holds, and whoever empties the mailbox takes everything at once.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use essaim_contract::{AskError, NotDelivered};
use tokio::time::Instant;

use crate::call::Call;
use crate::keys::KeyPlace;
use crate::slot::Slot;

/// A message on its way to an instance.
pub(crate) struct Delivery {
    pub entry: usize,
    /// An [`Envelope`] of the entry's message.
    pub envelope: Arc<dyn Sealed>,
    /// When it need not begin any more.
    pub deadline: Instant,
}

/// A message that waits, and the place of its answer.
pub(crate) type Envelope<M, T, E> = Slot<Result<T, AskError<E>>, Enclosed<M>>;

/// What is taken out of an envelope when its message begins.
pub(crate) struct Enclosed<M> {
    pub message: M,
    pub call: Call,
    /// When it entered the mailbox, if somebody looks.
    pub queued: Option<Instant>,
    /// What it counts for among those of its key.
    pub key: Option<KeyPlace>,
}

/// An envelope whose types are not known.
pub(crate) trait Sealed: Any + Send + Sync {
    /// Answers in place of the handler, if the message has not begun; it never begins then.
    fn refuse(&self, why: NotDelivered);
}

impl<M, T, E> Sealed for Envelope<M, T, E>
where
    M: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn refuse(&self, why: NotDelivered) {
        self.answer_unbegun(|| Err(AskError::NotDelivered(why)));
    }
}

/// Where the answer of a message will be.
type AnswerSlot<T, E> = Arc<Slot<Result<T, AskError<E>>>>;

/// A message that is run at once on its asker's own thread, and the place of its answer: as an [`Envelope`], without locks.
pub(crate) struct HereEnvelope<M, T, E> {
    enclosed: Cell<Option<Enclosed<M>>>,
    answer: Cell<Option<Result<T, AskError<E>>>>,
    /// Where the answer goes if the handler had to wait.
    forward: OnceCell<AnswerSlot<T, E>>,
}

impl<M, T, E> HereEnvelope<M, T, E> {
    pub fn holding(enclosed: Enclosed<M>) -> Self {
        Self { enclosed: Cell::new(Some(enclosed)), answer: Cell::new(None), forward: OnceCell::new() }
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
}

/// What a runner is given.
pub(crate) enum Post<S, H> {
    /// From a mailbox.
    Sent(S),
    /// From an asker on this thread.
    Here(H),
}

/// A message whose types are not known.
pub(crate) type AnyPost = Post<Arc<dyn Sealed>, Rc<dyn Any>>;

/// A message of known types.
pub(crate) type PostOf<M, T, E> = Post<Arc<Envelope<M, T, E>>, Rc<HereEnvelope<M, T, E>>>;

impl AnyPost {
    /// The same post, if it is of these types.
    pub fn downcast<M, T, E>(self) -> Option<PostOf<M, T, E>>
    where
        M: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        match self {
            Self::Sent(envelope) => {
                let envelope: Arc<dyn Any + Send + Sync> = envelope;
                envelope.downcast().ok().map(Post::Sent)
            }
            Self::Here(envelope) => envelope.downcast().ok().map(Post::Here),
        }
    }
}

impl<M, T, E> PostOf<M, T, E> {
    /// Called by the one who runs the message. None: the asker took it back, do not run it.
    pub fn begin(&self) -> Option<Enclosed<M>> {
        match self {
            Self::Sent(envelope) => envelope.begin(),
            Self::Here(envelope) => envelope.enclosed.take(),
        }
    }

    /// Notes since when the message runs. An asker on this thread leaves its deadline to the instance.
    pub fn running_since(&self, now: Instant) {
        if let Self::Sent(envelope) = self {
            envelope.running_since(now);
        }
    }

    /// Gives the answer.
    pub fn answer(&self, answer: Result<T, AskError<E>>) {
        match self {
            Self::Sent(envelope) => envelope.answer(answer),
            Self::Here(envelope) => match envelope.forward.get() {
                Some(slot) => slot.answer(answer),
                None => envelope.answer.set(Some(answer)),
            },
        }
    }
}

/// The messages of one instance, in the order in which they came. Bounded by the host's permits (`mailbox`).
#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    stub: OnceLock<Stub>,
}

/// Answers in place of an instance, at once and in the asker's own call, so that its panics are the asker's.
pub(crate) type Stub = Box<dyn Fn(&Delivery) + Send + Sync>;

#[derive(Default)]
struct State {
    waiting: VecDeque<Delivery>,
    /// No message that waits is due before this.
    earliest: Option<Instant>,
    /// Who wants to know of new messages.
    waker: Option<Waker>,
    /// Only messages that are due before this are worth a wake-up.
    due_before: Option<Instant>,
    closed: bool,
}

impl Mailbox {
    /// Has a stub answer whatever comes.
    pub fn stub(&self, stub: Stub) {
        let _ = self.stub.set(stub);
    }

    /// Puts a message at the end; a closed mailbox gives it back, and one with a stub too, once it is answered.
    pub fn put(&self, delivery: Delivery) -> Result<(), Delivery> {
        if let Some(stub) = self.stub.get() {
            stub(&delivery);
            return Err(delivery);
        }
        let mut state = self.lock();
        if state.closed {
            return Err(delivery);
        }
        let due = delivery.deadline;
        state.earliest = earlier(state.earliest, Some(due));
        state.waiting.push_back(delivery);
        let worth_it = state.due_before.is_none_or(|before| due < before);
        let waker = if worth_it { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Takes all messages into `taken`, which is empty; no message in it is due before the answer.
    pub fn poll_take(&self, taken: &mut VecDeque<Delivery>, task: &Context<'_>) -> Poll<Option<Instant>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            (state.waker, state.due_before) = (Some(task.waker().clone()), None);
            return Poll::Pending;
        }
        std::mem::swap(&mut state.waiting, taken);
        Poll::Ready(state.earliest.take())
    }

    /// Adds all messages to `taken`.
    pub fn take_more(&self, taken: &mut VecDeque<Delivery>) {
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
    pub fn close(&self) -> VecDeque<Delivery> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The earlier of two moments, if there are any.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}
