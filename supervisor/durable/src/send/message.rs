//! Putting a message into the form in which it is stored.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::trace::{TraceContext, TraceState};
use essaim_base::{Env, codec};
use essaim_contract::{Capability, Command, Event, Message, MessageId, Metadata, Principal, SendError, wire_name};
use essaim_protocol::keys::ClusterKeys;
use essaim_protocol::record::Record;
use serde_bytes::ByteBuf;

use super::options::{SendOptions, When};
use super::sent_record::SentRecords;
use crate::outbox::BackfillSubscriber;

/// The longest key, in bytes: databases index it.
const LONGEST_KEY: usize = 512;

/// A message that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    pub id: MessageId,
    /// The capability of its name: whom a command is for, and who publishes an event.
    pub capability: Arc<str>,
    pub kind: OutgoingKind,
    /// The message's wire name.
    pub name: Arc<str>,
    /// What decides its partition.
    pub order: Box<str>,
    /// When it was sent, in milliseconds since 1970.
    pub at: u64,
    /// Until when its publisher retains it.
    pub retained: Option<u64>,
    /// It is stored even if its partition is full: it says what is to be done about a dead letter, which makes room.
    pub urgent: bool,
    /// Whether records show a hash of the key.
    pub personal_key: bool,
    /// Fields of its payload that are never shown.
    pub secrets: &'static [&'static str],
    /// The encoded [`Record`].
    pub record: Vec<u8>,
}

/// Who gets a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingKind {
    /// The capability of its name.
    Command,
    /// All subscribers, except for those whose copies wait behind others; of those that begin with what is kept, only
    /// those that have got what is kept from before it, if they are told.
    Event { except: Arc<[Arc<str>]>, backfilled: Option<Arc<[BackfillSubscriber]>> },
    /// One subscriber, whose copy could not be stored with those of the others.
    EventFor(Arc<str>),
}

/// An encoded message whose sender does not have its type, with what that says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntypedMessage {
    /// Its wire name.
    pub name: String,
    /// The capability of its name.
    pub capability: Arc<str>,
    pub key: Option<String>,
    /// Whether records show a hash of the key.
    pub personal_key: bool,
    pub body: Vec<u8>,
}

impl OutgoingKind {
    fn to_all() -> Self {
        Self::Event { except: Arc::default(), backfilled: None }
    }
}

/// What goes with everything that one sender sends.
#[derive(Debug, Clone)]
pub struct MessageContext {
    pub trace: TraceContext,
    pub trace_state: TraceState,
    /// Where the records of what is sent go, if they are kept.
    pub records: Option<SentRecords>,
    pub principal: Option<Arc<Principal>>,
    pub metadata: Option<Arc<Metadata>>,
    /// The largest message, in bytes (`wire.max_message_bytes`).
    pub most_bytes: u64,
    /// What signs it.
    pub keys: Arc<ClusterKeys>,
}

impl MessageContext {
    /// A command.
    pub fn command<M: Command>(
        &self,
        env: &Env,
        message: &M,
        options: SendOptions,
    ) -> Result<OutgoingMessage, SendError> {
        self.message(env, message, OutgoingKind::Command, 0, options)
    }

    /// An event.
    pub fn event<E: Event>(&self, env: &Env, event: &E, options: SendOptions) -> Result<OutgoingMessage, SendError> {
        self.message(env, event, OutgoingKind::to_all(), E::RETAINED_HOURS, options)
    }

    /// A command whose type the sender does not have.
    pub fn untyped_command(&self, env: &Env, message: UntypedMessage) -> Result<OutgoingMessage, SendError> {
        self.untyped(env, message, OutgoingKind::Command, 0, SendOptions::new())
    }

    /// An event whose type the sender does not have.
    pub fn untyped_event(
        &self,
        env: &Env,
        event: UntypedMessage,
        retained_hours: u32,
    ) -> Result<OutgoingMessage, SendError> {
        self.untyped(env, event, OutgoingKind::to_all(), retained_hours, SendOptions::new())
    }

    /// Any durable message, for one receiver alone.
    pub fn to<M: Message>(&self, env: &Env, message: &M, receiver: Arc<str>) -> Result<OutgoingMessage, SendError> {
        self.message(env, message, OutgoingKind::EventFor(receiver), 0, SendOptions::new())
    }

    fn message<M: Message>(
        &self,
        env: &Env,
        message: &M,
        kind: OutgoingKind,
        retained_hours: u32,
        options: SendOptions,
    ) -> Result<OutgoingMessage, SendError> {
        let body = codec::encode(message).map_err(|e| invalid(format!("it cannot be encoded: {e}")))?;
        let message = UntypedMessage {
            name: wire_name::<M>(),
            capability: <M::To as Capability>::NAME.into(),
            key: message.key().map(|k| k.into_owned()),
            personal_key: M::PERSONAL_KEY,
            body,
        };
        let message = self.untyped(env, message, kind, retained_hours, options)?;
        Ok(OutgoingMessage { secrets: M::SECRETS, ..message })
    }

    fn untyped(
        &self,
        env: &Env,
        message: UntypedMessage,
        kind: OutgoingKind,
        retained_hours: u32,
        options: SendOptions,
    ) -> Result<OutgoingMessage, SendError> {
        let UntypedMessage { name, capability, key, personal_key, body } = message;
        let (bytes, most) = (body.len() as u64, self.most_bytes);
        if bytes > most {
            return Err(invalid(format!("{bytes} bytes are more than wire.max_message_bytes ({most})")));
        }
        let now = env.wall_ms();
        let not_before = options.not_before.map(|when| match when {
            When::At(at) => at,
            When::After(delay) => now.saturating_add(delay.as_millis() as u64),
        });
        let begins = not_before.unwrap_or(now).max(now);
        // The id's time is that from which on it may be applied, so that a receiver remembers it for long enough.
        let id = options.id.unwrap_or_else(|| MessageId::parse(env.id_at(begins)).expect("it is a UUID of version 7"));
        if key.as_ref().is_some_and(|key| key.len() > LONGEST_KEY || key.contains('\0')) {
            return Err(invalid(format!("its key must have at most {LONGEST_KEY} bytes, and no NUL")));
        }
        let record = Record {
            id,
            name,
            key,
            at: now,
            not_before,
            expires: options.time_to_live.map(|time| begins.saturating_add(time.as_millis() as u64)),
            retained_until: (retained_hours > 0)
                .then(|| now + Duration::from_hours(retained_hours.into()).as_millis() as u64),
            trace: self.trace.to_string(),
            trace_state: self.trace_state.to_string(),
            kept: self.trace.kept,
            principal: self.principal.as_deref().cloned(),
            meta: self.metadata.as_deref().cloned().unwrap_or_default(),
            control: None,
            seen: None,
            body: ByteBuf::from(body),
        };
        let message = OutgoingMessage::of(record, capability, kind, &self.keys)
            .map_err(|e| invalid(format!("it cannot be encoded: {e}")))?;
        Ok(OutgoingMessage { personal_key, ..message })
    }
}

fn invalid(reason: String) -> SendError {
    SendError::Invalid { reason }
}

impl OutgoingMessage {
    /// The message of a record, signed.
    pub fn of(
        record: Record,
        capability: Arc<str>,
        kind: OutgoingKind,
        keys: &ClusterKeys,
    ) -> Result<Self, codec::EncodeError> {
        let encoded = record.sign(keys)?;
        Ok(Self::encoded(record, encoded, capability, kind))
    }

    /// The message of a record that was read from its bytes.
    pub fn read(record: Record, encoded: &[u8], kind: OutgoingKind) -> Self {
        let capability = record.name.split('.').next().unwrap_or_default().into();
        Self::encoded(record, encoded.to_vec(), capability, kind)
    }

    fn encoded(record: Record, encoded: Vec<u8>, capability: Arc<str>, kind: OutgoingKind) -> Self {
        Self {
            order: record.order().into(),
            id: record.id,
            capability,
            kind,
            name: record.name.into(),
            at: record.at,
            retained: record.retained_until,
            urgent: record.control.is_some(),
            personal_key: false,
            secrets: &[],
            record: encoded,
        }
    }
}
