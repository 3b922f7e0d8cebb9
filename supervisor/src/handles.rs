//! Which messages an actor handles, and how each is run.

use std::any::{Any, TypeId};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use essaim_contract::{Ask, AskError, Broadcast, Failure, FailureKind, Never, NotDelivered, Unknown, wire_name};
use futures_util::future::LocalBoxFuture;
use serde_bytes::ByteBuf;
use tokio::time::Instant;
use tracing::Instrument;

use crate::actor::{Actor, Handle, Hear};
use crate::call::Call;
use crate::codec;
use crate::context::Context;
use crate::guard::{End, guarded};
use crate::host::{Host, Permit};
use crate::remote::RawAnswer;
use crate::slot::{Progress, Slot, Track};
use crate::span::Watch;
use crate::watchdog::Beat;
use crate::{Cx, Fault};

/// The messages that an actor handles; filled by [`Actor::handles`].
pub struct Handles<A: Actor> {
    pub(crate) entries: Vec<Entry<A>>,
}

/// The first entry of every table: a timer that is due.
pub(crate) const TICK: usize = 0;

/// One handled message.
pub(crate) struct Entry<A: Actor> {
    pub info: EntryInfo,
    pub run: RunFn<A>,
}

/// What is known about a handled message without its types.
#[derive(Clone)]
pub(crate) struct EntryInfo {
    pub name: Arc<str>,
    pub type_id: TypeId,
    pub kind: Kind,
}

/// How a message from the wire enters the host.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// It is decoded, asked in this node, and its answer encoded.
    Ask(AskFromWire),
    /// It is decoded and delivered.
    Broadcast(BroadcastFromWire),
    /// It never comes from the wire.
    Tick,
}

/// Asks a host by an encoded message; the answer is encoded again.
pub(crate) type AskFromWire = fn(Arc<Host>, usize, Vec<u8>, Call) -> LocalBoxFuture<'static, RawAnswer>;

/// Delivers an encoded broadcast to a host.
pub(crate) type BroadcastFromWire = fn(&Arc<Host>, usize, &[u8], Call) -> Result<(), NotDelivered>;

/// Runs one message in one instance. The future ends with the instance's state, or without it if that is lost.
pub(crate) type RunFn<A> = fn(Box<A>, Job<A>) -> LocalBoxFuture<'static, Option<Box<A>>>;

/// One message on its way through one instance.
pub(crate) struct Job<A: Actor> {
    pub envelope: Box<dyn Any + Send>,
    pub call: Call,
    pub permit: Permit,
    /// When it entered the mailbox, if somebody looks.
    pub queued: Option<Instant>,
    pub runtime: Rc<InstanceRuntime<A>>,
    pub entry: usize,
}

/// What the runs of one instance have in common.
pub(crate) struct InstanceRuntime<A: Actor> {
    pub table: Arc<[Entry<A>]>,
    pub shared: Arc<A::Shared>,
    pub context: Arc<Context>,
    pub host: Arc<Host>,
    pub beat: Arc<Beat>,
}

pub(crate) type AskResult<M> = Result<<M as essaim_contract::Ask>::Reply, AskError<<M as essaim_contract::Ask>::Error>>;

/// An ask and the place of its answer.
pub(crate) struct AskEnvelope<M: Ask> {
    pub message: M,
    pub slot: Arc<Slot<AskResult<M>>>,
}

/// A timer that is due; dropping `done` tells the timer that the tick has ended.
pub(crate) struct TickEnvelope {
    pub timer: &'static str,
    pub done: tokio::sync::oneshot::Sender<()>,
}

impl<A: Actor> Handles<A> {
    pub(crate) fn of_actor() -> Self {
        let tick = EntryInfo {
            name: format!("{}.tick", <A::Capability as essaim_contract::Capability>::NAME).into(),
            type_id: TypeId::of::<TickEnvelope>(),
            kind: Kind::Tick,
        };
        let mut handles = Self { entries: vec![Entry { info: tick, run: run_tick::<A> }] };
        A::handles(&mut handles);
        handles
    }

    /// The actor answers this ask.
    pub fn ask<M>(&mut self) -> &mut Self
    where
        M: Ask<To = A::Capability>,
        A: Handle<M>,
    {
        self.add(wire_name::<M>(), TypeId::of::<M>(), Kind::Ask(ask_from_wire::<M>), run_ask::<A, M>)
    }

    /// The actor takes note of this broadcast.
    pub fn broadcast<S>(&mut self) -> &mut Self
    where
        S: Broadcast,
        A: Hear<S>,
    {
        let kind = Kind::Broadcast(broadcast_from_wire::<S>);
        self.add(wire_name::<S>(), TypeId::of::<S>(), kind, run_broadcast::<A, S>)
    }

    fn add(&mut self, name: String, type_id: TypeId, kind: Kind, run: RunFn<A>) -> &mut Self {
        let info = EntryInfo { name: name.into(), type_id, kind };
        self.entries.push(Entry { info, run });
        self
    }
}

fn ask_from_wire<M: Ask>(
    host: Arc<Host>,
    entry: usize,
    body: Vec<u8>,
    call: Call,
) -> LocalBoxFuture<'static, RawAnswer> {
    Box::pin(async move {
        let message: M = codec::decode(&body).map_err(|e| {
            AskError::NotDelivered(NotDelivered::Undecodable { message: wire_name::<M>(), detail: e.to_string() })
        })?;
        let permit = host.admit(message.key().as_deref()).map_err(AskError::NotDelivered)?;
        match host.ask(permit, entry, message, call).await {
            Ok(reply) => codec::encode(&reply).map_err(|e| AskError::Unknown(unencodable(e))),
            Err(AskError::Rejected(e)) => Err(match codec::encode(&e) {
                Ok(bytes) => AskError::Rejected(ByteBuf::from(bytes)),
                Err(e) => AskError::Unknown(unencodable(e)),
            }),
            Err(other) => Err(other.map_rejected(|_| unreachable!("rejections are matched above"))),
        }
    })
}

fn unencodable(error: codec::EncodeError) -> Unknown {
    Unknown::UndecodableAnswer { detail: error.to_string() }
}

fn broadcast_from_wire<S: Broadcast>(
    host: &Arc<Host>,
    entry: usize,
    body: &[u8],
    call: Call,
) -> Result<(), NotDelivered> {
    let message: S = codec::decode(body)
        .map_err(|e| NotDelivered::Undecodable { message: wire_name::<S>(), detail: e.to_string() })?;
    host.deliver(host.admit(None)?, entry, Box::new(message), call);
    Ok(())
}

fn run_ask<A, M>(actor: Box<A>, job: Job<A>) -> LocalBoxFuture<'static, Option<Box<A>>>
where
    A: Handle<M>,
    M: Ask<To = A::Capability>,
{
    Box::pin(async move {
        let Job { envelope, mut call, permit, queued, runtime, entry } = job;
        let AskEnvelope::<M> { message, slot } = *envelope.downcast().expect("the table maps the type to this entry");
        if !slot.begin() {
            return Some(actor);
        }
        let deadline = call.deadline;
        let watch = Watch::begin(&runtime.context, &runtime.table[entry].info.name, &mut call, queued);
        let mut cx = Cx::new(runtime.context.clone(), call, slot.clone());
        let work = async move {
            let mut actor = actor;
            let result = actor.handle(message, &mut cx).await;
            (actor, result)
        };
        let mut work = pin!(Some(work.instrument(watch.span())));
        let label = runtime.host.label(entry);
        let parked = |now| {
            slot.running_since(now);
            watch.parked(now);
        };
        let end = guarded(work.as_mut(), Some(deadline), &runtime.beat, label, parked).await;
        let supervision = &runtime.host.supervision;
        let (actor, answer) = match end {
            End::Done((actor, Ok(reply))) => {
                supervision.succeeded();
                watch.answered::<M::Error>(None);
                (Some(actor), Ok(reply))
            }
            End::Done((actor, Err(fault))) => {
                supervision.succeeded();
                let error = truth(fault, slot.progress());
                watch.answered(Some(&error));
                // A commit that failed may have left the state ahead of the database.
                let keep = slot.progress() != Progress::Committing && !matches!(error, AskError::Unknown(_));
                (keep.then_some(actor), Err(error))
            }
            End::Panicked(what) => {
                supervision.panicked(&what);
                watch.panicked(&what);
                let failed = Fault::Failed(Failure { kind: FailureKind::Panicked, detail: what });
                (None, Err(truth(failed, slot.progress())))
            }
            End::TimedOut { running_ms } => {
                watch.timed_out(running_ms);
                (None, Err(AskError::Unknown(Unknown::TimedOut { running_ms })))
            }
        };
        drop(permit);
        slot.answer(answer);
        actor
    })
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

fn run_broadcast<A, S>(actor: Box<A>, job: Job<A>) -> LocalBoxFuture<'static, Option<Box<A>>>
where
    A: Hear<S>,
    S: Broadcast,
{
    Box::pin(async move {
        let message = *job.envelope.downcast::<S>().expect("the table maps the type to this entry");
        let job = Job { envelope: Box::new(()), ..job };
        run_unanswered(actor, job, async move |actor: &mut A, cx: &mut Cx| {
            actor.hear(message, cx).await;
            Ok(())
        })
        .await
    })
}

fn run_tick<A: Actor>(actor: Box<A>, job: Job<A>) -> LocalBoxFuture<'static, Option<Box<A>>> {
    Box::pin(async move {
        let tick = *job.envelope.downcast().expect("the table maps the type to this entry");
        let TickEnvelope { timer, done: _done } = tick;
        let job = Job { envelope: Box::new(()), ..job };
        run_unanswered(actor, job, async move |actor: &mut A, cx: &mut Cx| actor.tick(timer, cx).await).await
    })
}

/// Runs a message that nobody waits for: what goes wrong is logged.
async fn run_unanswered<A: Actor>(
    actor: Box<A>,
    job: Job<A>,
    work: impl AsyncFnOnce(&mut A, &mut Cx) -> Result<(), Fault<Never>>,
) -> Option<Box<A>> {
    let Job { mut call, permit, queued, runtime, entry, .. } = job;
    let deadline = call.deadline;
    let slot = Arc::new(Slot::<()>::new());
    let watch = Watch::begin(&runtime.context, &runtime.table[entry].info.name, &mut call, queued);
    let mut cx = Cx::new(runtime.context.clone(), call, slot.clone());
    let work = async move {
        let mut actor = actor;
        let result = work(&mut actor, &mut cx).await;
        (actor, result)
    };
    let mut work = pin!(Some(work.instrument(watch.span())));
    let label = runtime.host.label(entry);
    let end = guarded(work.as_mut(), Some(deadline), &runtime.beat, label, |now| watch.parked(now)).await;
    let supervision = &runtime.host.supervision;
    let actor = match end {
        End::Done((actor, result)) => {
            supervision.succeeded();
            watch.answered(result.err().map(|fault| truth(fault, slot.progress())).as_ref());
            (slot.progress() != Progress::Committing).then_some(actor)
        }
        End::Panicked(what) => {
            supervision.panicked(&what);
            watch.panicked(&what);
            None
        }
        End::TimedOut { running_ms } => {
            watch.timed_out(running_ms);
            None
        }
    };
    drop(permit);
    actor
}
