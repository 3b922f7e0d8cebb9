//! A rehearsal: the handler of a message runs as it would, and nothing of it remains. Its transaction is rolled back where it
//! would be committed, what it sends goes nowhere, and its instance is built anew.
//!
//! It needs no ownership of the message's partition: nothing that it does is committed, so nothing has to be fenced, no key
//! waits for it, and no inbox knows of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use essaim_base::call::{Call, Chain};
use essaim_base::lock::Mutex;
use essaim_base::panic::panic_text;
use essaim_base::trace::TraceContext;
use essaim_base::{Env, codec};
use essaim_contract::{AskError, Broadcast, FailureKind, NotDelivered, Unknown, wire_name};
use essaim_protocol::record::Record;
use essaim_store::statement_log::StatementLog;
use tokio::time::Instant;

use super::delivery::DeliveryContext;
use crate::ports::{Applied, Handlers};
use crate::send::message::{OutgoingKind, OutgoingMessage};

/// Messages, asks and transactions that are kept of one rehearsal; further ones are counted.
const MOST_KEPT: usize = 200;

/// What a handler does in a rehearsal, as its context sees it.
#[derive(Debug, Default)]
pub struct Rehearsal(Mutex<RehearsedWork>);

/// What a handler did.
#[derive(Debug, Clone, Default)]
pub struct RehearsedWork {
    /// Its transactions. Bounded by `MOST_KEPT`.
    pub transactions: Vec<Arc<StatementLog>>,
    /// What it would have sent. Bounded by `MOST_KEPT`.
    pub sent: Vec<RehearsedMessage>,
    /// What it asked. Bounded by `MOST_KEPT`.
    pub asks: Vec<RehearsedAsk>,
    /// What was not kept.
    pub left_out: u64,
}

/// A message that a handler would have sent.
#[derive(Debug, Clone)]
pub struct RehearsedMessage {
    pub name: Arc<str>,
    pub kind: RehearsedKind,
    pub key: Option<String>,
    pub body: Vec<u8>,
    /// Fields that are never shown.
    pub secrets: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RehearsedKind {
    Command,
    Event,
    Broadcast,
}

/// An ask of a handler. One whose message declares that doing it twice is doing it once was sent; any other was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RehearsedAsk {
    pub name: String,
    pub was_sent: bool,
}

/// How a rehearsed handler ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RehearsedEnd {
    Succeeds,
    Rejects(String),
    Fails(String),
    Panics(String),
    /// It was dropped at its deadline.
    TimesOut(String),
    /// The message is none that it reads.
    Unreadable(String),
    /// It did not run, or its database did not answer.
    Unavailable(String),
}

/// One rehearsal, from its beginning to its end.
pub struct Rehearsed {
    pub end: RehearsedEnd,
    pub took: Duration,
    pub work: RehearsedWork,
}

impl Rehearsal {
    /// The log of a transaction that begins.
    pub fn transaction(&self) -> Arc<StatementLog> {
        let log = Arc::new(StatementLog::default());
        self.0.lock().keep(|work| &mut work.transactions, log.clone());
        log
    }

    /// A message that is not sent.
    pub fn sent(&self, message: &OutgoingMessage) {
        let kind = match message.kind {
            OutgoingKind::Command => RehearsedKind::Command,
            OutgoingKind::Event { .. } | OutgoingKind::EventFor(_) => RehearsedKind::Event,
        };
        let Ok(record) = Record::decode(&message.record) else { return };
        let (name, key, body) = (message.name.clone(), record.key, record.body.into_vec());
        self.keep_sent(RehearsedMessage { name, kind, key, body, secrets: message.secrets });
    }

    /// A broadcast that nobody hears.
    pub fn broadcast<S: Broadcast>(&self, message: &S) {
        let key = message.key().map(|key| key.into_owned());
        let (name, body) = (wire_name::<S>().into(), codec::encode(message).unwrap_or_default());
        self.keep_sent(RehearsedMessage { name, kind: RehearsedKind::Broadcast, key, body, secrets: S::SECRETS });
    }

    fn keep_sent(&self, message: RehearsedMessage) {
        self.0.lock().keep(|work| &mut work.sent, message);
    }

    pub fn asked(&self, name: String, was_sent: bool) {
        self.0.lock().keep(|work| &mut work.asks, RehearsedAsk { name, was_sent });
    }
}

impl RehearsedWork {
    fn keep<T>(&mut self, place: impl FnOnce(&mut Self) -> &mut Vec<T>, one: T) {
        let kept = place(self);
        if kept.len() < MOST_KEPT {
            kept.push(one);
        } else {
            self.left_out += 1;
        }
    }
}

/// Rehearses a message in this node, until `deadline` at the latest.
pub async fn rehearse(handlers: &Arc<dyn Handlers>, record: &Record, deadline: Instant, env: &Env) -> Rehearsed {
    let (rehearsal, began) = (Arc::new(Rehearsal::default()), env.now());
    let applied = apply(handlers, record, deadline, env, &rehearsal).await;
    let took = env.now().saturating_duration_since(began);
    let work = rehearsal.0.lock().clone();
    Rehearsed { end: end_of(applied), took, work }
}

async fn apply(
    handlers: &Arc<dyn Handlers>,
    record: &Record,
    deadline: Instant,
    env: &Env,
    rehearsal: &Arc<Rehearsal>,
) -> Applied {
    let not_delivered = |why| Err(AskError::NotDelivered(why));
    let Some(handler) = handlers.handler_of(&record.name) else {
        return not_delivered(NotDelivered::Unsupported { message: record.name.clone() });
    };
    // No effect of the message is claimed: not one of these is ever compared with a database.
    let delivery = Arc::new(DeliveryContext {
        id: record.id.clone(),
        partition: 0,
        epoch: 0,
        offset: 0,
        parked: None,
        queue: None,
        patience: deadline.saturating_duration_since(env.now()),
        copy: None,
        attempt: 1,
        repeated: AtomicBool::default(),
        rehearsal: Some(rehearsal.clone()),
    });
    let trace = TraceContext { sampled: false, kept: false, ..TraceContext::root(env) };
    let call = Call {
        deadline,
        trace,
        trace_state: Default::default(),
        chain: Chain::default(),
        principal: record.principal.clone().map(Arc::new),
        metadata: (!record.meta.is_empty()).then(|| Arc::new(record.meta.clone())),
        origin: None,
    };
    // Reading the message runs code that is not ours.
    let begun = || handlers.clone().apply(handler, &record.body, call, delivery);
    match catch_unwind(AssertUnwindSafe(begun)) {
        Ok(Ok(applied)) => applied.await,
        Ok(Err(why)) => not_delivered(why),
        Err(panic) => {
            let detail = format!("reading it panicked: {}", panic_text(&*panic));
            not_delivered(NotDelivered::Undecodable { message: record.name.clone(), detail })
        }
    }
}

fn end_of(applied: Applied) -> RehearsedEnd {
    match applied {
        Ok(()) => RehearsedEnd::Succeeds,
        Err(AskError::Rejected(why)) => RehearsedEnd::Rejects(why),
        Err(AskError::Failed(failure)) => match failure.kind {
            FailureKind::Panicked => RehearsedEnd::Panics(failure.detail),
            FailureKind::Unavailable => RehearsedEnd::Unavailable(failure.to_string()),
            _ => RehearsedEnd::Fails(failure.to_string()),
        },
        Err(AskError::Unknown(Unknown::TimedOut { running_ms, doing })) => {
            let doing = if doing.is_empty() { doing } else { format!(", {doing}") };
            RehearsedEnd::TimesOut(format!("it was still running after {running_ms} ms{doing}"))
        }
        Err(AskError::Unknown(Unknown::FailedAfterCommit { detail })) => RehearsedEnd::Fails(detail),
        Err(AskError::Unknown(unknown)) => RehearsedEnd::Fails(unknown.to_string()),
        Err(AskError::NotDelivered(NotDelivered::Undecodable { detail, .. })) => RehearsedEnd::Unreadable(detail),
        Err(AskError::NotDelivered(why)) => RehearsedEnd::Unavailable(why.to_string()),
    }
}
