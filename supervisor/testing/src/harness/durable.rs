//! Durable messages in tests: delivering them to the actor, and looking at what it has sent.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::codec;
use essaim_base::trace::{TraceContext, TraceState};
use essaim_contract::{Capability, Command, Event, Message, Principal, wire_name};
use essaim_core::api::actor::{Actor, Apply};
use essaim_core::local::host::Host;
use essaim_core::node::RunningNode;
use essaim_core::node::bus::Bus;
use essaim_core::node::roster::name_of;
use essaim_durable::{LogDeadLetter, MessageContext, OutgoingMessage, partition_of};
use essaim_protocol::log::{Partition, Position, Reading, Subscription};
use essaim_protocol::record::{Batch, Record};
use essaim_store::tables::{dead, outbox, parked};

use super::Stage;

/// Who subscribes to the events that a test looks at.
const WITNESS: &str = "witness";
/// More than a test has in one place.
const ALL: u32 = 10_000;

/// Subscribes the witness to these events.
pub(super) async fn subscribe(node: &RunningNode, events: &[String]) {
    let subscriptions: Vec<_> = events.iter().map(|name| (name.clone(), Subscription::default())).collect();
    if let Some(durable) = node.bus().durable()
        && !subscriptions.is_empty()
    {
        durable.log.register(WITNESS, 1, &subscriptions).await.expect("the log takes a subscription");
    }
}

impl<A: Actor> Stage<A> {
    /// Sends a command or an event to the actor through the log, and waits until it is applied; one that fails is tried
    /// again as ever.
    ///
    /// # Errors
    /// Why it has become a dead letter.
    pub async fn deliver<M: Message>(&self, message: M) -> Result<(), String>
    where
        A: Apply<M>,
    {
        self.local.run_until(self.deliver_copies(1, None, message)).await
    }

    /// As [`Stage::deliver`], on behalf of a principal.
    ///
    /// # Errors
    /// As for [`Stage::deliver`].
    pub async fn deliver_as<M: Message>(&self, principal: Principal, message: M) -> Result<(), String>
    where
        A: Apply<M>,
    {
        self.local.run_until(self.deliver_copies(1, Some(principal), message)).await
    }

    /// As [`Stage::deliver`], twice under one id, as after a crash: it must take effect once.
    ///
    /// # Errors
    /// As for [`Stage::deliver`].
    pub async fn deliver_twice<M: Message>(&self, message: M) -> Result<(), String>
    where
        A: Apply<M>,
    {
        self.local.run_until(self.deliver_copies(2, None, message)).await
    }

    /// The commands of this kind that the actor has sent to a capability that is not here, in their order.
    ///
    /// # Panics
    /// If they cannot be read.
    pub async fn sent<M: Command>(&self) -> Vec<M> {
        self.local.run_until(self.find(<M::To as Capability>::NAME)).await
    }

    /// The events of this kind that the actor has published, in their order. The stage must witness them
    /// ([`Harness::witness`](crate::Harness::witness)).
    ///
    /// # Panics
    /// If they cannot be read.
    pub async fn published<E: Event>(&self) -> Vec<E> {
        self.local.run_until(self.find(WITNESS)).await
    }

    fn host(&self) -> &Arc<Host> {
        self.node.bus().host(name_of::<A>()).expect("the stage hosts the actor")
    }

    async fn deliver_copies<M: Message>(
        &self,
        copies: u8,
        principal: Option<Principal>,
        message: M,
    ) -> Result<(), String> {
        let bus = self.node.bus();
        let message_context = MessageContext {
            trace: TraceContext::root(&bus.env),
            trace_state: TraceState::default(),
            records: None,
            principal: principal.map(Arc::new),
            metadata: None,
            most_bytes: bus.settings.wire.max_message_bytes,
            keys: bus.keys.clone(),
        };
        let message =
            message_context.to(&bus.env, &message, self.host().name.clone()).expect("the message can be encoded");
        for _ in 0..copies {
            bus.send(message.clone()).await.expect("the log takes a message");
        }
        let durable = bus.durable().expect("a stage has a log");
        loop {
            // Before the look, so that nothing can come between the look and the wait.
            let mut progress = pin!(durable.reader.progress.notified());
            progress.as_mut().enable();
            if self.is_done(bus, &message).await {
                break;
            }
            progress.await;
        }
        self.death_of(bus, &message).await.map_or(Ok(()), Err)
    }

    /// Whether the log holds nothing for the actor any more, and the message does not wait to be tried again.
    async fn is_done(&self, bus: &Bus, message: &OutgoingMessage) -> bool {
        let durable = bus.durable().expect("a stage has a log");
        let counts = durable.log.counts(&self.host().name).await.expect("the log can be read");
        if counts.iter().any(|count| count.waiting > 0) {
            return false;
        }
        let Some(database) = self.host().database() else { return true };
        let number = partition_of(&message.order, counts.len() as u32);
        let waits = parked::load(database.reads(), number, 0, ALL).await.expect("the database can be read");
        waits.iter().all(|row| row.id != message.id.as_str())
    }

    /// Why a message is a dead letter, if it is one.
    async fn death_of(&self, bus: &Bus, message: &OutgoingMessage) -> Option<String> {
        let (name, id) = (&self.host().name, message.id.as_str());
        if let Some(database) = self.host().database() {
            let found = dead::find(database.reads(), id).await.expect("the database can be read");
            return found.into_iter().find(|d| *d.capability == **name).map(|d| d.error.unwrap_or_default());
        }
        let messages = bus.durable()?.log.dead_with(name, &[id.to_string()]).await.expect("the log can be read");
        let (_, bytes) = messages.into_iter().next()?;
        let message: LogDeadLetter = codec::decode(&bytes).expect("the log keeps what it was given");
        Some(message.error)
    }

    /// The messages of one kind for a receiver that is not here: those that are still in the actor's outbox, and those in
    /// the log. In this order, since that is their way.
    async fn find<M: Message>(&self, receiver: &str) -> Vec<M> {
        let (bus, name) = (self.node.bus(), wire_name::<M>());
        let mut waiting = Vec::new();
        if let Some(database) = self.host().database() {
            for lane in outbox::queues(database.reads()).await.expect("the database can be read") {
                let rows = outbox::load(database.reads(), &lane, 0, ALL).await;
                let rows = rows.expect("the database can be read").into_iter();
                waiting.extend(rows.map(|(_, row)| Record::decode(&row.record).expect("a record was written")));
            }
        }
        let log = &bus.durable().expect("a stage has a log").log;
        let registry = log.registry().await.expect("the log can be read");
        let partitions = 0..registry.partitions.get(receiver).copied().unwrap_or(0);
        let reading = |number| {
            let partition = Partition { capability: receiver.into(), number };
            Reading { partition, after: Position::default(), most: ALL }
        };
        let readings: Vec<_> = partitions.map(reading).collect();
        let entries = log.read(&readings, Duration::ZERO).await.expect("the log can be read");
        let entries = entries.iter().flat_map(|(_, entries)| entries);
        let mut found: Vec<Record> = Vec::new();
        for record in entries.flat_map(|entry| Batch::read(&entry.batch, entry.count).0) {
            // What is handed over twice is there twice.
            if !found.iter().any(|f| f.id == record.id) {
                found.push(record);
            }
        }
        waiting.retain(|record| !found.iter().any(|f| f.id == record.id));
        found.extend(waiting);
        let kind = found.into_iter().filter(|record| record.name == name);
        kind.map(|record| codec::decode(&record.body).expect("the message can be decoded")).collect()
    }
}
