//! Durable messages: commands and events, stored in a log and applied exactly once.
//!
//! A sender's message becomes a `letter`; what a handler sends is kept in its database's `outbox` with its other writes
//! (`enclosure`) and relayed, everything else goes straight to the `sender`, which stores it in the log. On the other side
//! a `consumer` of each capability gets its share of the partitions, the `reader` reads for all of them, and a `worker`
//! for each has the actor apply what came, one transaction a message (`delivery`).
//!
//! # Layout
//! - `record`, `letter`, `options`: the form of a message; `sender`, `outbox`, `enclosure`: its way into the log.
//! - `consumer`, `reader`, `worker`, `delivery`, `copies`: its way out of it; `dead`: where it ends if nobody can apply it.
//! - `keeper`: housekeeping; `schedule`, `timekeeper`: what a capability sends itself at set times; `leaving`: the end.
//! - `moving`: what another log still holds; `operations`: what operators ask and do.

pub(crate) mod consumer;
pub(crate) mod copies;
pub(crate) mod dead;
pub(crate) mod delivery;
pub(crate) mod enclosure;
mod flight;
mod keeper;
mod leaving;
pub(crate) mod letter;
pub(crate) mod moving;
pub mod operations;
pub(crate) mod options;
pub(crate) mod outbox;
mod reader;
pub(crate) mod record;
pub mod schedule;
pub(crate) mod sender;
mod timekeeper;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::DbErr;
use tokio::time::timeout;

use self::leaving::Leaving;
use self::outbox::Outbox;
use self::reader::Reader;
use self::sender::Sender;
use crate::Env;
use crate::backoff::Backoff;
use crate::bridge::EmbeddedLog;
use crate::bridge::log::Log;
use crate::config::{DurableConfig, Settings};
use crate::outages::Dependency;
use crate::store::Database;
use crate::task::{TaskName, Tasks};

/// The durable half of a node.
pub(crate) struct Durable {
    pub log: Arc<dyn Log>,
    pub sender: Arc<Sender>,
    pub reader: Arc<Reader>,
    pub config: DurableConfig,
    /// This life of this node, as the log knows it.
    pub host: String,
    pub leaving: Arc<Leaving>,
    /// The outboxes of the capabilities that are hosted here.
    outboxes: Mutex<Vec<Arc<Outbox>>>,
    partitions: HashMap<String, u32>,
    is_bridged: bool,
    told_left: AtomicBool,
    env: Env,
    pub tasks: Tasks,
}

impl Durable {
    /// Begins to send and to read; on the node's own thread.
    pub fn start(log: Arc<dyn Log>, settings: &Settings, env: &Env, tasks: &Tasks) -> Arc<Self> {
        let config = settings.durable.clone();
        let own = settings.capabilities.iter().filter(|(_, c)| c.partitions > 0);
        let partitions: HashMap<_, _> = own.map(|(name, c)| (name.clone(), c.partitions)).collect();
        let sender = Arc::new(Sender::start(log.clone(), &config, partitions.clone(), tasks));
        let reader = Reader::start(log.clone(), &config, env.clone(), tasks);
        let host = format!("{}/{}", settings.node.name, env.id());
        let (leaving, outboxes) = (Leaving::new(), Mutex::default());
        let (env, tasks) = (env.clone(), tasks.clone());
        let (is_bridged, told_left) = (!settings.bridge.url.is_empty(), AtomicBool::new(false));
        let durable = Arc::new(Self {
            log,
            sender,
            reader,
            config,
            host,
            leaving,
            outboxes,
            partitions,
            is_bridged,
            told_left,
            env,
            tasks: tasks.clone(),
        });
        // A log of this process alone has lost nothing while nobody looked, and whether its file works is looked at there.
        if durable.is_bridged {
            let (weak, heartbeat) = (Arc::downgrade(&durable), Duration::from_millis(settings.members.heartbeat_ms));
            tasks.restarted(TaskName::of_node("log-check"), move || look_after(weak.clone(), heartbeat));
        }
        durable
    }

    /// Opens the outbox of a capability whose database has been opened; on the node's own thread.
    ///
    /// # Errors
    /// The database's.
    pub async fn outbox(&self, database: &Database) -> Result<Arc<Outbox>, DbErr> {
        let lane: Arc<str> = format!("n/{}", self.host).into();
        let outbox = Outbox::new(self, database.clone(), lane.clone());
        outbox.open(&lane, 0).await?;
        // What earlier lives of this node have left; those of other nodes are the keeper's.
        outbox.adopt(|lane| self.is_own_earlier_life(lane)).await?;
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner).push(outbox.clone());
        Ok(outbox)
    }

    fn is_own_earlier_life(&self, lane: &str) -> bool {
        let node = |of: &str| of.rsplit_once('/').map(|(node, _)| node.to_string());
        lane.strip_prefix("n/").is_some_and(|life| node(life) == node(&self.host))
    }

    /// Waits until what this node's handlers have sent is in the log, or it takes too long: another life relays it then.
    pub async fn flush(&self) {
        let outboxes = self.outboxes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let flushed = join_all(outboxes.iter().map(|outbox| outbox.flushed()));
        let _ = timeout(Duration::from_millis(self.config.send_timeout_ms), flushed).await;
    }

    /// Tells, once, that messages come from another log than before, unless they were taken along.
    pub fn tell_left(&self, log: &str) {
        let taken_along = log.starts_with(EmbeddedLog::KIND) && self.is_bridged;
        if !taken_along && !self.told_left.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                before = log,
                "messages come from another log than before (bridge.url was changed, or Redis was restarted empty): whatever \
                 still waits in the one before, for whichever capability, waits until bridge.url leads there again"
            );
        }
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
