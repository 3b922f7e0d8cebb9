//! Durable messages.

use serde::{Deserialize, Serialize};

/// `[durable]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DurableConfig {
    /// Partitions of a capability that says nothing else.
    pub partitions: u32,
    /// Messages that may wait in one partition.
    pub partition_messages: u64,
    /// A batch of messages is closed when it holds this many bytes.
    pub batch_bytes: usize,
    /// Messages that may wait in this node to be stored.
    pub sends_waiting: usize,
    /// How long storing a message may take.
    pub send_timeout_ms: u64,
    /// Replicas of the log's server that must have a message before it is stored, with `store.durability = "replicated"`.
    pub replicas: u32,
    /// How long they may take.
    pub replicas_timeout_ms: u64,
    /// The interval at which a host renews its lease on its partitions.
    pub tend_ms: u64,
    /// A host not heard for this long loses its partitions, and PostgreSQL ends a transaction that is idle for this long.
    pub lease_ms: u64,
    /// Connections to the bridge on which this node waits for durable messages.
    pub readers: u32,
    /// Messages of one partition that a host has read and not finished.
    pub window: usize,
    /// How long a handler of a durable message may take.
    pub handler_timeout_ms: u64,
    /// Attempts before a message becomes a dead letter.
    pub attempts: u32,
    /// The longest wait before the second attempt.
    pub backoff_first_ms: u64,
    /// The longest wait between two attempts.
    pub backoff_most_ms: u64,
    /// Whether a key goes on after a dead letter.
    pub after_dead: AfterDead,
    /// How long a message's id is remembered.
    pub inbox_retention_hours: u64,
    /// Ids that one capability remembers.
    pub inbox_ids: u64,
    /// How far the clocks of hosts may be apart: ids are remembered for so much longer.
    pub clock_skew_ms: u64,
    /// Events that one capability keeps for those who subscribe later.
    pub kept_events: u64,
    /// Messages that may wait in a capability's outbox before asks may send no more.
    pub outbox_messages: u64,
    /// Events of one lane that wait in their publisher's database for one subscriber.
    pub overflow_messages: u64,
}

impl Default for DurableConfig {
    fn default() -> Self {
        Self {
            partitions: 8,
            partition_messages: 100_000,
            batch_bytes: 64 << 10,
            sends_waiting: 65_536,
            send_timeout_ms: 5_000,
            replicas: 1,
            replicas_timeout_ms: 1_000,
            tend_ms: 250,
            lease_ms: 1_250,
            readers: 32,
            window: 1_024,
            handler_timeout_ms: 30_000,
            attempts: 10,
            backoff_first_ms: 100,
            backoff_most_ms: 60_000,
            after_dead: AfterDead::Continue,
            inbox_retention_hours: 168,
            inbox_ids: 10_000_000,
            clock_skew_ms: 300_000,
            kept_events: 1_000_000,
            outbox_messages: 100_000,
            overflow_messages: 1_000_000,
        }
    }
}

/// What happens to a key's later messages after a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterDead {
    /// They are handled; a later replay is out of order.
    Continue,
    /// They wait until the dead letter is replayed or dropped.
    Hold,
}
