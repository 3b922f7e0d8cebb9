//! What a handler may do.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::activity::{Wait, waiting};
use essaim_base::call::Call;
use essaim_base::trace::{TraceContext, TraceHeaders, TraceState};
use essaim_contract::{
    Ask, AskError, Broadcast, Capability, Command, Event, MessageId, Metadata, NotDelivered, Principal, SendError,
    wire_name,
};
use essaim_durable::DeliveryContext;
use essaim_durable::HandlerEffects;
use essaim_durable::SendOptions;
use essaim_durable::{MessageContext, OutgoingMessage, Rehearsal, SentRecords};
use essaim_near::Near;
use essaim_store::error::StoreError;
use essaim_store::tx_tracker::{CommitState, TxTracker};
use essaim_store::{Reads, TxError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::Fault;
use crate::api::tx::Tx;
use crate::node::bus::{AskResultOf, Origin};
use crate::node::context::CapabilityContext;

/// The context of one message in one handler.
pub struct Cx {
    context: Arc<CapabilityContext>,
    call: Call,
    /// Follows the handler's writes, from its first transaction on.
    tracker: Option<TxTracker>,
    /// The durable message that the handler applies, if it is one.
    delivery: Option<Arc<DeliveryContext>>,
    /// What its handler has sent outside a transaction; it leaves with the one that the handler commits.
    messages: Vec<OutgoingMessage>,
    /// A near cache apart, for a handler that is only rehearsed.
    near_apart: Option<Near>,
}

impl Cx {
    /// The context of the next message in a place that is used again and again.
    pub(crate) fn renewed<'a>(
        place: &'a mut Option<Self>,
        context: &Arc<CapabilityContext>,
        call: Call,
    ) -> &'a mut Self {
        match place {
            Some(cx) => {
                (cx.call, cx.tracker, cx.delivery, cx.near_apart) = (call, None, None, None);
                cx.messages.clear();
                cx
            }
            None => {
                let (tracker, delivery, messages, near_apart) = (None, None, Vec::new(), None);
                place.insert(Self { context: context.clone(), call, tracker, delivery, messages, near_apart })
            }
        }
    }

    /// The message is a durable one.
    pub(crate) fn enlist(&mut self, delivery: Arc<DeliveryContext>) {
        self.near_apart = delivery.rehearsal.as_ref().map(|_| self.context.near().apart());
        self.delivery = Some(delivery);
    }

    /// What is kept of the handler's doings, if it is only rehearsed.
    pub(crate) fn rehearsal(&self) -> Option<&Arc<Rehearsal>> {
        self.delivery.as_ref()?.rehearsal.as_ref()
    }

    /// What came with the message.
    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// The durable message that the handler applies, if it is one.
    pub(crate) fn delivery(&self) -> Option<&DeliveryContext> {
        self.delivery.as_deref()
    }

    /// Notes that the durable message is applied, unless its handler's transaction has done so.
    pub(crate) async fn settle(&mut self) -> Result<(), TxError> {
        if self.commit_state() == CommitState::Committed || self.context.database.is_none() {
            return Ok(());
        }
        self.begin().await?.commit().await
    }

    /// The result of a handler, once everything is certain that its transactions have read: one that it has dropped may
    /// have read what others had not committed yet. Success with writes that are lost is a failure.
    pub(crate) async fn certain<T, E>(&self, result: Result<T, Fault<E>>) -> Result<T, Fault<E>> {
        let Some(tracker) = &self.tracker else { return result };
        waiting(|| Wait::Commit, tracker.reads_committed()).await.map_err(StoreError::into_exec_error)?;
        let reply = result?;
        tracker.confirm()?;
        Ok(reply)
    }

    /// Whether the state of the handler's instance may be ahead of the database.
    pub(crate) fn is_ahead(&self) -> bool {
        self.tracker.as_ref().is_some_and(TxTracker::is_ahead)
    }

    /// Whether the handler's commit has found that another copy of the durable message has its effect.
    pub(crate) fn is_repeated(&self) -> bool {
        self.delivery.as_ref().is_some_and(|delivery| delivery.is_repeated())
    }

    /// How far the handler's own writes have come.
    pub(crate) fn commit_state(&self) -> CommitState {
        self.tracker.as_ref().map_or(CommitState::Nothing, TxTracker::commit_state)
    }

    /// Asks another capability, wherever it is hosted, and waits for the answer: at most as long as an ask may take
    /// (`ask.timeout_ms`), and never longer than the asker of this handler waits.
    ///
    /// # Errors
    /// See [`AskError`]. The target must be declared in [`Actor::ASKS`](crate::Actor::ASKS).
    pub async fn ask<M: Ask>(&self, message: M) -> Result<M::Reply, AskError<M::Error>> {
        self.ask_within(message, Duration::from_millis(self.context.bus.settings.ask.timeout_ms)).await
    }

    /// As [`Cx::ask`], with a time limit of its own.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_within<M: Ask>(&self, message: M, limit: Duration) -> AskResultOf<M> {
        let bus = &self.context.bus;
        if let Some(rehearsal) = self.rehearsal() {
            // What may be repeated leaves things as a replay of the message will leave them.
            rehearsal.asked(wire_name::<M>(), M::IDEMPOTENT);
            if !M::IDEMPOTENT {
                return Err(AskError::NotDelivered(NotDelivered::Failed {
                    capability: <M::To as Capability>::NAME.into(),
                    reason: format!(
                        "a rehearsal does not ask `{}`, which is not declared idempotent",
                        wire_name::<M>()
                    ),
                }));
            }
        }
        let origin = Origin::Handler { asks: self.context.asks };
        let call = self.outgoing(self.call.deadline.min(bus.env.now() + limit));
        waiting(|| Wait::Answer(wire_name::<M>().into()), bus.ask(message, origin, call)).await
    }

    /// Tells every node, now, with best effort.
    pub fn broadcast<S: Broadcast>(&self, message: S) {
        if let Some(rehearsal) = self.rehearsal() {
            return rehearsal.broadcast(&message);
        }
        let bus = &self.context.bus;
        let deadline = bus.env.now() + Duration::from_millis(bus.settings.ask.timeout_ms);
        bus.broadcast(message, self.outgoing(deadline));
    }

    /// The call of a message that the handler sends.
    fn outgoing(&self, deadline: Instant) -> Call {
        Call {
            deadline,
            trace: self.call.trace,
            trace_state: self.call.trace_state.clone(),
            chain: self.call.chain.then(&self.context.capability),
            principal: self.call.principal.clone(),
            metadata: self.call.metadata.clone(),
            origin: None,
        }
    }

    /// Begins a transaction of the capability's database. It borrows the context, so what the handler must wait
    /// for comes before.
    ///
    /// # Errors
    /// If the capability declares no schema, or the database is not there.
    pub async fn begin(&mut self) -> Result<Tx<'_>, TxError> {
        let database = self.context.database.as_ref().ok_or(TxError::NoDatabase)?;
        if self.delivery.is_some() && self.commit_state() == CommitState::Committed {
            return Err(TxError::Second);
        }
        let tracker = self.tracker.get_or_insert_default().clone();
        let mut transaction = database.begin_for(Some(self.call.deadline), tracker).await?;
        if let Some(rehearsal) = self.rehearsal() {
            transaction.rehearse(rehearsal.transaction());
        }
        let (outbox, messages) = (self.context.outbox.clone(), self.messages.clone());
        let effects =
            HandlerEffects::new(self.delivery.clone(), outbox, self.message_context(), messages, self.env().clone());
        Ok(Tx::new(transaction, Some(effects), self.near()))
    }

    /// Sends a command to a capability, wherever it is hosted and whether or not it is up: returns once it is stored. In
    /// the handler of a durable message it is stored with the handler's transaction.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send<M: Command>(&mut self, message: M) -> Result<MessageId, SendError> {
        self.send_with(message, SendOptions::new()).await
    }

    /// As [`Cx::send`], with options.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_with<M: Command>(&mut self, message: M, options: SendOptions) -> Result<MessageId, SendError> {
        let message = self.message_context().command(self.env(), &message, options)?;
        self.post(message).await
    }

    /// Publishes an event to every capability that subscribes: returns once it is stored. In the handler of a durable
    /// message it is stored with the handler's transaction, else in a transaction of its own; so it waits there for a
    /// subscriber that has no room, and the others get it. A capability without a database stores it at once in the log, as a
    /// [`Client`](crate::Client::publish) does.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn publish<E: Event>(&mut self, event: E) -> Result<MessageId, SendError> {
        self.publish_with(event, SendOptions::new()).await
    }

    /// As [`Cx::publish`], with options.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn publish_with<E: Event>(&mut self, event: E, options: SendOptions) -> Result<MessageId, SendError> {
        if self.delivery.is_some() || self.context.database.is_none() {
            let message = self.message_context().event(self.env(), &event, options)?;
            return self.post(message).await;
        }
        let not_stored = |error: TxError| SendError::NotStored { reason: error.to_string() };
        let tx = self.begin().await.map_err(not_stored)?;
        let id = match tx.publish_with(event, options).await {
            Ok(id) => id,
            Err(error) => {
                // The handler hears of the error; its transaction is none that it could have ended.
                let _ = tx.rollback().await;
                return Err(error);
            }
        };
        // The handler hears how it ends, and may go on without the event.
        match tx.try_commit().await {
            Ok(()) => Ok(id),
            Err(TxError::CommitUnanswered(_)) => Err(SendError::Unknown { id }),
            Err(error) => Err(not_stored(error)),
        }
    }

    async fn post(&mut self, message: OutgoingMessage) -> Result<MessageId, SendError> {
        let id = message.id.clone();
        if self.delivery.is_some() && self.context.outbox.is_some() {
            if self.commit_state() == CommitState::Committed {
                let reason = "the handler has committed already: what it sends goes with its transaction".into();
                return Err(SendError::NotStored { reason });
            }
            self.messages.push(message);
        } else if let Some(rehearsal) = self.rehearsal() {
            rehearsal.sent(&message);
        } else {
            let context = self.message_context();
            waiting(|| Wait::Log, self.context.bus.send_in(&context, message)).await?;
        }
        Ok(id)
    }

    fn message_context(&self) -> MessageContext {
        MessageContext {
            trace: self.call.trace,
            records: SentRecords::of(&self.context.bus.recorder, &self.call.trace, Some(&self.context.capability)),
            trace_state: self.call.trace_state.clone(),
            principal: self.call.principal.clone(),
            metadata: self.call.metadata.clone(),
            most_bytes: self.context.bus.settings.wire.max_message_bytes,
            keys: self.context.bus.keys.clone(),
        }
    }

    /// The capability's database, for reads outside a transaction.
    ///
    /// # Panics
    /// If the capability declares no schema in [`Actor::schema`](crate::Actor::schema).
    pub fn db(&self) -> &Reads {
        self.context.database.as_ref().expect("Actor::schema declares the capability's tables").reads()
    }

    /// Runs a long computation away from the arbiters, a bounded number at a time (`node.blocking_threads`).
    ///
    /// # Errors
    /// A panic of the computation is a failure of the handler.
    pub async fn blocking<T, E>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault<E>>
    where
        T: Send + 'static,
    {
        waiting(|| Wait::Computation, self.context.blocking.run(work)).await
    }

    /// On whose behalf the message was sent.
    pub fn principal(&self) -> Option<&Principal> {
        self.call.principal.as_deref()
    }

    /// A small value that travels with the message.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let all: Option<&Metadata> = self.call.metadata.as_deref();
        all?.get(key).map(String::as_str)
    }

    /// When the answer is no longer wanted.
    pub fn deadline(&self) -> Instant {
        self.call.deadline
    }

    /// The trace the message belongs to; its span id is that of this handler.
    pub fn trace(&self) -> TraceContext {
        self.call.trace
    }

    /// The `tracestate` of those who trace outside, which goes on with everything that the handler sends.
    pub fn trace_state(&self) -> &TraceState {
        &self.call.trace_state
    }

    /// The trace as headers of a request that the handler sends to somebody outside; its parent is this handler's span.
    pub fn trace_headers(&self) -> TraceHeaders {
        self.call.trace_headers()
    }

    /// The clock, ids and randomness.
    pub fn env(&self) -> &Env {
        self.context.env()
    }

    /// The wall clock in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.env().wall_ms()
    }

    /// A new id that sorts by creation time.
    pub fn new_id(&self) -> Uuid {
        self.env().id()
    }

    /// This node's near cache.
    pub fn near(&self) -> &Near {
        self.near_apart.as_ref().unwrap_or_else(|| self.context.near())
    }
}
