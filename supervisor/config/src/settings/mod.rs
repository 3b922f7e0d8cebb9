//! The runtime's own sections of the configuration; `config/default.toml` gives every key its unit and meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod data;
pub use data::{Durability, NearConfig, StoreConfig};

mod durable;
pub use durable::{AfterDead, DurableConfig};

mod cluster;
pub use cluster::{AskConfig, BridgeConfig, MembersConfig, ParityConfig, Unsigned, WireConfig};

mod otlp;
pub use otlp::{NoPairs, OtlpConfig, OtlpProtocol, pairs};

mod process;
pub use process::{AuditConfig, DrainConfig, LogConfig, LogFormat, NodeConfig, SupervisionConfig, TraceConfig};

/// The runtime's own settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// This process.
    pub node: NodeConfig,
    /// The connection between nodes.
    pub bridge: BridgeConfig,
    /// Asks.
    pub ask: AskConfig,
    /// Frames between nodes.
    pub wire: WireConfig,
    /// Heartbeats and leases.
    pub members: MembersConfig,
    /// Who changed what.
    pub audit: AuditConfig,
    /// The end of a node.
    pub drain: DrainConfig,
    /// Restarts of capabilities and tasks.
    pub supervision: SupervisionConfig,
    /// Databases.
    pub store: StoreConfig,
    /// Durable messages.
    pub durable: DurableConfig,
    /// The near cache.
    pub near: NearConfig,
    /// The single-process test of distribution.
    pub parity: ParityConfig,
    /// Logs.
    pub log: LogConfig,
    /// Message records.
    pub trace: TraceConfig,
    /// The runtime's settings of each capability, by name.
    pub capabilities: BTreeMap<String, CapabilityConfig>,
    /// The nodes of a topology, by name.
    pub nodes: BTreeMap<String, TopologyNode>,
}

impl Settings {
    /// The node that stores the message records of all nodes; `None` if none does.
    pub fn store_node(&self) -> Option<&str> {
        let is_alone = self.bridge.url.is_empty();
        let named = Some(&*self.trace.store_node).filter(|node| !node.is_empty());
        named.or_else(|| is_alone.then_some(&*self.node.name)).filter(|_| self.trace.store_bytes > 0)
    }
}

/// `[capabilities.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapabilityConfig {
    /// `postgres://…`, `sqlite://PATH` or empty: a SQLite file of its own under `node.data_dir`.
    pub database: String,
    /// Instances in each node; 0: 32 with a database, else one for each arbiter.
    pub instances: usize,
    /// Messages admitted at a time in each node, waiting and running; 0: 1,024.
    pub mailbox: u32,
    /// Of these, messages of one key; 0: half of them.
    pub mailbox_per_key: u32,
    /// Partitions of its durable messages; 0: `durable.partitions`. It cannot be changed while messages wait.
    pub partitions: u32,
}

/// `[nodes.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopologyNode {
    /// The capabilities that the node hosts.
    pub hosts: Vec<String>,
    /// Keys that are different in this node, such as `"gateway.listen" = "127.0.0.1:8081"`.
    pub set: BTreeMap<String, toml::Value>,
}
