//! Durable messages: commands and events, stored in a log and applied exactly once.
//!
//! What a handler sends is kept in its database's `outbox` with its other writes and relayed from there; everything else goes
//! straight to the sender (`send`), which stores it in the log. On the other side each capability's consumer gets its share of
//! the partitions (`partition`), and a worker for each has the actor apply what comes, one transaction a message.
//!
//! # Layout
//! - `send`, `outbox`: the way of a message into the log.
//! - `partition`: its way out of the log; `dead`: what the log keeps of a message that cannot be applied.
//! - `schedule`: what a capability sends itself at set times; `housekeeper`: what one host does for all of a capability.
//! - `ports`: what the rest of the node implements, so that nothing here knows of hosts, buses or other nodes.
//! - `trust`: which stored messages are believed.
//! - `drain`: durable work ends before its node does; `log_migration`: what another log still holds.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

pub mod dead;
mod drain;
mod housekeeper;
pub mod log_migration;
pub mod outbox;
pub mod partition;
pub mod ports;
pub mod schedule;
pub mod send;
pub mod trust;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::DbErr;
use tokio::time::timeout;

pub use self::dead::LogDeadLetter;
use self::drain::Drain;
pub use self::outbox::{Outbox, OutboxQueue};
pub use self::partition::consumer::{Consumer, Hosted};
pub use self::partition::delivery::{DeliveryContext, DurableMessage};
use self::partition::reader::Reader;
pub use self::partition::rehearsal::Rehearsal;
pub use self::ports::{Applied, DurableHandler, Handlers};
pub use self::send::handler_effects::{HandlerEffects, PendingCommit};
pub use self::send::message::{MessageContext, OutgoingMessage, UntypedMessage};
pub use self::send::options::{SendOptions, SubscribeOptions};
use self::send::sender::Sender;
pub use self::send::sender::partition_of;
pub use self::send::sent_record::SentRecords;
use self::trust::RecordTrust;
use essaim_base::Env;
use essaim_base::backoff::Backoff;
use essaim_base::lock::Mutex;
use essaim_base::outages::Dependency;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::{DurableConfig, Settings};
use essaim_protocol::log::{Log, Partition};
use essaim_store::Database;
use essaim_store::tables::log_gaps::LogGap;
use essaim_trace::Recorder;

/// What the durable half of a node is made of.
pub struct DurableParts<'a> {
    pub log: Arc<dyn Log>,
    pub settings: &'a Settings,
    pub env: &'a Env,
    pub tasks: &'a Tasks,
    pub recorder: Arc<Recorder>,
    /// How the identities of logs begin whose messages are migrated to the bridge's log.
    pub migrated_kind: &'static str,
}

/// The durable half of a node.
pub struct Durable {
    pub log: Arc<dyn Log>,
    /// Which stored messages are believed.
    pub trust: Arc<RecordTrust>,
    pub sender: Arc<Sender>,
    pub reader: Arc<Reader>,
    pub config: DurableConfig,
    /// This life of this node, as the log knows it.
    pub host: String,
    pub drain: Arc<Drain>,
    /// The outboxes of the capabilities that are hosted here.
    outboxes: Mutex<Vec<Arc<Outbox>>>,
    partitions: HashMap<String, u32>,
    is_bridged: bool,
    migrated_kind: &'static str,
    /// The largest message, in bytes (`wire.max_message_bytes`).
    most_bytes: u64,
    reported_left: AtomicBool,
    reported_older: AtomicBool,
    env: Env,
    pub tasks: Tasks,
    pub recorder: Arc<Recorder>,
}

impl Durable {
    /// Begins to send and to read, on the thread of these tasks.
    pub fn start(parts: DurableParts<'_>) -> Arc<Self> {
        let DurableParts { log, settings, env, tasks, recorder, migrated_kind } = parts;
        let config = settings.durable.clone();
        let own = settings.capabilities.iter().filter(|(_, c)| c.partitions > 0);
        let partitions: HashMap<_, _> = own.map(|(name, c)| (name.clone(), c.partitions)).collect();
        let sender = Arc::new(Sender::start(log.clone(), &config, partitions.clone(), tasks));
        let reader = Reader::start(log.clone(), &config, env.clone(), tasks);
        let host = format!("{}/{}", settings.node.name, env.id());
        let (drain, outboxes) = (Drain::new(), Mutex::default());
        let (env, tasks) = (env.clone(), tasks.clone());
        let is_bridged = !settings.bridge.url.is_empty();
        let durable = Arc::new(Self {
            log,
            trust: Arc::new(RecordTrust::of(&settings.bridge)),
            sender,
            reader,
            config,
            host,
            drain,
            outboxes,
            partitions,
            is_bridged,
            migrated_kind,
            most_bytes: settings.wire.max_message_bytes,
            reported_left: AtomicBool::new(false),
            reported_older: AtomicBool::new(false),
            env,
            tasks: tasks.clone(),
            recorder,
        });
        // A log of this process alone has lost nothing while nobody looked, and whether its file works is looked at there.
        if durable.is_bridged {
            let (weak, heartbeat) = (Arc::downgrade(&durable), Duration::from_millis(settings.members.heartbeat_ms));
            tasks.restarted(TaskName::of_node("log-check"), move || look_after(weak.clone(), heartbeat));
        }
        durable
    }

    /// Opens the outbox of a capability whose database has been opened.
    ///
    /// # Errors
    /// The database's.
    pub async fn outbox(&self, database: &Database) -> Result<Arc<Outbox>, DbErr> {
        let own = OutboxQueue::of_node(self.node(), self.life());
        let outbox = Outbox::new(self, database.clone(), own.clone());
        outbox.open(&own, 0).await?.keep();
        // What earlier lives of this node have left; what other nodes have left is the housekeeper's.
        outbox.adopt(|node| node == self.node()).await?;
        self.outboxes.lock().push(outbox.clone());
        Ok(outbox)
    }

    /// This node's name.
    fn node(&self) -> &str {
        self.host.rsplit_once('/').map_or(&self.host, |(node, _)| node)
    }

    /// What tells this life of the node from its others.
    fn life(&self) -> &str {
        self.host.rsplit_once('/').map_or("", |(_, life)| life)
    }

    /// Waits until what this node's handlers have sent is in the log, or it takes too long: another life relays it then.
    pub async fn flush(&self) {
        let outboxes = self.outboxes.lock().clone();
        let flushed = join_all(outboxes.iter().map(|outbox| outbox.flushed()));
        let _ = timeout(Duration::from_millis(self.config.send_timeout_ms), flushed).await;
    }

    /// Tells, once, that messages come from another log than before, unless they were taken along.
    pub fn log_left_behind(&self, log: &str) {
        let taken_along = log.starts_with(self.migrated_kind) && self.is_bridged;
        if !taken_along && !self.reported_left.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                before = log,
                "messages come from another log than before (bridge.url was changed, or Redis was restarted empty): whatever \
                 still waits in the one before, for whichever capability, waits until bridge.url leads there again"
            );
        }
    }

    /// Tells, once, that the log is older than a capability's database, which has finished messages that the log has forgotten.
    fn log_is_older(&self, partition: &Partition, gap: LogGap) {
        if !self.reported_older.swap(true, Ordering::Relaxed) {
            let (capability, LogGap { partition, first, through, .. }) = (&partition.capability, gap);
            tracing::warn!(
                %capability,
                partition,
                first,
                through,
                "the log is older than the databases (it was restored, or has lost what it kept last): of the messages that it has \
                 forgotten those that were applied stay done, and the others are gone. `essaim ledger` names each partition; \
                 docs/restores.md says what to look for"
            );
        }
    }

    /// The largest message, in bytes (`wire.max_message_bytes`).
    pub fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// The number of partitions that the configuration gives a capability.
    pub fn partitions(&self, capability: &str) -> u32 {
        self.partitions.get(capability).copied().unwrap_or(self.config.partitions)
    }

    /// The log, as what a node depends on.
    pub fn dependency(&self) -> Dependency {
        Dependency::log(self.is_bridged)
    }

    /// How long to wait after so many failures.
    pub fn pause(&self, failures: u32) -> Duration {
        soon(&self.config).delay(failures, &self.env)
    }
}

/// Looks with every heartbeat whether the log still has what it kept.
async fn look_after(durable: Weak<Durable>, heartbeat: Duration) {
    loop {
        tokio::time::sleep(heartbeat).await;
        let Some(durable) = durable.upgrade() else { return };
        let (outages, log) = (durable.tasks.outages(), durable.dependency());
        match durable.log.check().await {
            Ok(()) => outages.end(&log),
            // Who keeps the connection knows more of why there is none.
            Err(error) if !outages.has(&log) => outages.begin(log, error.to_string()),
            Err(_) => {}
        }
    }
}

/// The waits for a log or a database that is away: what waits for it should go on soon after it is back.
fn soon(config: &DurableConfig) -> Backoff {
    let first = Duration::from_millis(config.backoff_first_ms);
    Backoff { first, most: Duration::from_secs(1).max(first) }
}
