//! Handler table of an actor: which messages it handles, and how each is decoded from the wire or the log.

use std::any::TypeId;
use std::sync::Arc;

use essaim_contract::{Ask, AskError, Broadcast, Command, Event, Message, NotDelivered, Unknown, wire_name};
use futures_util::future::LocalBoxFuture;
use serde_bytes::ByteBuf;

use crate::actor::{Actor, Apply, Handle, Hear};
use crate::bridge::log::{Beginning, Subscription};
use crate::call::Call;
use crate::codec;
use crate::config::ConfigError;
use crate::durable::delivery::{Delivery, Enlisted};
use crate::durable::options::SubscribeOptions;
use crate::durable::schedule::{Declared, Schedule, Timetable};
use crate::host::Host;
use crate::remote::RawAnswer;
use crate::run::{self, MakeRunner};

/// The messages that an actor handles; filled by [`Actor::handles`].
pub struct Handles<A: Actor> {
    pub(crate) entries: Vec<HandlerEntry<A>>,
    declared: Vec<Declared>,
    /// Events that are wanted from before, and that nobody keeps.
    unkept: Vec<String>,
}

/// Index of the first entry of every table: a due timer.
pub(crate) const TICK: usize = 0;

/// One handled message.
pub(crate) struct HandlerEntry<A: Actor> {
    pub info: HandlerInfo,
    pub runner: MakeRunner<A>,
}

/// Type-erased description of a handled message.
#[derive(Clone)]
pub(crate) struct HandlerInfo {
    pub name: Arc<str>,
    pub type_id: TypeId,
    pub kind: HandlerKind,
}

/// How a message from the wire enters the host.
#[derive(Clone, Copy)]
pub(crate) enum HandlerKind {
    /// It is decoded, asked in this node, and its answer encoded.
    Ask(AskFromWire),
    /// It is decoded and delivered.
    Broadcast(BroadcastFromWire),
    /// It comes from the log: decoded and applied. An event says how its capability subscribes.
    Durable(ApplyFromLog, Option<Subscription>),
    /// It never comes from the wire.
    Tick,
}

impl HandlerKind {
    /// Whether it comes from other nodes over the wire.
    pub fn is_on_wire(self) -> bool {
        matches!(self, Self::Ask(_) | Self::Broadcast(_))
    }
}

/// Asks a host by an encoded message; the answer is encoded again.
pub(crate) type AskFromWire =
    fn(Arc<Host>, usize, &[u8], Call) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered>;

/// Delivers an encoded broadcast to a host.
pub(crate) type BroadcastFromWire = fn(&Arc<Host>, usize, &[u8], Call) -> Result<(), NotDelivered>;

/// Has a host apply an encoded durable message.
pub(crate) type ApplyFromLog =
    fn(Arc<Host>, usize, &[u8], Call, Arc<Delivery>) -> Result<LocalBoxFuture<'static, Applied>, NotDelivered>;

/// Result of a durable message's handler; a rejection as text.
pub(crate) type Applied = Result<(), AskError<String>>;

/// A timer that is due; dropping `done` tells the timer that the tick has ended.
pub(crate) struct Tick {
    pub timer: &'static str,
    pub done: tokio::sync::oneshot::Sender<()>,
}

impl<A: Actor> Handles<A> {
    pub(crate) fn of_actor() -> Self {
        let tick = HandlerInfo {
            name: format!("{}.tick", <A::Capability as essaim_contract::Capability>::NAME).into(),
            type_id: TypeId::of::<Tick>(),
            kind: HandlerKind::Tick,
        };
        let entries = vec![HandlerEntry { info: tick, runner: run::ticks::<A> }];
        let mut handles = Self { entries, declared: Vec::new(), unkept: Vec::new() };
        A::handles(&mut handles);
        handles
    }

    /// The actor answers this ask.
    pub fn ask<M>(&mut self) -> &mut Self
    where
        M: Ask<To = A::Capability>,
        A: Handle<M>,
    {
        self.add(wire_name::<M>(), TypeId::of::<M>(), HandlerKind::Ask(ask_from_wire::<M>), run::asks::<A, M>)
    }

    /// The actor takes note of this broadcast.
    pub fn broadcast<S>(&mut self) -> &mut Self
    where
        S: Broadcast,
        A: Hear<S>,
    {
        let kind = HandlerKind::Broadcast(broadcast_from_wire::<S>);
        self.add(wire_name::<S>(), TypeId::of::<S>(), kind, run::broadcasts::<A, S>)
    }

    /// The actor applies this command.
    pub fn command<M>(&mut self) -> &mut Self
    where
        M: Command<To = A::Capability>,
        A: Apply<M>,
    {
        self.durable::<M>(None)
    }

    /// The actor subscribes to this event, of another capability or of its own. While as many messages wait for it as may,
    /// further ones wait in the publisher's database.
    pub fn event<E>(&mut self) -> &mut Self
    where
        E: Event,
        A: Apply<E>,
    {
        self.event_with::<E>(SubscribeOptions::new())
    }

    /// As [`Handles::event`], with options: what it begins with, how long an event waits, and what happens while as many
    /// messages wait for the capability as may.
    pub fn event_with<E>(&mut self, SubscribeOptions(subscription): SubscribeOptions) -> &mut Self
    where
        E: Event,
        A: Apply<E>,
    {
        if subscription.from == Beginning::EarliestRetained && E::RETAINED_HOURS == 0 {
            self.unkept.push(wire_name::<E>());
        }
        self.durable::<E>(Some(subscription))
    }

    /// That what is subscribed to can be had.
    pub(crate) fn check_subscriptions(&self) -> Result<(), ConfigError> {
        let capability = <A::Capability as essaim_contract::Capability>::NAME;
        let Some(event) = self.unkept.first() else { return Ok(()) };
        Err(ConfigError::new(format!(
            "`{capability}` wants the events `{event}` from before it subscribed, and nobody keeps them: set \
             Event::RETAINED_HOURS in their contract, or subscribe without `from_earliest_retained`"
        )))
    }

    /// The capability sends itself this command at set times, once in the whole cluster however many nodes host it. It needs
    /// a database, which remembers how far the schedule has come, and the actor applies the command: `h.command::<M>()`.
    pub fn schedule<M>(&mut self, schedule: Schedule, make: impl Fn() -> M + Send + Sync + 'static) -> &mut Self
    where
        M: Command<To = A::Capability>,
        A: Apply<M>,
    {
        self.declared.push(Declared::new(schedule, make));
        self
    }

    /// The schedules, checked.
    pub(crate) fn timetables(&self) -> Result<Vec<Timetable>, ConfigError> {
        let capability = <A::Capability as essaim_contract::Capability>::NAME;
        let mut timetables: Vec<Timetable> = Vec::with_capacity(self.declared.len());
        for declared in &self.declared {
            let wrong = |why: String| {
                ConfigError::new(format!("`{capability}` cannot keep the schedule `{}`: {why}", declared.name()))
            };
            if A::schema().is_none() {
                return Err(wrong("it has no database, which a schedule needs: declare one in `Actor::schema`".into()));
            }
            if !self.entries.iter().any(|e| *e.info.name == *declared.message()) {
                let message = declared.message();
                return Err(wrong(format!("it does not apply `{message}`: add `h.command` to `Actor::handles`")));
            }
            if timetables.iter().any(|t| t.name() == declared.name()) {
                return Err(wrong("another one has that name".into()));
            }
            timetables.push(declared.read(capability).map_err(wrong)?);
        }
        Ok(timetables)
    }

    fn durable<M>(&mut self, subscription: Option<Subscription>) -> &mut Self
    where
        M: Message,
        A: Apply<M>,
    {
        let kind = HandlerKind::Durable(apply_from_log::<M>, subscription);
        self.add(wire_name::<M>(), TypeId::of::<Enlisted<M>>(), kind, run::applications::<A, M>)
    }

    fn add(&mut self, name: String, type_id: TypeId, kind: HandlerKind, runner: MakeRunner<A>) -> &mut Self {
        let info = HandlerInfo { name: name.into(), type_id, kind };
        self.entries.push(HandlerEntry { info, runner });
        self
    }
}

fn ask_from_wire<M: Ask>(
    host: Arc<Host>,
    entry: usize,
    body: &[u8],
    call: Call,
) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
    let message: M = codec::decode(body)
        .map_err(|e| NotDelivered::Undecodable { message: wire_name::<M>(), detail: e.to_string() })?;
    Ok(Box::pin(async move {
        let permit = host.admit(message.key().as_deref()).map_err(AskError::NotDelivered)?;
        match permit.ask::<M, M::Reply, M::Error>(entry, message, call).await {
            Ok(reply) => codec::encode(&reply).map_err(|e| AskError::Unknown(unencodable(e))),
            Err(AskError::Rejected(e)) => Err(match codec::encode(&e) {
                Ok(bytes) => AskError::Rejected(ByteBuf::from(bytes)),
                Err(e) => AskError::Unknown(unencodable(e)),
            }),
            Err(other) => Err(other.map_rejected(|_| unreachable!("rejections are matched above"))),
        }
    }))
}

fn apply_from_log<M: Message>(
    host: Arc<Host>,
    entry: usize,
    body: &[u8],
    call: Call,
    delivery: Arc<Delivery>,
) -> Result<LocalBoxFuture<'static, Applied>, NotDelivered> {
    let message: M = codec::decode(body)
        .map_err(|e| NotDelivered::Undecodable { message: wire_name::<M>(), detail: e.to_string() })?;
    Ok(Box::pin(async move {
        // The partition has ordered the key already, so any idle instance will do: the key's own may be waiting for this message.
        let permit = host.admit(None).map_err(AskError::NotDelivered)?;
        let patience = delivery.patience;
        permit.with_patience(patience).ask(entry, Enlisted { message, delivery }, call).await
    }))
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
    host.admit(None)?.deliver(entry, message, call);
    Ok(())
}
