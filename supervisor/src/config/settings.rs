//! The runtime's own sections of the configuration; `config/default.toml` gives every key its unit and meaning.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All that a node is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// This process.
    pub node: NodeConfig,
    /// What connects the nodes.
    pub bridge: BridgeConfig,
    /// Asks.
    pub ask: AskConfig,
    /// Frames between nodes.
    pub wire: WireConfig,
    /// Who is alive.
    pub members: MembersConfig,
    /// Leaving.
    pub drain: DrainConfig,
    /// Restarting.
    pub supervision: SupervisionConfig,
    /// Databases.
    pub store: StoreConfig,
    /// The near cache.
    pub near: NearConfig,
    /// The single-process test of distribution.
    pub parity: ParityConfig,
    /// Logs.
    pub log: LogConfig,
    /// What the runtime is told about each capability, by name.
    pub capabilities: BTreeMap<String, CapabilityConfig>,
    /// The nodes of a topology, by name.
    pub nodes: BTreeMap<String, TopologyNode>,
}

/// `[node]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// The node's name, unique in the cluster.
    pub name: String,
    /// Where databases and locks live.
    pub data_dir: PathBuf,
    /// The address of the admin listener; empty: none.
    pub admin_listen: String,
    /// Threads that run actors; 0: one a core.
    pub arbiters: usize,
    /// A handler that blocks its thread for this long is named in the log.
    pub watchdog_ms: u64,
    /// Long computations at a time (`cx.blocking`); 0: one a core.
    pub blocking_threads: usize,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: "main".into(),
            data_dir: "data".into(),
            admin_listen: String::new(),
            arbiters: 0,
            watchdog_ms: 1_000,
            blocking_threads: 0,
        }
    }
}

/// `[bridge]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeConfig {
    /// `redis://…` or `rediss://…`; empty: embedded, one process.
    pub url: String,
    /// Separates clusters that share a server; the prefix of every channel and key.
    pub namespace: String,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self { url: String::new(), namespace: "essaim".into() }
    }
}

/// `[ask]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AskConfig {
    /// How long an ask may take when its caller does not say.
    pub timeout_ms: u64,
    /// Prefer a capability hosted in the same node.
    pub local_first: bool,
    /// Retries as a share of all asks, in percent.
    pub retry_percent: u32,
    /// Retries that are always allowed, so that little traffic can retry at all.
    pub retry_reserve: u32,
}

impl Default for AskConfig {
    fn default() -> Self {
        Self { timeout_ms: 5_000, local_first: true, retry_percent: 10, retry_reserve: 10 }
    }
}

/// `[wire]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WireConfig {
    /// The largest message body.
    pub max_message_bytes: u64,
    /// A frame is closed when it holds this many bytes.
    pub frame_bytes: u64,
    /// Bytes that one sender may have on the way to this node, unread.
    pub window_bytes: u64,
    /// Bytes that may wait in this node for one receiver.
    pub queue_bytes: u64,
    /// Message ids remembered for each sender, to drop repetitions.
    pub duplicate_ids: usize,
    /// How often the node pings its own inbox through the wire.
    pub ping_interval_ms: u64,
    /// A ping not heard for this long means the inbox is deaf: subscribe anew.
    pub ping_timeout_ms: u64,
    /// The longest wait for one answer of the server.
    pub response_timeout_ms: u64,
    /// The longest wait before the second try to connect.
    pub reconnect_first_ms: u64,
    /// The longest wait between tries to connect.
    pub reconnect_most_ms: u64,
    /// Taken off the deadline of an ask that came over the wire, so that its answer is there in time.
    pub deadline_margin_ms: u64,
}

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 << 20,
            frame_bytes: 256 << 10,
            window_bytes: 8 << 20,
            queue_bytes: 16 << 20,
            duplicate_ids: 65_536,
            ping_interval_ms: 500,
            ping_timeout_ms: 2_000,
            response_timeout_ms: 2_000,
            reconnect_first_ms: 50,
            reconnect_most_ms: 1_000,
            deadline_margin_ms: 5,
        }
    }
}

/// `[members]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MembersConfig {
    /// How often a node says that it is there.
    pub heartbeat_ms: u64,
    /// A node not heard for this long gets no new asks.
    pub silent_ms: u64,
    /// A node not heard for this long is lost, and its name is free.
    pub lease_ms: u64,
}

impl Default for MembersConfig {
    fn default() -> Self {
        Self { heartbeat_ms: 500, silent_ms: 1_500, lease_ms: 5_000 }
    }
}

/// `[drain]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// How long the gateway keeps serving after `/readyz` turned 503.
    pub announce_ms: u64,
    /// How long what is under way may take before the node exits all the same.
    pub timeout_ms: u64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { announce_ms: 500, timeout_ms: 30_000 }
    }
}

/// `[supervision]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisionConfig {
    /// Failed starts and consecutive panics before a capability is given up.
    pub max_failures: u32,
    /// The longest wait before the second try.
    pub backoff_first_ms: u64,
    /// The longest wait between tries.
    pub backoff_most_ms: u64,
    /// How long a capability that was given up rests before it is tried again.
    pub failed_retry_ms: u64,
    /// Exit the node, with code 70, when a capability is given up.
    pub exit_when_failed: bool,
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        Self {
            max_failures: 30,
            backoff_first_ms: 100,
            backoff_most_ms: 10_000,
            failed_retry_ms: 30_000,
            exit_when_failed: false,
        }
    }
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// How long one transaction may be open.
    pub transaction_limit_ms: u64,
    /// What a commit survives: `process` (kill -9) or `machine` (power loss).
    pub durability: Durability,
    /// Connections of one capability's pool to PostgreSQL.
    pub postgres_connections: u32,
    /// Connections of one capability's pool that read from SQLite, beside the one that writes.
    pub sqlite_readers: u32,
    /// How long to wait for a connection of the pool.
    pub acquire_timeout_ms: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            transaction_limit_ms: 5_000,
            durability: Durability::Process,
            postgres_connections: 16,
            sqlite_readers: 4,
            acquire_timeout_ms: 5_000,
        }
    }
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The end of the process, by kill -9 too.
    Process,
    /// The loss of power.
    Machine,
}

/// `[near]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NearConfig {
    /// How long an entry is kept.
    pub ttl_ms: u64,
    /// The most bytes kept in one node.
    pub max_bytes: u64,
}

impl Default for NearConfig {
    fn default() -> Self {
        Self { ttl_ms: 60_000, max_bytes: 64 << 20 }
    }
}

/// `[parity]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParityConfig {
    /// Send every message through the wire codec, as if each capability were another node.
    pub enabled: bool,
    /// The most that a frame is delayed.
    pub delay_ms: u64,
    /// Frames delivered twice, in percent.
    pub duplicate_percent: f64,
    /// Frames lost, in percent.
    pub loss_percent: f64,
    /// Seeds delay, duplication and loss.
    pub seed: u64,
}

impl Default for ParityConfig {
    fn default() -> Self {
        Self { enabled: false, delay_ms: 0, duplicate_percent: 0.0, loss_percent: 0.0, seed: 1 }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged, in the language of `RUST_LOG`, which wins over it.
    pub filter: String,
    /// `auto` (pretty on a terminal, JSON elsewhere), `pretty` or `json`.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Pretty }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
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
