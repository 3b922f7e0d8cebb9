//! Runners: begin a message, guard its handler, decide what is true of its outcome, answer.
//!
//! A runner is a coroutine of one instance for one kind of message: it takes a message from the instance's desk, runs
//! the handler to its end, and puts the state back. It is made once and lives as long as the instance, so a message
//! costs no allocation here however large its handler's future is.

use std::cell::Cell;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use essaim_base::activity::{Activity, HandlerPlace};
use essaim_base::panic::dismantle;
use essaim_contract::{Ask, AskError, Broadcast, Failure, FailureKind, Message, Never, NotDelivered, Unknown};
use essaim_durable::DurableMessage;
use essaim_store::TxError;
use essaim_store::tx_tracker::CommitState;
use futures_util::future::LocalBoxFuture;

use crate::api::actor::{Actor, Apply, Handle, Hear};
use crate::local::guard::{GuardedEnd, guarded};
use crate::local::handler::{HandlerEntry, Tick};
use crate::local::host::Host;
use crate::local::instance::InstanceHandle;
use crate::local::mailbox::{EnvelopeContents, ErasedDispatch, TypedDispatch};
use crate::local::span::MessageSpan;
use crate::local::supervision::MissedDeadlines;
use crate::local::watchdog::TurnMonitor;
use crate::node::context::CapabilityContext;
use crate::{Cx, Fault};

/// State shared by an instance and its runners: the actor's state in transit, and what all its messages have in common.
pub struct InstanceState<A: Actor> {
    pub table: Arc<[Arc<dyn HandlerEntry<A>>]>,
    pub shared: Arc<A::Shared>,
    pub context: Arc<CapabilityContext>,
    pub host: Arc<Host>,
    pub monitor: Arc<TurnMonitor>,
    /// Which instance of the host it is, and the deadlines that it has missed.
    index: usize,
    missed_in_a_row: MissedDeadlines,
    /// Its state is built anew since a message was rehearsed, by no fault of anybody's.
    pub was_rehearsed: Cell<bool>,
    /// What its handler does.
    activity: Rc<Activity>,
    /// The message that is to be run next, with the state.
    job: Cell<Option<(Box<A>, ErasedDispatch)>>,
    /// The state after it; inside, none if it is lost.
    done: Cell<Option<Option<Box<A>>>>,
}

impl<A: Actor> InstanceState<A> {
    pub fn new(
        table: Arc<[Arc<dyn HandlerEntry<A>>]>,
        shared: Arc<A::Shared>,
        context: Arc<CapabilityContext>,
        host: Arc<Host>,
        monitor: Arc<TurnMonitor>,
        index: usize,
    ) -> Self {
        let (missed_in_a_row, job, done) = (MissedDeadlines::default(), Cell::new(None), Cell::new(None));
        let messages = table.iter().map(|entry| entry.name().clone()).collect();
        let (node, capability) = (context.observer.node.clone(), context.observer.capability.clone());
        let place = HandlerPlace { node, capability, messages };
        let activity = Activity::at(host.instances()[index].activity.clone(), place);
        let was_rehearsed = Cell::new(false);
        Self { table, shared, context, host, monitor, index, missed_in_a_row, was_rehearsed, activity, job, done }
    }

    /// The instance, as others see it.
    pub fn handle(&self) -> &InstanceHandle {
        &self.host.instances()[self.index]
    }

    /// A message that was taken from the mailbox has ended.
    pub fn ended(&self) {
        self.host.ended(self.index);
    }

    /// Gives the runner that is polled next a message.
    pub fn give(&self, state: Box<A>, dispatched: ErasedDispatch) {
        let before = self.job.replace(Some((state, dispatched)));
        debug_assert!(before.is_none(), "an instance runs one message at a time");
    }

    /// The state, once the message has ended; inside, none if it is lost.
    pub fn take_done(&self) -> Option<Option<Box<A>>> {
        self.done.take()
    }

    /// The next message. It keeps no waker: the instance polls the runner right after `give`.
    async fn next<M, T, E>(&self) -> (Box<A>, TypedDispatch<M, T, E>)
    where
        M: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        loop {
            let job = poll_fn(|_| self.job.take().map_or(Poll::Pending, Poll::Ready));
            let (state, dispatched) = job.await;
            match dispatched.downcast() {
                Ok(typed) => return (state, typed),
                Err(other) => {
                    debug_assert!(false, "a message of another type was dispatched to this entry");
                    other.refuse(NotDelivered::Unsupported { message: std::any::type_name::<M>().into() });
                    self.ended();
                    self.put_back(Some(state));
                }
            }
        }
    }

    fn put_back(&self, state: Option<Box<A>>) {
        let before = self.done.replace(Some(state));
        debug_assert!(before.is_none(), "a message ends once");
    }
}

/// Runs asks of one kind.
pub fn asks<A, M>(instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()>
where
    A: Handle<M>,
    M: Ask<To = A::Capability>,
{
    Box::pin(messages(instance, entry, async |actor: &mut A, message: M, cx: &mut Cx| {
        let result = actor.handle(message, cx).await;
        cx.certain(result).await
    }))
}

/// Runs broadcasts of one kind.
pub fn broadcasts<A, S>(instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()>
where
    A: Hear<S>,
    S: Broadcast,
{
    Box::pin(messages(instance, entry, async |actor: &mut A, message: S, cx: &mut Cx| -> Unawaited {
        actor.hear(message, cx).await;
        cx.certain(Ok(())).await
    }))
}

/// Runs durable messages of one kind.
pub fn applications<A, M>(instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()>
where
    A: Apply<M>,
    M: Message,
{
    Box::pin(messages(instance, entry, async |actor: &mut A, enlisted: DurableMessage<M>, cx: &mut Cx| {
        cx.enlist(enlisted.delivery);
        let result = actor.apply(enlisted.message, cx).await;
        match cx.certain(result).await {
            // Another copy has the effect, so the message is done even if its handler failed.
            _ if cx.is_repeated() => Ok(()),
            Ok(()) => match cx.settle().await {
                Err(TxError::Repeated) => Ok(()),
                settled => settled.map_err(Fault::from),
            },
            // A committed message is applied; a rejection after the commit is a failure.
            Err(Fault::Rejected(why)) if cx.commit_state() == CommitState::Committed => Err(crate::fail(why)),
            Err(fault) => Err(fault),
        }
    }))
}

/// Runs the timers that are due.
pub fn ticks<A: Actor>(instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()> {
    Box::pin(messages(instance, entry, async |actor: &mut A, tick: Tick, cx: &mut Cx| -> Unawaited {
        let Tick { timer, done: _done } = tick;
        let result = actor.tick(timer, cx).await;
        cx.certain(result).await
    }))
}

/// How a message ends that nobody waits for: what goes wrong is logged.
type Unawaited = Result<(), Fault<Never>>;

/// Runs messages of one kind, one after the other, each until it is done, panics or passes its deadline.
async fn messages<A, M, T, E>(
    instance: Rc<InstanceState<A>>,
    entry: usize,
    handler: impl AsyncFn(&mut A, M, &mut Cx) -> Result<T, Fault<E>>,
) where
    A: Actor,
    M: Send + 'static,
    T: Send + 'static,
    E: Display + Send + 'static,
{
    let mut contexts = None;
    loop {
        let (mut actor, dispatched) = instance.next::<M, T, E>().await;
        let Some(contents) = dispatched.begin() else {
            instance.ended();
            instance.put_back(Some(actor));
            continue;
        };
        let owed = OwedAnswer { dispatched: &dispatched, instance: &instance };
        let EnvelopeContents { message, mut call, observed, key } = contents;
        let deadline = call.deadline;
        let (observer, info) = (&instance.context.observer, instance.table[entry].info());
        let message_span = MessageSpan::begin(observer, info, instance.index, &mut call, observed);
        instance.activity.begin(entry, call.trace);
        let cx = Cx::renewed(&mut contexts, &instance.context, call);
        let end = {
            let work = pin!(Some(handler(&mut actor, message, cx)));
            let first_pending = |now| {
                dispatched.running_since(now);
                message_span.first_pending(now, &instance.activity);
            };
            let place = (&*instance.monitor, instance.host.label(entry));
            guarded(work, deadline, place, &instance.activity, message_span.span(), first_pending).await
        };
        let (kept, answer) = conclude(&instance, &message_span, cx, end);
        let state = keep(kept, actor);
        drop(key);
        owed.pay(answer);
        instance.put_back(state);
    }
}

/// Guard of an unanswered ask: the asker may wait on this thread without a timer of its own, so it is answered with
/// `NodeLost` if the instance goes down with its thread.
struct OwedAnswer<'a, A: Actor, M, T, E> {
    dispatched: &'a TypedDispatch<M, T, E>,
    instance: &'a InstanceState<A>,
}

impl<A: Actor, M, T, E> OwedAnswer<'_, A, M, T, E> {
    fn pay(self, answer: Result<T, AskError<E>>) {
        self.instance.ended();
        self.dispatched.answer(answer);
        std::mem::forget(self);
    }
}

impl<A: Actor, M, T, E> Drop for OwedAnswer<'_, A, M, T, E> {
    fn drop(&mut self) {
        self.instance.ended();
        let node = self.instance.context.bus.settings.node.name.clone();
        self.dispatched.answer(Err(AskError::Unknown(Unknown::NodeLost { node })));
    }
}

/// What an ended handler means: whether the instance's state can be trusted, and what its asker is told.
fn conclude<A: Actor, T, E: Display>(
    instance: &InstanceState<A>,
    message_span: &MessageSpan<'_>,
    cx: &Cx,
    end: GuardedEnd<Result<T, Fault<E>>>,
) -> (bool, Result<T, AskError<E>>) {
    let (supervision, commit_state) = (&instance.host.supervision, cx.commit_state());
    // What is logged here is about the message.
    let _active = instance.activity.enter();
    if cx.rehearsal().is_some() {
        // Whatever the handler has made of its state, nothing of it may remain; and no failure of it is the capability's.
        message_span.rehearsed();
        instance.was_rehearsed.set(true);
        return (false, answer_of(end, commit_state));
    }
    match end {
        GuardedEnd::Done(Ok(reply)) => {
            supervision.succeeded();
            message_span.answered::<E>(cx, None);
            (true, Ok(reply))
        }
        GuardedEnd::Done(Err(fault)) => {
            supervision.succeeded();
            let error = truth(fault, commit_state);
            message_span.answered(cx, Some(&error));
            // A commit that failed, or was forgotten, may have left the state ahead of the database.
            let ahead =
                commit_state == CommitState::Committing || cx.is_ahead() || matches!(error, AskError::Unknown(_));
            (!ahead, Err(error))
        }
        GuardedEnd::Panicked(what) => {
            supervision.panicked(&what);
            message_span.panicked(cx, &what);
            let failed = Fault::Failed(Failure { kind: FailureKind::Panicked, detail: what });
            (false, Err(truth(failed, commit_state)))
        }
        GuardedEnd::TimedOut { running_ms, doing } => {
            supervision.missed_deadline(&instance.missed_in_a_row, Duration::from_millis(running_ms));
            message_span.timed_out(cx, running_ms, &doing);
            (false, Err(AskError::Unknown(Unknown::TimedOut { running_ms, doing })))
        }
    }
}

/// What the asker is told of a handler, apart from all that is counted.
fn answer_of<T, E>(end: GuardedEnd<Result<T, Fault<E>>>, commit_state: CommitState) -> Result<T, AskError<E>> {
    match end {
        GuardedEnd::Done(done) => done.map_err(|fault| truth(fault, commit_state)),
        GuardedEnd::Panicked(detail) => Err(AskError::Failed(Failure { kind: FailureKind::Panicked, detail })),
        GuardedEnd::TimedOut { running_ms, doing } => Err(AskError::Unknown(Unknown::TimedOut { running_ms, doing })),
    }
}

/// The state if it is kept; else it is dropped here, behind a panic guard for its destructor.
fn keep<A>(kept: bool, state: Box<A>) -> Option<Box<A>> {
    if kept {
        return Some(state);
    }
    dismantle(|| drop(state));
    None
}

/// What a fault may claim, given how far the handler's own commits had come.
fn truth<E>(fault: Fault<E>, commit_state: CommitState) -> AskError<E> {
    match (fault, commit_state) {
        (Fault::Rejected(e), _) => AskError::Rejected(e),
        (Fault::Unknown(u), _) => AskError::Unknown(u),
        (Fault::Failed(f), CommitState::Nothing) => AskError::Failed(f),
        (Fault::Failed(_), CommitState::Committing) => AskError::Unknown(Unknown::CommitUnanswered),
        (Fault::Failed(f), CommitState::Committed) => {
            AskError::Unknown(Unknown::FailedAfterCommit { detail: f.to_string() })
        }
    }
}

#[cfg(test)]
mod tests;
