//! Status: what `/status` of the admin listener and of the gateway show of a node, and of the others as they see themselves.
//!
//! All of it is read as well as written: nodes read each other's, and commands a node's. That may be of another version, or a
//! gateway's, which hides a part: what is not known is ignored, and what is missing is as if there were none.
//!
//! # Layout
//! - `member`: the other nodes as their heartbeats show them; `others`: what they report of themselves.

mod member;
pub(crate) mod others;

pub use self::member::{AbsentStatus, MemberCapability, MemberStatus};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::outages::OutageStatus;
use essaim_base::task::TaskStatus;
use essaim_core::api::client::Client;
use essaim_core::local::host::Host;
use essaim_core::local::supervision::Health;
use essaim_core::local::watchdog::BlockingHandler;
use essaim_core::node::bus::Bus;
use essaim_core::node::readiness::Readiness;
use essaim_near::NearFigures;
use essaim_protocol::keys::Distrusted;
use essaim_remote::RefusedFrames;
use essaim_store::DatabaseReport;
use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::api::{DurableReport, MessageCounts};
use crate::host::report;

/// A log that does not answer for this long is shown without a report, and a database is told not to answer.
const REPORT_LIMIT: Duration = Duration::from_secs(1);

/// One node, as it sees itself and hears the others.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Its epoch on the bridge; `null` without one.
    pub epoch: Option<u64>,
    /// The identity of its cluster; `null` without a bridge.
    pub cluster: Option<String>,
    /// The version of its binary.
    pub version: String,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Whether it has begun to leave.
    pub draining: bool,
    /// Why it is not ready, or would not be if others did not depend on the same; empty if nothing is wrong.
    pub reasons: Vec<String>,
    /// What it depends on and does not work now.
    pub outages: Vec<OutageStatus>,
    /// What it hosts.
    pub capabilities: BTreeMap<String, CapabilityStatus>,
    /// The near cache.
    pub near: NearFigures,
    /// How often a handler was found blocking its arbiter.
    pub blocked_arbiters: u64,
    /// The handlers that block their arbiters now.
    pub blocking: Vec<BlockingStatus>,
    /// Frames from the wire that could not be read.
    pub unreadable_frames: u64,
    /// Frames from the wire that no node of the cluster can have made, or that came before, by reason.
    pub refused_frames: RefusedFrames,
    /// Stored messages that no node of the cluster has stored, by reason.
    pub refused_messages: Distrusted,
    /// The runtime's own tasks.
    pub tasks: Vec<TaskStatus>,
    /// The other nodes, as this one hears them, each with its own report.
    pub members: Vec<MemberStatus>,
    /// Nodes that this one has heard in the last ten minutes and that are no members now.
    pub absent: Vec<AbsentStatus>,
}

/// A handler that keeps its thread, on which everything else waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockingStatus {
    /// The arbiter.
    pub arbiter: String,
    /// The wire name of what it handles.
    pub handler: String,
    /// For how many milliseconds.
    pub blocked_ms: u64,
}

/// One capability of this node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CapabilityStatus {
    /// `starting`, `running` or `failed`, and why.
    #[serde(flatten)]
    pub health: Health,
    /// Instances.
    pub instances: usize,
    /// Instances that are up.
    pub up: usize,
    /// Messages admitted and not done: the depth of its queues.
    pub admitted: u32,
    /// Messages that may be admitted.
    pub limit: u32,
    /// Restarts of instances.
    pub restarts: u64,
    /// Panics of handlers.
    pub panics: u64,
    /// Handlers that were dropped at their deadline.
    pub missed_deadlines: u64,
    /// Outcomes and times of its messages in this node.
    pub messages: MessageCounts,
    /// Where its durable messages are; `null` if it has none, or nobody says.
    pub durable: Option<DurableReport>,
    /// Its database; `null` if it has none, or none that answers.
    pub database: Option<DatabaseReport>,
    /// The capability's own figures.
    pub figures: serde_json::Value,
}

impl NodeStatus {
    /// The status of a client's node with the others' own reports.
    pub async fn of(client: &Client) -> Self {
        Self::of_bus(client.bus()).await
    }

    pub(crate) async fn of_bus(bus: &Bus) -> Self {
        let (mut own, members) = join(Self::own(bus), others::reports(bus)).await;
        own.members = members;
        own
    }

    /// This node's own report, and those of the other nodes that give one.
    pub fn reports(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.members.iter().filter_map(|member| member.report.as_deref()))
    }

    /// This node's status without the others.
    async fn own(bus: &Bus) -> Self {
        let now = bus.env.now();
        // All at once: a log or a server that is silent is waited for once.
        let asked = bus.hosts().iter().map(async |host| (host.name.to_string(), capability(bus, host).await));
        let capabilities = join_all(asked).await.into_iter().collect();
        let remote = bus.remote();
        Self {
            node: bus.settings.node.name.clone(),
            epoch: remote.map(|r| r.identity().epoch),
            cluster: remote.map(|r| r.identity().cluster.clone()).filter(|cluster| !cluster.is_empty()),
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: now.saturating_duration_since(bus.started).as_millis() as u64,
            draining: bus.is_draining(),
            reasons: Readiness::of(bus).reasons,
            outages: bus.tasks.outages().status(),
            capabilities,
            near: bus.near.figures(),
            blocked_arbiters: bus.watchdog.blocked(),
            blocking: bus.watchdog.blocking().into_iter().map(BlockingStatus::from).collect(),
            unreadable_frames: remote.map_or(0, |r| r.unreadable()),
            refused_frames: remote.map(|r| r.refused()).unwrap_or_default(),
            refused_messages: bus.durable().map(|d| d.trust.refused()).unwrap_or_default(),
            tasks: bus.tasks.status(),
            members: Vec::new(),
            absent: remote.map(|r| AbsentStatus::all(r.members(), now)).unwrap_or_default(),
        }
    }
}

impl From<BlockingHandler> for BlockingStatus {
    fn from(BlockingHandler { arbiter, handler, blocked }: BlockingHandler) -> Self {
        Self { arbiter, handler: handler.to_string(), blocked_ms: blocked.as_millis() as u64 }
    }
}

async fn capability(bus: &Bus, host: &Arc<Host>) -> CapabilityStatus {
    let durable = timeout(REPORT_LIMIT, report(bus.durable(), host)).await.ok().flatten();
    let database = match host.database() {
        Some(database) => Some(database.report(REPORT_LIMIT).await),
        None => None,
    };
    CapabilityStatus {
        health: host.supervision.health(),
        instances: host.instances().len(),
        up: host.instances_up(),
        admitted: host.admitted(),
        limit: host.limit(),
        restarts: host.supervision.restarts(),
        panics: host.supervision.panics(),
        missed_deadlines: host.supervision.missed_deadlines(),
        messages: MessageCounts::of(host.entries().iter().map(|entry| &entry.info().measures)),
        durable,
        database,
        figures: host.status(),
    }
}

#[cfg(test)]
mod tests {
    use essaim_base::codec;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_status_is_read_as_it_was_written_on_the_wire_and_as_json() {
        let failed = Health::Failed { reason: "no database".into() };
        let capabilities = [failed, Health::Running, Health::default()].map(|health| CapabilityStatus {
            health,
            durable: Some(DurableReport { partitions: vec![3], ..DurableReport::default() }),
            database: Some(DatabaseReport { location: "shop".into(), ..DatabaseReport::default() }),
            figures: json!({ "keys": [1, 2.5, null] }),
            ..CapabilityStatus::default()
        });
        let capabilities = ["a", "b", "c"].map(String::from).into_iter().zip(capabilities).collect();
        let outages = vec![OutageStatus { cause: "refused".into(), shared: true, ..OutageStatus::default() }];
        let shop = NodeStatus { node: "shop".into(), epoch: Some(7), capabilities, outages, ..NodeStatus::default() };
        let report = Some(Box::new(shop));
        let members = vec![MemberStatus { node: "shop".into(), report, ..MemberStatus::default() }];
        let front = NodeStatus { node: "front".into(), members, ..NodeStatus::default() };
        let written = json!(front);
        assert_eq!(written["members"][0]["report"]["capabilities"]["a"]["reason"], "no database");
        let of_json: NodeStatus = serde_json::from_value(written.clone()).unwrap();
        let of_wire: NodeStatus = codec::decode(&codec::encode(&front).unwrap()).unwrap();
        assert_eq!((json!(of_json), json!(of_wire)), (written.clone(), written.clone()));
        // As nodes wrote it that made JSON of it first.
        let of_value: NodeStatus = codec::decode(&codec::encode(&written).unwrap()).unwrap();
        assert_eq!(json!(of_value), written);
    }

    #[test]
    fn what_another_version_writes_more_or_less_of_does_not_hinder() {
        let mut written = json!(NodeStatus { node: "front".into(), ..NodeStatus::default() });
        written["members"] = json!([{ "node": "shop", "planet": "earth" }]);
        written["capabilities"] = json!({ "users": { "state": "failed", "durable": {}, "database": {} } });
        let fields = written.as_object_mut().unwrap();
        fields.retain(|name, _| ["node", "members", "capabilities"].contains(&&**name));
        fields.insert("planet".into(), Value::Null);
        let status: NodeStatus = serde_json::from_value(written).unwrap();
        assert_eq!((&*status.node, &*status.members[0].node), ("front", "shop"));
        let users = &status.capabilities["users"];
        assert_eq!(users.health, Health::Failed { reason: String::new() });
        assert!(users.durable.as_ref().is_some_and(|durable| durable.ledger.balances));
    }
}
