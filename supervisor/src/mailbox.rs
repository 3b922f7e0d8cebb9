//! Where the messages of one instance wait.
//!
//! actix has mailboxes too, but their bound is none for whoever does not wait, and each message costs two allocations
//! there. Here the bound is the permit that each message holds, and whoever empties the mailbox takes everything at once.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use essaim_contract::{AskError, NotDelivered};
use tokio::time::Instant;

use crate::call::Call;
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
