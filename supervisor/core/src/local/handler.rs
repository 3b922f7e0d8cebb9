//! Handler entries: one erased entry per handled message type, through which encoded messages enter a host, and which runs
//! their handler.

use std::any::TypeId;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use essaim_base::call::Call;
use essaim_base::codec;
use essaim_base::measure::HandlerMeasures;
use essaim_contract::{Ask, AskError, Broadcast, Command, Event, Message, NotDelivered, Unknown, wire_name};
use essaim_durable::{Applied, DeliveryContext, DurableMessage};
use essaim_protocol::frame::RawAnswer;
use essaim_protocol::log::Subscription;
use futures_util::future::LocalBoxFuture;
use serde_bytes::ByteBuf;

use crate::api::actor::{Actor, Apply, Handle, Hear};
use crate::local::declared::DeclaredMessage;
use crate::local::host::Host;
use crate::local::run::{self, InstanceState};

/// Index of the first entry of every table: a due timer.
pub const TICK: usize = 0;

/// One handled message type of an actor: the single erased entry behind which the message's types are known.
pub trait HandlerEntry<A: Actor>: Handler {
    /// Makes the entry's runner for one instance; it never ends by itself.
    fn runner(&self, instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()>;
}

/// A handled message type, as hosts and the bus see it: by which verbs an encoded message may enter, each of which decodes
/// it. A verb that the message does not have refuses.
pub trait Handler: Send + Sync {
    fn info(&self) -> &HandlerInfo;

    fn name(&self) -> &Arc<str> {
        &self.info().name
    }

    fn kind(&self) -> HandlerKind {
        self.info().kind
    }

    /// Asks a host by an encoded message; the answer is encoded again.
    fn answer(
        &self,
        _host: Arc<Host>,
        _entry: usize,
        _body: &[u8],
        _call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
        Err(self.unsupported())
    }

    /// Delivers an encoded broadcast to a host.
    fn hear(&self, _host: &Host, _entry: usize, _body: &[u8], _call: Call) -> Result<(), NotDelivered> {
        Err(self.unsupported())
    }

    /// Has a host apply an encoded durable message.
    fn apply(
        &self,
        _host: Arc<Host>,
        _entry: usize,
        _body: &[u8],
        _call: Call,
        _delivery: Arc<DeliveryContext>,
    ) -> Result<LocalBoxFuture<'static, Applied>, NotDelivered> {
        Err(self.unsupported())
    }

    fn unsupported(&self) -> NotDelivered {
        NotDelivered::Unsupported { message: self.name().to_string() }
    }
}

/// A handled message type without its types.
pub struct HandlerInfo {
    /// The message's wire name.
    pub name: Arc<str>,
    /// The type that its envelopes hold.
    pub message_type: TypeId,
    pub kind: HandlerKind,
    /// What its contract says; `None` of timers, which have none.
    pub declared: Option<DeclaredMessage>,
    /// How its messages ended in this host, and how long they took.
    pub measures: HandlerMeasures,
}

impl HandlerInfo {
    /// A message type whose envelopes hold `E`.
    fn of<E: 'static>(name: String, kind: HandlerKind, declared: Option<DeclaredMessage>) -> Self {
        let (message_type, measures) = (TypeId::of::<E>(), HandlerMeasures::default());
        Self { name: name.into(), message_type, kind, declared, measures }
    }
}

/// How a handled message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlerKind {
    Ask,
    Broadcast,
    /// It comes from the log. An event says how its capability subscribes.
    Durable(Option<Subscription>),
    /// It never leaves the node.
    Tick,
}

impl HandlerKind {
    /// Whether it comes from other nodes over the wire.
    pub fn is_on_wire(self) -> bool {
        matches!(self, Self::Ask | Self::Broadcast)
    }
}

/// A timer that is due; dropping `done` tells the timer that the tick has ended.
pub struct Tick {
    pub timer: &'static str,
    pub done: tokio::sync::oneshot::Sender<()>,
}

/// Handler entry of an ask.
pub struct AskEntry<M> {
    info: HandlerInfo,
    message: PhantomData<fn(M)>,
}

impl<M: Ask> AskEntry<M> {
    pub fn of_type() -> Self {
        let declared = DeclaredMessage { idempotent: M::IDEMPOTENT, ..DeclaredMessage::of::<M>() };
        let info = HandlerInfo::of::<M>(wire_name::<M>(), HandlerKind::Ask, Some(declared));
        Self { info, message: PhantomData }
    }
}

impl<M: Ask> Handler for AskEntry<M> {
    fn info(&self) -> &HandlerInfo {
        &self.info
    }

    fn answer(
        &self,
        host: Arc<Host>,
        entry: usize,
        body: &[u8],
        call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
        let message: M = decoded(body)?;
        Ok(Box::pin(async move {
            let permit = host.admit(message.key().as_deref()).map_err(AskError::NotDelivered)?;
            match permit.showing(&message, &call.trace).ask::<M, M::Reply, M::Error>(entry, message, call).await {
                Ok(reply) => codec::encode(&reply).map_err(|e| AskError::Unknown(unencodable(e))),
                Err(AskError::Rejected(e)) => Err(match codec::encode(&e) {
                    Ok(bytes) => AskError::Rejected(ByteBuf::from(bytes)),
                    Err(e) => AskError::Unknown(unencodable(e)),
                }),
                Err(other) => Err(other.map_rejected(|_| unreachable!("rejections are matched above"))),
            }
        }))
    }
}

impl<A, M> HandlerEntry<A> for AskEntry<M>
where
    A: Handle<M>,
    M: Ask<To = A::Capability>,
{
    fn runner(&self, instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()> {
        run::asks::<A, M>(instance, entry)
    }
}

/// Handler entry of a broadcast.
pub struct BroadcastEntry<S> {
    info: HandlerInfo,
    message: PhantomData<fn(S)>,
}

impl<S: Broadcast> BroadcastEntry<S> {
    pub fn of_type() -> Self {
        let declared = DeclaredMessage::of::<S>();
        let info = HandlerInfo::of::<S>(wire_name::<S>(), HandlerKind::Broadcast, Some(declared));
        Self { info, message: PhantomData }
    }
}

impl<S: Broadcast> Handler for BroadcastEntry<S> {
    fn info(&self) -> &HandlerInfo {
        &self.info
    }

    fn hear(&self, host: &Host, entry: usize, body: &[u8], call: Call) -> Result<(), NotDelivered> {
        let message: S = decoded(body)?;
        host.admit(None)?.showing(&message, &call.trace).deliver(entry, message, call);
        Ok(())
    }
}

impl<A, S> HandlerEntry<A> for BroadcastEntry<S>
where
    A: Hear<S>,
    S: Broadcast,
{
    fn runner(&self, instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()> {
        run::broadcasts::<A, S>(instance, entry)
    }
}

/// Handler entry of a command or an event.
pub struct DurableEntry<M> {
    info: HandlerInfo,
    message: PhantomData<fn(M)>,
}

impl<M: Command> DurableEntry<M> {
    pub fn of_command() -> Self {
        Self::new(None, DeclaredMessage::of::<M>())
    }
}

impl<M: Event> DurableEntry<M> {
    /// An event says how its capability subscribes.
    pub fn of_event(subscription: Subscription) -> Self {
        let declared = DeclaredMessage { retained_hours: M::RETAINED_HOURS, ..DeclaredMessage::of::<M>() };
        Self::new(Some(subscription), declared)
    }
}

impl<M: Message> DurableEntry<M> {
    fn new(subscription: Option<Subscription>, declared: DeclaredMessage) -> Self {
        let kind = HandlerKind::Durable(subscription);
        let info = HandlerInfo::of::<DurableMessage<M>>(wire_name::<M>(), kind, Some(declared));
        Self { info, message: PhantomData }
    }
}

impl<M: Message> Handler for DurableEntry<M> {
    fn info(&self) -> &HandlerInfo {
        &self.info
    }

    fn apply(
        &self,
        host: Arc<Host>,
        entry: usize,
        body: &[u8],
        call: Call,
        delivery: Arc<DeliveryContext>,
    ) -> Result<LocalBoxFuture<'static, Applied>, NotDelivered> {
        let message: M = decoded(body)?;
        Ok(Box::pin(async move {
            // The partition has ordered the key already, so any idle instance will do: the key's own may be waiting for
            // this message.
            let permit = host.admit(None).map_err(AskError::NotDelivered)?;
            let patience = delivery.patience;
            let permit = permit.with_patience(patience).showing(&message, &call.trace);
            permit.ask(entry, DurableMessage { message, delivery }, call).await
        }))
    }
}

impl<A, M> HandlerEntry<A> for DurableEntry<M>
where
    A: Apply<M>,
    M: Message,
{
    fn runner(&self, instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()> {
        run::applications::<A, M>(instance, entry)
    }
}

/// Handler entry of due timers.
pub struct TickEntry {
    info: HandlerInfo,
}

impl TickEntry {
    pub fn of(capability: &str) -> Self {
        Self { info: HandlerInfo::of::<Tick>(format!("{capability}.tick"), HandlerKind::Tick, None) }
    }
}

impl Handler for TickEntry {
    fn info(&self) -> &HandlerInfo {
        &self.info
    }
}

impl<A: Actor> HandlerEntry<A> for TickEntry {
    fn runner(&self, instance: Rc<InstanceState<A>>, entry: usize) -> LocalBoxFuture<'static, ()> {
        run::ticks::<A>(instance, entry)
    }
}

fn decoded<M: Message>(body: &[u8]) -> Result<M, NotDelivered> {
    codec::decode(body).map_err(|e| NotDelivered::Undecodable { message: wire_name::<M>(), detail: e.to_string() })
}

fn unencodable(error: codec::EncodeError) -> Unknown {
    Unknown::UndecodableAnswer { detail: error.to_string() }
}
