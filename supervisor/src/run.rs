//! How messages are run: begin, guard, truth, answer.
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

use essaim_contract::{Ask, AskError, Broadcast, Failure, FailureKind, Message, Never, Unknown};
use futures_util::future::LocalBoxFuture;

use crate::actor::{Actor, Apply, Handle, Hear};
use crate::context::Context;
use crate::durable::delivery::Enlisted;
use crate::guard::{End, dismantle, guarded};
use crate::handles::{Entry, Tick};
use crate::host::{Host, Instance};
use crate::mailbox::{AnyPost, Enclosed, PostOf};
use crate::progress::Progress;
use crate::span::Watch;
use crate::store::TxError;
use crate::tree::Misses;
use crate::watchdog::Beat;
use crate::{Cx, Fault};

/// Makes the runner of one entry; it never ends by itself.
pub(crate) type NewRunner<A> = fn(Rc<Desk<A>>, usize) -> LocalBoxFuture<'static, ()>;

/// Where an instance and its runners hand the state to each other, and what all its messages have in common.
pub(crate) struct Desk<A: Actor> {
    pub table: Arc<[Entry<A>]>,
    pub shared: Arc<A::Shared>,
    pub context: Arc<Context>,
    pub host: Arc<Host>,
    pub beat: Arc<Beat>,
    /// Which instance of the host it is, and the deadlines that it has missed.
    index: usize,
    misses: Misses,
    /// The message that is to be run next, with the state.
    job: Cell<Option<(Box<A>, AnyPost)>>,
    /// The state after it; inside, none if it is lost.
    done: Cell<Option<Option<Box<A>>>>,
}

impl<A: Actor> Desk<A> {
    pub fn new(
        table: Arc<[Entry<A>]>,
        shared: Arc<A::Shared>,
        context: Arc<Context>,
        host: Arc<Host>,
        beat: Arc<Beat>,
        index: usize,
    ) -> Self {
        let (misses, job, done) = (Misses::default(), Cell::new(None), Cell::new(None));
        Self { table, shared, context, host, beat, index, misses, job, done }
    }

    /// The instance, as others see it.
    pub fn instance(&self) -> &Instance {
        &self.host.instances()[self.index]
    }

    /// A message that was taken from the mailbox has ended.
    pub fn ended(&self) {
        self.host.ended(self.index);
    }

    /// Gives the runner that is polled next a message.
    pub fn give(&self, state: Box<A>, post: AnyPost) {
        self.job.set(Some((state, post)));
    }

    /// The state, once the message has ended; inside, none if it is lost.
    pub fn take_done(&self) -> Option<Option<Box<A>>> {
        self.done.take()
    }

    /// The next message. No waker is kept: whoever gives a message polls.
    async fn next<M, T, E>(&self) -> (Box<A>, PostOf<M, T, E>)
    where
        M: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let job = poll_fn(|_| self.job.take().map_or(Poll::Pending, Poll::Ready));
        let (state, post) = job.await;
        (state, post.downcast().expect("the table maps the type to this entry"))
    }

    fn put_back(&self, state: Option<Box<A>>) {
        self.done.set(Some(state));
    }
}

/// Runs asks of one kind.
pub(crate) fn asks<A, M>(desk: Rc<Desk<A>>, entry: usize) -> LocalBoxFuture<'static, ()>
where
    A: Handle<M>,
    M: Ask<To = A::Capability>,
{
    Box::pin(messages(desk, entry, async |actor: &mut A, message: M, cx: &mut Cx| {
        let result = actor.handle(message, cx).await;
        cx.certain(result).await
    }))
}

/// Runs broadcasts of one kind.
pub(crate) fn broadcasts<A, S>(desk: Rc<Desk<A>>, entry: usize) -> LocalBoxFuture<'static, ()>
where
    A: Hear<S>,
    S: Broadcast,
{
    Box::pin(messages(desk, entry, async |actor: &mut A, message: S, cx: &mut Cx| -> Untold {
        actor.hear(message, cx).await;
        cx.certain(Ok(())).await
    }))
}

/// Runs durable messages of one kind.
pub(crate) fn applications<A, M>(desk: Rc<Desk<A>>, entry: usize) -> LocalBoxFuture<'static, ()>
where
    A: Apply<M>,
    M: Message,
{
    Box::pin(messages(desk, entry, async |actor: &mut A, enlisted: Enlisted<M>, cx: &mut Cx| {
        cx.enlist(enlisted.delivery);
        let result = actor.apply(enlisted.message, cx).await;
        match cx.certain(result).await {
            // Nothing is left to be done, whatever its handler thinks of it.
            _ if cx.is_repeated() => Ok(()),
            Ok(()) => match cx.settle().await {
                Err(TxError::Repeated) => Ok(()),
                settled => settled.map_err(Fault::from),
            },
            // What is committed is applied, whatever its handler thinks of it afterwards.
            Err(Fault::Rejected(why)) if cx.progress() == Progress::Committed => Err(crate::fail(why)),
            Err(fault) => Err(fault),
        }
    }))
}

/// Runs the timers that are due.
pub(crate) fn ticks<A: Actor>(desk: Rc<Desk<A>>, entry: usize) -> LocalBoxFuture<'static, ()> {
    Box::pin(messages(desk, entry, async |actor: &mut A, tick: Tick, cx: &mut Cx| -> Untold {
        let Tick { timer, done: _done } = tick;
        let result = actor.tick(timer, cx).await;
        cx.certain(result).await
    }))
}

/// How a message ends that nobody waits for: what goes wrong is logged.
type Untold = Result<(), Fault<Never>>;

/// Runs messages of one kind, one after the other, each until it is done, panics or passes its deadline.
async fn messages<A, M, T, E>(
    desk: Rc<Desk<A>>,
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
        let (mut actor, post) = desk.next::<M, T, E>().await;
        let Some(enclosed) = post.begin() else {
            desk.ended();
            desk.put_back(Some(actor));
            continue;
        };
        let owed = Owed { post: &post, desk: &desk };
        let Enclosed { message, mut call, queued, key } = enclosed;
        let deadline = call.deadline;
        let watch = Watch::begin(&desk.context, &desk.table[entry].info.name, &mut call, queued);
        let cx = Cx::renewed(&mut contexts, &desk.context, call);
        let end = {
            let work = pin!(Some(handler(&mut actor, message, cx)));
            let parked = |now| {
                post.running_since(now);
                watch.parked(now);
            };
            guarded(work, deadline, &desk.beat, desk.host.label(entry), watch.span(), parked).await
        };
        let (kept, answer) = conclude(&desk, &watch, cx, end);
        let state = keep(kept, actor);
        drop(key);
        owed.pay(answer);
        desk.put_back(state);
    }
}

/// An answer that is owed to an asker, who may wait on this thread without a timer of its own: if the instance goes
/// down with its thread, the asker learns it.
struct Owed<'a, A: Actor, M, T, E> {
    post: &'a PostOf<M, T, E>,
    desk: &'a Desk<A>,
}

impl<A: Actor, M, T, E> Owed<'_, A, M, T, E> {
    fn pay(self, answer: Result<T, AskError<E>>) {
        self.desk.ended();
        self.post.answer(answer);
        std::mem::forget(self);
    }
}

impl<A: Actor, M, T, E> Drop for Owed<'_, A, M, T, E> {
    fn drop(&mut self) {
        self.desk.ended();
        let node = self.desk.context.bus.settings.node.name.clone();
        self.post.answer(Err(AskError::Unknown(Unknown::NodeLost { node })));
    }
}

/// What an ended handler means: whether the instance's state can be trusted, and what its asker is told.
fn conclude<A: Actor, T, E: Display>(
    desk: &Desk<A>,
    watch: &Watch<'_>,
    cx: &Cx,
    end: End<Result<T, Fault<E>>>,
) -> (bool, Result<T, AskError<E>>) {
    let (supervision, progress) = (&desk.host.supervision, cx.progress());
    match end {
        End::Done(Ok(reply)) => {
            supervision.succeeded();
            watch.answered::<E>(None);
            (true, Ok(reply))
        }
        End::Done(Err(fault)) => {
            supervision.succeeded();
            let error = truth(fault, progress);
            watch.answered(Some(&error));
            // A commit that failed, or was forgotten, may have left the state ahead of the database.
            let ahead = progress == Progress::Committing || cx.is_ahead() || matches!(error, AskError::Unknown(_));
            (!ahead, Err(error))
        }
        End::Panicked(what) => {
            supervision.panicked(&what);
            watch.panicked(&what);
            let failed = Fault::Failed(Failure { kind: FailureKind::Panicked, detail: what });
            (false, Err(truth(failed, progress)))
        }
        End::TimedOut { running_ms } => {
            supervision.missed_deadline(&desk.misses, Duration::from_millis(running_ms));
            watch.timed_out(running_ms);
            (false, Err(AskError::Unknown(Unknown::TimedOut { running_ms })))
        }
    }
}

/// The state if it is kept. One that is not is dropped here, whatever its destructor does.
fn keep<A>(kept: bool, state: Box<A>) -> Option<Box<A>> {
    if kept {
        return Some(state);
    }
    dismantle(|| drop(state));
    None
}

/// What a fault may claim, given how far the handler's own commits had come.
fn truth<E>(fault: Fault<E>, progress: Progress) -> AskError<E> {
    match (fault, progress) {
        (Fault::Rejected(e), _) => AskError::Rejected(e),
        (Fault::Unknown(u), _) => AskError::Unknown(u),
        (Fault::Failed(f), Progress::Nothing) => AskError::Failed(f),
        (Fault::Failed(_), Progress::Committing) => AskError::Unknown(Unknown::CommitUnanswered),
        (Fault::Failed(f), Progress::Committed) => {
            AskError::Unknown(Unknown::FailedAfterCommit { detail: f.to_string() })
        }
    }
}
