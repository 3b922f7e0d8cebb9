//! Which messages an actor handles, and how each enters from the wire.

use std::any::TypeId;
use std::sync::Arc;

use essaim_contract::{Ask, AskError, Broadcast, NotDelivered, Unknown, wire_name};
use futures_util::future::LocalBoxFuture;
use serde_bytes::ByteBuf;

use crate::actor::{Actor, Handle, Hear};
use crate::call::Call;
use crate::codec;
use crate::host::Host;
use crate::remote::RawAnswer;
use crate::run::{self, NewRunner};

/// The messages that an actor handles; filled by [`Actor::handles`].
pub struct Handles<A: Actor> {
    pub(crate) entries: Vec<Entry<A>>,
}

/// The first entry of every table: a timer that is due.
pub(crate) const TICK: usize = 0;

/// One handled message.
pub(crate) struct Entry<A: Actor> {
    pub info: EntryInfo,
    pub runner: NewRunner<A>,
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
pub(crate) type AskFromWire =
    fn(Arc<Host>, usize, &[u8], Call) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered>;

/// Delivers an encoded broadcast to a host.
pub(crate) type BroadcastFromWire = fn(&Arc<Host>, usize, &[u8], Call) -> Result<(), NotDelivered>;

/// A timer that is due; dropping `done` tells the timer that the tick has ended.
pub(crate) struct Tick {
    pub timer: &'static str,
    pub done: tokio::sync::oneshot::Sender<()>,
}

impl<A: Actor> Handles<A> {
    pub(crate) fn of_actor() -> Self {
        let tick = EntryInfo {
            name: format!("{}.tick", <A::Capability as essaim_contract::Capability>::NAME).into(),
            type_id: TypeId::of::<Tick>(),
            kind: Kind::Tick,
        };
        let mut handles = Self { entries: vec![Entry { info: tick, runner: run::ticks::<A> }] };
        A::handles(&mut handles);
        handles
    }

    /// The actor answers this ask.
    pub fn ask<M>(&mut self) -> &mut Self
    where
        M: Ask<To = A::Capability>,
        A: Handle<M>,
    {
        self.add(wire_name::<M>(), TypeId::of::<M>(), Kind::Ask(ask_from_wire::<M>), run::asks::<A, M>)
    }

    /// The actor takes note of this broadcast.
    pub fn broadcast<S>(&mut self) -> &mut Self
    where
        S: Broadcast,
        A: Hear<S>,
    {
        let kind = Kind::Broadcast(broadcast_from_wire::<S>);
        self.add(wire_name::<S>(), TypeId::of::<S>(), kind, run::broadcasts::<A, S>)
    }

    fn add(&mut self, name: String, type_id: TypeId, kind: Kind, runner: NewRunner<A>) -> &mut Self {
        let info = EntryInfo { name: name.into(), type_id, kind };
        self.entries.push(Entry { info, runner });
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
        match permit.ask(entry, message, call).await {
            Ok(reply) => codec::encode(&reply).map_err(|e| AskError::Unknown(unencodable(e))),
            Err(AskError::Rejected(e)) => Err(match codec::encode(&e) {
                Ok(bytes) => AskError::Rejected(ByteBuf::from(bytes)),
                Err(e) => AskError::Unknown(unencodable(e)),
            }),
            Err(other) => Err(other.map_rejected(|_| unreachable!("rejections are matched above"))),
        }
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
