//! Host: one capability in this node, with its instances.

mod handlers;

use std::sync::Arc;
use std::time::Duration;

use essaim_contract::NotDelivered;
use essaim_durable::Outbox;
use essaim_durable::schedule::Timetable;
use essaim_store::Database;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use crate::api::startup::Startup;
use crate::local::admission::Admission;
use crate::local::declared::DeclaredMessage;
use crate::local::handler::{Handler, HandlerKind};
use crate::local::instance::InstanceHandle;
use crate::local::supervision::Supervision;

/// Interval at which a draining node polls whether a host is idle.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A capability in this node.
pub struct Host {
    pub name: Arc<str>,
    pub supervision: Supervision,
    pub startup: Startup,
    asks: &'static [&'static str],
    /// Whether only one live node may host it.
    exclusive: bool,
    entries: Vec<Arc<dyn Handler>>,
    /// The watchdog's label of the first entry; the others follow.
    first_label: usize,
    instances: Box<[InstanceHandle]>,
    pub admission: Admission,
    /// How much of a message's payload its record shows.
    pub payload_bytes: u64,
    started: Started,
    /// What the capability sends itself at set times.
    timetables: Arc<[Timetable]>,
}

/// A capability once it has started. A host takes its place in the node before: it refuses asks then, and others hear of it.
pub type Started = watch::Receiver<Option<Arc<StartedCapability>>>;

/// Type-erased hooks of the actor, with its database.
pub struct StartedCapability {
    pub drain: Box<dyn Fn() -> LocalBoxFuture<'static, ()> + Send + Sync>,
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
    pub database: Option<Database>,
    pub outbox: Option<Arc<Outbox>>,
}

impl Host {
    pub fn new(
        name: Arc<str>,
        supervision: Supervision,
        asks: &'static [&'static str],
        entries: Vec<Arc<dyn Handler>>,
        first_label: usize,
        instances: impl Iterator<Item = InstanceHandle>,
        limit: u32,
    ) -> Self {
        let (admission, started) = (Admission::of(limit), watch::channel(None).1);
        Self {
            name,
            supervision,
            startup: Startup::default(),
            asks,
            exclusive: false,
            entries,
            first_label,
            instances: instances.collect(),
            admission,
            payload_bytes: 0,
            started,
            timetables: Arc::default(),
        }
    }

    /// The capabilities that its handlers may ask.
    pub fn asks(&self) -> &'static [&'static str] {
        self.asks
    }

    /// This host, which must be the only live one in the cluster.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// This host, whose capability sends itself these commands at set times.
    pub fn scheduling(mut self, timetables: Arc<[Timetable]>) -> Self {
        self.timetables = timetables;
        self
    }

    pub fn timetables(&self) -> &Arc<[Timetable]> {
        &self.timetables
    }

    /// This host, whose capability starts: without it, it never does.
    pub fn starting(mut self, started: Started) -> Self {
        self.started = started;
        self
    }

    /// This host, which admits so many messages of one key at a time; 0: half of all.
    pub fn admitting_of_a_key(mut self, most: u32) -> Self {
        self.admission = self.admission.per_key(most);
        self
    }

    /// This host, whose messages' records show so much of their payloads.
    pub fn capturing(mut self, payload_bytes: u64) -> Self {
        self.payload_bytes = payload_bytes;
        self
    }

    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// Waits until nothing is admitted. It polls, so that the hot path needs no notification at a message's end.
    pub async fn idle(&self) {
        while self.admitted() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub fn entries(&self) -> &[Arc<dyn Handler>] {
        &self.entries
    }

    /// What its contract says of a durable message that it handles.
    pub fn declared(&self, message: &str) -> Option<DeclaredMessage> {
        let is_durable = |entry: &&Arc<dyn Handler>| matches!(entry.kind(), HandlerKind::Durable(_));
        let entry = self.entries.iter().filter(is_durable).find(|entry| **entry.name() == *message)?;
        entry.info().declared
    }

    /// Whether any of its handlers applies durable messages.
    pub fn applies_durable(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.kind(), HandlerKind::Durable(_)))
    }

    pub fn label(&self, entry: usize) -> usize {
        self.first_label + entry
    }

    pub fn instances(&self) -> &[InstanceHandle] {
        &self.instances
    }

    /// Whether no instance has made a turn for so long, since handlers block all their arbiters.
    pub fn is_blocked_for(&self, limit: Duration) -> bool {
        self.instances.iter().all(|i| i.is_blocked() && i.monitor.blocked() >= limit)
    }

    pub fn instances_up(&self) -> usize {
        self.instances.iter().filter(|i| i.is_up()).count()
    }

    /// Messages admitted and not yet done.
    pub fn admitted(&self) -> u32 {
        self.admission.admitted()
    }

    pub fn limit(&self) -> u32 {
        self.admission.limit()
    }

    pub async fn drain(&self) {
        if let Some(started) = self.started() {
            (started.drain)().await;
        }
    }

    pub fn status(&self) -> Value {
        self.started().map_or(Value::Null, |started| (started.status)())
    }

    /// Its database, once it has been opened.
    pub fn database(&self) -> Option<Database> {
        self.started()?.database.clone()
    }

    /// The way out of its database, once that has been opened.
    pub fn outbox(&self) -> Option<Arc<Outbox>> {
        self.started()?.outbox.clone()
    }

    /// Whether what its instances share has been built once.
    pub fn has_started(&self) -> bool {
        self.started.borrow().is_some()
    }

    fn started(&self) -> Option<Arc<StartedCapability>> {
        self.started.borrow().clone()
    }

    /// Why a message is refused whose instance has gone down with its thread.
    pub fn instance_ended(&self) -> NotDelivered {
        let reason = "the instance has ended with its thread".into();
        NotDelivered::Failed { capability: self.name.to_string(), reason }
    }

    /// Counts a message as done that an instance took; only on the instance's own thread.
    pub fn ended(&self, instance: usize) {
        self.instances[instance].end();
        self.admission.give_back();
    }
}
