//! Outages: the dependencies of this node that do not work now, each with its cause.
//!
//! The part that uses a dependency reports here that it has stopped working, and that it works again. An outage is one line of
//! the log when it begins and one when it ends, a reason in `/readyz`, and a row of `/status`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::Env;
use crate::lock::{Mutex, MutexGuard};

/// Something without which a node, or a capability of it, does not work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    what: &'static str,
    capability: Option<Arc<str>>,
    is_shared: bool,
    /// Its name in metrics.
    label: &'static str,
}

impl Dependency {
    /// The connection that carries frames between nodes.
    pub fn wire() -> Self {
        Self { what: "the wire", capability: None, is_shared: true, label: "wire" }
    }

    /// The node's own inbox on the wire.
    pub fn inbox() -> Self {
        Self { what: "the inbox", capability: None, is_shared: true, label: "inbox" }
    }

    /// The receiver of exported message records, without which a node works as well.
    pub fn span_receiver() -> Self {
        Self { what: "the receiver of message records", capability: None, is_shared: true, label: "records" }
    }

    /// The file of gathered message records, which only operators read.
    pub fn records() -> Self {
        Self { what: "the store of message records", capability: None, is_shared: false, label: "stored_records" }
    }

    /// The audit of what operators change, without which only they do not.
    pub fn audit() -> Self {
        Self { what: "the audit", capability: None, is_shared: false, label: "audit" }
    }

    /// The claims by which the node has its name and its capabilities to itself.
    pub fn lease() -> Self {
        Self { what: "the lease", capability: None, is_shared: true, label: "lease" }
    }

    /// The log of durable messages: of a bridge, which all nodes share, or a file of this node.
    pub fn log(is_bridged: bool) -> Self {
        Self { what: "the log", capability: None, is_shared: is_bridged, label: "log" }
    }

    /// A capability's partitions of the log.
    pub fn partitions(capability: &str) -> Self {
        Self {
            what: "the work on the partitions",
            capability: Some(capability.into()),
            is_shared: true,
            label: "partitions",
        }
    }

    /// The log's connection for appends that wait for replicas.
    pub fn appends() -> Self {
        Self { what: "storing in the log", capability: None, is_shared: true, label: "appends" }
    }

    /// The replicas of the log's server that have to confirm what is stored.
    pub fn replicas() -> Self {
        Self { what: "the replication of the log", capability: None, is_shared: true, label: "replicas" }
    }

    /// The database of a capability: on a server, which its other hosts share, or a file of this node.
    pub fn database(capability: &str, is_server: bool) -> Self {
        Self { what: "the database", capability: Some(capability.into()), is_shared: is_server, label: "database" }
    }

    /// Whether a node does not work as it should without it.
    fn is_needed(&self) -> bool {
        ![Self::span_receiver(), Self::records(), Self::audit()].contains(self)
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.capability {
            Some(capability) => write!(f, "{} of `{capability}`", self.what),
            None => f.write_str(self.what),
        }
    }
}

/// The outages of one node. Cheap to clone.
#[derive(Clone)]
pub struct Outages(Arc<Inner>);

struct Inner {
    env: Env,
    /// Bounded by the kinds of dependencies of each capability.
    current: Mutex<BTreeMap<Dependency, OngoingOutage>>,
}

struct OngoingOutage {
    cause: String,
    since: Instant,
}

/// A dependency that does not work now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutageStatus {
    /// Its name, such as ``the database of `orders` ``.
    pub dependency: String,
    /// The cause that was last reported.
    pub cause: String,
    /// For how many milliseconds it has not worked.
    pub since_ms: u64,
    /// Whether other nodes depend on it too.
    pub shared: bool,
    /// Whether the node is not ready without it.
    #[serde(skip)]
    pub is_needed: bool,
    /// The kind of dependency, as metrics name it.
    #[serde(skip)]
    pub label: &'static str,
    /// The capability that it belongs to, if it belongs to one.
    #[serde(skip)]
    pub capability: Option<Arc<str>>,
}

impl Outages {
    /// No outages; `env` has the clock.
    pub fn new(env: Env) -> Self {
        Self(Arc::new(Inner { env, current: Mutex::default() }))
    }

    /// Reports that a dependency does not work: the first report is the beginning of its outage, later ones renew the cause.
    pub fn begin(&self, dependency: Dependency, cause: impl Into<String>) {
        let (cause, since) = (cause.into(), self.0.env.now());
        let mut current = self.current();
        if let Some(current) = current.get_mut(&dependency) {
            current.cause = cause;
            return;
        }
        tracing::warn!(cause, "{dependency} does not work");
        current.insert(dependency, OngoingOutage { cause, since });
    }

    /// Reports that a dependency works.
    pub fn end(&self, dependency: &Dependency) {
        if let Some(OngoingOutage { cause, since }) = self.current().remove(dependency) {
            let outage_ms = self.0.env.now().saturating_duration_since(since).as_millis() as u64;
            tracing::info!(outage_ms, cause, "{dependency} works again");
        }
    }

    /// Whether a dependency does not work now.
    pub fn has(&self, dependency: &Dependency) -> bool {
        self.current().contains_key(dependency)
    }

    /// All of them, by dependency.
    pub fn status(&self) -> Vec<OutageStatus> {
        let now = self.0.env.now();
        let status = |(dependency, current): (&Dependency, &OngoingOutage)| OutageStatus {
            dependency: dependency.to_string(),
            cause: current.cause.clone(),
            since_ms: now.saturating_duration_since(current.since).as_millis() as u64,
            shared: dependency.is_shared,
            is_needed: dependency.is_needed(),
            label: dependency.label,
            capability: dependency.capability.clone(),
        };
        self.current().iter().map(status).collect()
    }

    fn current(&self) -> MutexGuard<'_, BTreeMap<Dependency, OngoingOutage>> {
        self.0.current.lock()
    }
}

impl OutageStatus {
    /// The outage as a reason for not being ready.
    pub fn reason(&self) -> String {
        format!("{} does not work: {}", self.dependency, self.cause)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_lasts_from_its_first_report_until_its_end_and_tells_the_last_cause() {
        let outages = Outages::new(Env::system());
        let database = || Dependency::database("orders", true);
        outages.end(&database());
        outages.begin(database(), "connection refused");
        outages.begin(Dependency::log(false), "the disk is full");
        tokio::time::advance(Duration::from_secs(3)).await;
        outages.begin(database(), "it is starting up");
        let shown = outages.status();
        let reasons: Vec<_> = shown.iter().map(OutageStatus::reason).collect();
        let expected =
            ["the database of `orders` does not work: it is starting up", "the log does not work: the disk is full"];
        assert_eq!(reasons, expected);
        assert_eq!((shown[0].since_ms, shown[0].shared, shown[1].shared), (3_000, true, false));
        outages.end(&database());
        assert!(!outages.has(&database()) && outages.has(&Dependency::log(false)));
    }
}
