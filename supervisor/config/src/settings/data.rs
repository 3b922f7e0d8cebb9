//! Databases and the near cache.

use serde::{Deserialize, Serialize};

/// `[store]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// How long one transaction may be open.
    pub transaction_limit_ms: u64,
    /// What a commit survives: `process` (kill -9), `machine` (power loss), or `replicated` (what is in the log also survives
    /// its server).
    pub durability: Durability,
    /// The most connections of one capability's pool to PostgreSQL.
    pub postgres_connections: u32,
    /// The most connections of all capabilities in this node to PostgreSQL.
    pub node_connections: u32,
    /// How long a connection to PostgreSQL may be idle before it is closed, unless it is its capability's last one.
    pub idle_connection_ms: u64,
    /// Connections of one capability's pool that read from SQLite, beside the one that writes.
    pub sqlite_readers: u32,
    /// How long to wait for a connection of the pool.
    pub acquire_timeout_ms: u64,
    /// The longest pause before a database that is down is tried again.
    pub recheck_first_ms: u64,
    /// The longest pause between two such tries.
    pub recheck_most_ms: u64,
    /// The longest life of a connection to PostgreSQL.
    pub connection_life_ms: u64,
    /// The interval at which the file of a SQLite database is checked at its path; each write checks it too.
    pub file_check_ms: u64,
    /// How long bringing a schema up to date may take, waiting for another node's migration included.
    pub migration_limit_ms: u64,
    /// Prepared statements that each connection keeps.
    pub statement_cache: usize,
    /// The most transactions that share one commit on SQLite.
    pub group_commit_max: u32,
    /// How long the first of them may wait for others that have not ended.
    pub group_commit_ms: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            transaction_limit_ms: 5_000,
            durability: Durability::Process,
            postgres_connections: 16,
            node_connections: 24,
            idle_connection_ms: 30_000,
            sqlite_readers: 4,
            acquire_timeout_ms: 5_000,
            recheck_first_ms: 100,
            recheck_most_ms: 2_000,
            connection_life_ms: 600_000,
            file_check_ms: 500,
            migration_limit_ms: 600_000,
            statement_cache: 256,
            group_commit_max: 64,
            group_commit_ms: 10,
        }
    }
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The end of the process, by kill -9 too.
    Process,
    /// The loss of power.
    Machine,
    /// That, and of what is in the log the loss of the log's server, where a replica takes its place.
    Replicated,
}

impl Durability {
    /// As it stands in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Machine => "machine",
            Self::Replicated => "replicated",
        }
    }
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
