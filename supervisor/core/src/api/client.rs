//! Client: asks, sends and broadcasts of callers outside actors, such as HTTP routes, tools and tests.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::call::{Call, Chain};
use essaim_base::trace::{TraceContext, TraceState};
use essaim_contract::{Ask, Broadcast, Capability, Command, Event, MessageId, Metadata, Principal, SendError};
use essaim_durable::SendOptions;
use essaim_durable::{MessageContext, OutgoingMessage, SentRecords, UntypedMessage};
use essaim_near::Near;
use essaim_protocol::frame::RawAnswer;
use essaim_trace::Recorder;
use serde_json::Value;

use crate::node::bus::{AskResultOf, Bus, Origin};
use crate::node::readiness::Readiness;

/// A way into the actors of this node and of all others. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Client {
    bus: Arc<Bus>,
    principal: Option<Arc<Principal>>,
    metadata: Option<Arc<Metadata>>,
    trace: Option<TraceContext>,
    /// Empty without a trace.
    trace_state: TraceState,
    limit: Option<Duration>,
    /// The actor that was given it: it asks as its handlers may.
    actor: Option<AskingActor>,
}

#[derive(Clone)]
struct AskingActor {
    capability: Arc<str>,
    asks: &'static [&'static str],
}

impl Client {
    /// A client of a caller outside actors.
    #[doc(hidden)]
    pub fn new(bus: Arc<Bus>) -> Self {
        let trace_state = TraceState::default();
        Self { bus, principal: None, metadata: None, trace: None, trace_state, limit: None, actor: None }
    }

    /// A client of an actor. It asks only capabilities that the actor declares in `ASKS`, so that the ask graph stays
    /// acyclic wherever in the actor the client is used.
    pub(crate) fn of_actor(bus: Arc<Bus>, capability: Arc<str>, asks: &'static [&'static str]) -> Self {
        Self { actor: Some(AskingActor { capability, asks }), ..Self::new(bus) }
    }

    /// This client, sending on behalf of a principal.
    pub fn on_behalf_of(mut self, principal: Principal) -> Self {
        self.principal = Some(Arc::new(principal));
        self
    }

    /// This client, sending these values along.
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(Arc::new(metadata));
        self
    }

    /// This client, sending within a trace. Its span id is the caller's own span, and what is sent has it as parent.
    pub fn in_trace(self, trace: TraceContext) -> Self {
        self.in_trace_with_state(trace, TraceState::default())
    }

    /// As [`Client::in_trace`], with the `tracestate` that came with the trace.
    pub fn in_trace_with_state(mut self, trace: TraceContext, state: TraceState) -> Self {
        (self.trace, self.trace_state) = (Some(trace), state);
        self
    }

    /// This client, with a time limit for each ask other than `ask.timeout_ms`.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// On whose behalf this client sends.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_deref()
    }

    /// The trace that this client sends within.
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// The `tracestate` that this client sends along with it.
    pub fn trace_state(&self) -> &TraceState {
        &self.trace_state
    }

    /// Asks a capability, wherever it is hosted, and waits for the answer.
    ///
    /// # Errors
    /// See [`AskError`](essaim_contract::AskError). A client that an actor was given asks only whom the actor declares in
    /// [`AskingActor::ASKS`](crate::Actor::ASKS).
    pub async fn ask<M: Ask>(&self, message: M) -> AskResultOf<M> {
        let asks = self.actor.as_ref().map(|actor| actor.asks);
        let origin = asks.map_or(Origin::Edge, |asks| Origin::Handler { asks });
        self.bus.ask(message, origin, self.call()).await
    }

    /// Tells every node, now, with best effort.
    pub fn broadcast<S: Broadcast>(&self, message: S) {
        self.bus.broadcast(message, self.call());
    }

    /// Sends a command to a capability, whether or not it is up: returns once it is stored.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send<M: Command>(&self, message: M) -> Result<MessageId, SendError> {
        self.send_with(message, SendOptions::new()).await
    }

    /// As [`Client::send`], with options: under an id of its own, later, or with a time to live.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_with<M: Command>(&self, message: M, options: SendOptions) -> Result<MessageId, SendError> {
        let context = self.message_context();
        self.post(&context, context.command(self.env(), &message, options)?).await
    }

    /// Publishes an event to every capability that subscribes: returns once it is stored for all of them. A client has no
    /// database in which it could wait for one that has no room.
    ///
    /// # Errors
    /// See [`SendError`]. [`SendError::Unknown`] also if it was stored for some of them and not for others: publish it again
    /// under its id until it is stored for all.
    pub async fn publish<E: Event>(&self, event: E) -> Result<MessageId, SendError> {
        self.publish_with(event, SendOptions::new()).await
    }

    /// As [`Client::publish`], with options: under an id of its own, later, or with a time to live.
    ///
    /// # Errors
    /// As for [`Client::publish`].
    pub async fn publish_with<E: Event>(&self, event: E, options: SendOptions) -> Result<MessageId, SendError> {
        let context = self.message_context();
        self.post(&context, context.event(self.env(), &event, options)?).await
    }

    /// Asks by an encoded message, for a caller who does not have its type.
    #[doc(hidden)]
    pub async fn ask_untyped(&self, ask: UntypedMessage, idempotent: bool) -> RawAnswer {
        self.bus.ask_untyped(ask, idempotent, self.call()).await
    }

    /// Sends an encoded command, for a caller who does not have its type.
    #[doc(hidden)]
    pub async fn send_untyped(&self, command: UntypedMessage) -> Result<MessageId, SendError> {
        let context = self.message_context();
        self.post(&context, context.untyped_command(self.env(), command)?).await
    }

    /// Publishes an encoded event, for a caller who does not have its type.
    #[doc(hidden)]
    pub async fn publish_untyped(&self, event: UntypedMessage, retained_hours: u32) -> Result<MessageId, SendError> {
        let context = self.message_context();
        self.post(&context, context.untyped_event(self.env(), event, retained_hours)?).await
    }

    async fn post(&self, context: &MessageContext, message: OutgoingMessage) -> Result<MessageId, SendError> {
        let id = message.id.clone();
        self.bus.send_in(context, message).await.map(|()| id)
    }

    fn message_context(&self) -> MessageContext {
        let trace = self.trace.unwrap_or_else(|| self.bus.recorder.root());
        let sender = self.actor.as_ref().map(|actor| &actor.capability);
        MessageContext {
            trace,
            trace_state: self.trace_state.clone(),
            records: SentRecords::of(&self.bus.recorder, &trace, sender),
            principal: self.principal.clone(),
            metadata: self.metadata.clone(),
            most_bytes: self.bus.settings.wire.max_message_bytes,
            keys: self.bus.keys.clone(),
        }
    }

    /// Whether a live node, this one or another, is known to take asks for a capability now.
    pub fn reaches(&self, capability: &str) -> bool {
        self.bus.reaches(capability)
    }

    /// Whether this node alone hosts a capability, and no other process can change its data: it is on SQLite. What its
    /// transactions outdate ([`Tx::outdates`](crate::api::tx::Tx::outdates)) may then be taken from the near cache, and is
    /// as exact as an answer of the capability itself. Look first and read then.
    pub fn is_sole_host_of<C: Capability>(&self) -> bool {
        self.bus.is_sole_host_of(C::NAME)
    }

    /// Why this node itself should get no traffic now, such as a task of the runtime that has panicked or a log that cannot
    /// be reached; empty if it should. What its capabilities are is no reason here.
    pub fn trouble(&self) -> Vec<String> {
        let Readiness { is_ready, reasons } = Readiness::without_hosts(&self.bus);
        if is_ready { Vec::new() } else { reasons }
    }

    /// How this node is, and how it hears the others, as `/status` shows it.
    pub async fn status(&self) -> Value {
        self.bus.status().await
    }

    /// This node's message records.
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.bus.recorder
    }

    /// What the crates above look into.
    pub fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    /// This node's near cache.
    pub fn near(&self) -> &Near {
        &self.bus.near
    }

    /// The clock, ids and randomness.
    pub fn env(&self) -> &Env {
        &self.bus.env
    }

    fn call(&self) -> Call {
        let env = &self.bus.env;
        let limit = self.limit.unwrap_or(Duration::from_millis(self.bus.settings.ask.timeout_ms));
        Call {
            deadline: env.now() + limit,
            trace: self.trace.unwrap_or_else(|| self.bus.recorder.root()),
            trace_state: self.trace_state.clone(),
            chain: self.actor.as_ref().map_or_else(Chain::default, |a| Chain::default().then(&a.capability)),
            principal: self.principal.clone(),
            metadata: self.metadata.clone(),
            origin: None,
        }
    }
}
