//! What the runtime writes with a handler's transaction: that its message is applied, and what it sends.

use std::sync::Arc;

use essaim_base::Env;
use essaim_base::lock::Mutex;
use essaim_contract::{Command, Event, MessageId, SendError};
use essaim_store::tables::outbox;
use essaim_store::tables::tx_effects::{AppliedMessage, TxEffects};

use super::message::{MessageContext, OutgoingKind, OutgoingMessage};
use super::options::SendOptions;
use crate::outbox::{Outbox, OutboxQueue};
use crate::partition::delivery::DeliveryContext;
use crate::partition::rehearsal::Rehearsal;

/// What goes with one transaction.
pub struct HandlerEffects {
    delivery: Option<Arc<DeliveryContext>>,
    /// Absent where nothing durable is about.
    outbox: Option<Arc<Outbox>>,
    message_context: MessageContext,
    messages: Mutex<Vec<OutgoingMessage>>,
    env: Env,
}

impl HandlerEffects {
    /// `messages` were sent before the transaction began, and leave with it.
    pub fn new(
        delivery: Option<Arc<DeliveryContext>>,
        outbox: Option<Arc<Outbox>>,
        message_context: MessageContext,
        messages: Vec<OutgoingMessage>,
        env: Env,
    ) -> Self {
        Self { delivery, outbox, message_context, messages: Mutex::new(messages), env }
    }

    pub fn command<M: Command>(&self, message: &M, options: SendOptions) -> Result<MessageId, SendError> {
        self.add(self.message_context.command(&self.env, message, options)?)
    }

    pub fn event<E: Event>(&self, event: &E, options: SendOptions) -> Result<MessageId, SendError> {
        self.add(self.message_context.event(&self.env, event, options)?)
    }

    fn add(&self, message: OutgoingMessage) -> Result<MessageId, SendError> {
        let no_log = || SendError::NotStored { reason: "this node keeps no durable messages".into() };
        let outbox = self.outbox.as_ref().ok_or_else(no_log)?;
        // What a durable message causes always has room, or two full capabilities would wait for each other.
        if self.delivery.is_none()
            && let Some(full) = outbox.refusal(&message.capability)
        {
            return Err(full);
        }
        let id = message.id.clone();
        self.messages.lock().push(message);
        Ok(id)
    }

    /// What is written with the handler's own writes, as the last thing before their commit. `None` if what it sends has no
    /// place, since its message's partition was lost: nothing may be committed, whether or not the fence is closed already.
    pub fn tx_effects(&self) -> Option<TxEffects> {
        let mut effects = TxEffects::default();
        if let Some(delivery) = self.delivery.as_deref() {
            let DeliveryContext { id, partition, epoch, offset, parked, .. } = delivery;
            match parked {
                Some(seq) => effects.unpark(*partition, *epoch, *seq),
                None => {
                    let at_ms = id.time_ms().max(self.env.wall_ms());
                    let contested = delivery.is_contested();
                    let applied = AppliedMessage { id: id.clone(), offset: *offset, at_ms, contested };
                    effects.apply(*partition, *epoch, applied);
                }
            }
        }
        let messages = self.messages.lock().clone();
        if let Some(outbox) = &self.outbox
            && !messages.is_empty()
        {
            let queue = self.queue(outbox);
            let first = outbox.reserve_numbers(queue, messages.len())?;
            effects.send(queue.text(), first, messages.into_iter().map(row));
        }
        Some(effects)
    }

    /// What is kept of the handler's doings, if it is only rehearsed.
    #[inline]
    pub fn rehearsal(&self) -> Option<&Rehearsal> {
        self.delivery.as_ref().and_then(|delivery| delivery.rehearsal.as_deref())
    }

    /// Keeps what would be sent now.
    pub fn rehearse_sends(&self, rehearsal: &Rehearsal) {
        self.messages.lock().iter().for_each(|message| rehearsal.sent(message));
    }

    /// Whether it encloses that a durable message was applied.
    #[inline]
    pub fn is_delivery(&self) -> bool {
        self.delivery.is_some()
    }

    /// Records that another copy of the durable message has its effect.
    pub fn set_repeated(&self) {
        if let Some(delivery) = &self.delivery {
            delivery.set_repeated();
        }
    }

    /// The outbox, if messages go through it.
    fn sending(&self) -> Option<&Arc<Outbox>> {
        self.outbox.as_ref().filter(|_| !self.messages.lock().is_empty())
    }

    /// Writes the records of what it has sent.
    fn record_sent(&self) {
        self.messages.lock().iter().for_each(|message| self.message_context.record_sent(message));
    }

    /// The crash point before its commit.
    pub fn before_commit(&self) -> &'static str {
        if self.delivery.is_some() { "apply.before-commit" } else { "ask.before-commit" }
    }

    /// The crash point after it.
    pub fn after_commit(&self) -> &'static str {
        if self.delivery.is_some() { "apply.after-commit" } else { "ask.after-commit" }
    }

    /// The queue that its messages take.
    fn queue<'a>(&'a self, outbox: &'a Outbox) -> &'a OutboxQueue {
        let of_partition = self.delivery.as_ref().and_then(|delivery| delivery.queue.as_ref());
        of_partition.unwrap_or_else(|| outbox.own_queue())
    }
}

/// A commit that goes on. What it sends is given to the outbox with the commit; where its database does not answer, the outbox looks
/// whether it is there.
pub struct PendingCommit<'a> {
    effects: &'a HandlerEffects,
    has_ended: bool,
}

impl<'a> PendingCommit<'a> {
    /// Of a transaction whose commit begins now.
    pub fn of(effects: &'a HandlerEffects) -> Self {
        Self { effects, has_ended: false }
    }

    /// It is over: surely committed, or surely not.
    pub fn end(mut self, committed: bool) {
        self.has_ended = true;
        if committed {
            self.effects.record_sent();
        }
    }
}

impl Drop for PendingCommit<'_> {
    fn drop(&mut self) {
        if let Some(outbox) = self.effects.sending().filter(|_| !self.has_ended) {
            outbox.committed_perhaps(self.effects.queue(outbox), 0);
        }
    }
}

/// A message as a row of the outbox.
fn row(message: OutgoingMessage) -> outbox::OutboxRow {
    let (event, target) = match message.kind {
        OutgoingKind::Command => (false, None),
        OutgoingKind::Event { .. } => (true, None),
        OutgoingKind::EventFor(subscriber) => (true, Some(subscriber.to_string())),
    };
    outbox::OutboxRow { event, target, record: message.record }
}
