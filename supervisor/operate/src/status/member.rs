//! The other nodes as `/status` shows them.

use std::collections::BTreeMap;

use essaim_protocol::frame::{HostReport, NodeState};
use essaim_remote::{Absence, Members, Peer};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::NodeStatus;

/// A node as `/status` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberStatus {
    /// The node's name.
    pub node: String,
    /// The node's epoch.
    pub epoch: u64,
    /// The version of its binary.
    pub version: String,
    /// `ready` or `draining`.
    pub state: NodeState,
    /// Milliseconds since it was last heard.
    pub heard_ms_ago: u64,
    /// The capabilities that it hosts, as its heartbeats report them.
    pub capabilities: BTreeMap<String, MemberCapability>,
    /// The node's own report, on request: the same as its `/status`, without its members.
    pub report: Option<Box<NodeStatus>>,
    /// Why there is no report.
    pub problem: Option<String>,
}

/// A capability of another node as `/status` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberCapability {
    /// Whether it takes asks.
    pub running: bool,
    /// Messages admitted and not done.
    pub load: u32,
    /// Messages that may be admitted.
    pub limit: u32,
    /// Instances.
    pub instances: u32,
    /// Instances that are up.
    pub up: u32,
    /// Restarts of instances.
    pub restarts: u64,
}

/// A node that was heard and is no member now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AbsentStatus {
    /// The node's name.
    pub node: String,
    /// The capabilities that it hosted.
    pub hosted: Vec<String>,
    /// For how many milliseconds it is no member.
    pub absent_ms: u64,
    /// Whether the others refuse it, since with it asks would go round.
    pub refused: bool,
    /// Why it is no member, in words.
    pub why: String,
}

impl AbsentStatus {
    pub(crate) fn all(members: &Members, now: Instant) -> Vec<Self> {
        let absent = members.absent(now).into_iter();
        let status = |(node, absent): (String, essaim_remote::AbsentNode)| Self {
            node,
            hosted: absent.hosted,
            absent_ms: now.saturating_duration_since(absent.since).as_millis() as u64,
            refused: matches!(absent.absence, Absence::Refused(_)),
            why: match absent.absence {
                Absence::Left => "it has left".into(),
                Absence::Lost => "it was lost: it was killed, stands still, or is cut off".into(),
                Absence::Refused(cycle) => format!(
                    "the others refuse it, so it ends: with it asks would go round in a cycle, {}",
                    cycle.join(" -> ")
                ),
            },
        };
        absent.map(status).collect()
    }
}

impl MemberStatus {
    /// The node as its last heartbeat shows it.
    pub(super) fn of(peer: &Peer, now: Instant) -> Self {
        let heartbeat = peer.heartbeat();
        let capabilities = heartbeat.capabilities.iter().map(|(name, host)| {
            let HostReport { running, load, limit, instances, up, restarts, .. } = *host;
            (name.clone(), MemberCapability { running, load, limit, instances, up, restarts })
        });
        Self {
            node: peer.name.to_string(),
            epoch: peer.epoch,
            version: heartbeat.version.clone(),
            state: heartbeat.state,
            heard_ms_ago: now.saturating_duration_since(peer.heard_at()).as_millis() as u64,
            capabilities: capabilities.collect(),
            report: None,
            problem: None,
        }
    }
}
