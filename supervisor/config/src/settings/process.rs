//! One process: its files, its threads, its log, its restarts and its drain.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use essaim_base::Backoff;

use super::OtlpConfig;

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
    /// The certificate of the admin listener in PEM, its chain behind it; empty: it speaks HTTP without TLS.
    pub admin_cert: String,
    /// The key of that certificate, in PEM.
    pub admin_key: String,
    /// The authority that signed it, in PEM, whom commands trust; empty: those that the system trusts.
    pub admin_ca: String,
    /// Who sends it as a bearer token may change things at the admin listener, and ask for what is personal; empty: there is
    /// no such token.
    pub operator_token: String,
    /// Tokens of operators by their names, which the audit has.
    pub operators: BTreeMap<String, String>,
    /// Whether `/readyz` stays 200 during an outage of a dependency that other nodes share.
    pub ready_in_outage: bool,
    /// Threads that run actors; 0: one a core.
    pub arbiters: usize,
    /// Whether the runtime's own tasks have a thread beside them.
    pub control_thread: bool,
    /// A handler that blocks its thread for this long is named in the log, and its thread avoided.
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
            admin_cert: String::new(),
            admin_key: String::new(),
            admin_ca: String::new(),
            operator_token: String::new(),
            operators: BTreeMap::new(),
            ready_in_outage: false,
            arbiters: 0,
            control_thread: true,
            watchdog_ms: 1_000,
            blocking_threads: 0,
        }
    }
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// How long acts are kept, in days.
    pub keep_days: u64,
    /// The largest size of the acts that are kept, in bytes, beyond which the oldest go.
    pub max_bytes: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { keep_days: 365, max_bytes: 64 << 20 }
    }
}

/// `[drain]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// How long the gateway keeps serving after `/readyz` turned 503.
    pub announce_ms: u64,
    /// How long running handlers may take before the node exits all the same.
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
    /// Consecutive failed starts of one instance, consecutive panics of all, or consecutive missed deadlines of one, before a
    /// capability is given up.
    pub max_failures: u32,
    /// A handler that is dropped at its deadline counts as a failure if it has run for so long.
    pub missed_deadline_ms: u64,
    /// The longest wait before the second try.
    pub backoff_first_ms: u64,
    /// The longest wait between tries.
    pub backoff_most_ms: u64,
    /// The pause before a capability that was given up is tried again.
    pub failed_retry_ms: u64,
    /// Exit the node, with code 70, when a capability is given up.
    pub exit_when_failed: bool,
}

impl SupervisionConfig {
    /// The pauses before restarts.
    pub fn backoff(&self) -> Backoff {
        let (first, most) = (self.backoff_first_ms, self.backoff_most_ms);
        Backoff { first: Duration::from_millis(first), most: Duration::from_millis(most) }
    }
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        Self {
            max_failures: 30,
            missed_deadline_ms: 1_000,
            backoff_first_ms: 100,
            backoff_most_ms: 10_000,
            failed_retry_ms: 30_000,
            exit_when_failed: false,
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged, in the language of `RUST_LOG`, which wins over it.
    pub filter: String,
    /// `pretty` or `json`.
    pub format: LogFormat,
    /// A handler that runs for this many milliseconds is logged at the level `info`; 0: none is.
    pub slow_ms: u64,
    /// Memory for the last lines of a node, in bytes; 0: none are kept.
    pub ring_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Pretty, slow_ms: 3_000, ring_bytes: 1 << 20 }
    }
}

/// `[trace]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceConfig {
    /// Memory for message records, in bytes for each arbiter; 0: none are kept.
    pub ring_bytes: u64,
    /// How far the records of a busy node should reach back, in seconds: fewer traces are kept where all would not.
    pub ring_seconds: u64,
    /// The record of a handler that runs for this many milliseconds is kept in any case; 0: of none.
    pub slow_ms: u64,
    /// Bytes of a message's payload that its record shows; 0: nothing of it.
    pub payload_bytes: u64,
    /// The node that stores the records of all nodes; empty: a single process its own, and of several nodes none.
    pub store_node: String,
    /// The largest size of the stored records, in bytes, beyond which the oldest go; 0: none are stored.
    pub store_bytes: u64,
    /// How long records are stored, in hours.
    pub store_hours: u64,
    /// Records of each node that are stored in a second, at most.
    pub store_records_per_second: u32,
    /// The pause between two turns of gathering, in milliseconds.
    pub store_interval_ms: u64,
    /// The export of records.
    pub otlp: OtlpConfig,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self {
            ring_bytes: 4 << 20,
            ring_seconds: 60,
            slow_ms: 1_000,
            payload_bytes: 0,
            otlp: OtlpConfig::default(),
            store_node: String::new(),
            store_bytes: 256 << 20,
            store_hours: 24,
            store_records_per_second: 1_000,
            store_interval_ms: 1_000,
        }
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
