//! The connection between nodes, and the timeouts of asks.

use serde::{Deserialize, Serialize};

/// `[bridge]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeConfig {
    /// `redis://…` or `rediss://…`; empty: embedded, one process.
    pub url: String,
    /// Separates clusters that share a server; the prefix of every channel and key.
    pub namespace: String,
    /// The secret of the cluster, which signs frames and stored messages; empty: nothing is signed.
    pub secret: String,
    /// Secrets that are believed too, and sign nothing.
    pub old_secrets: Vec<String>,
    /// What is done with what no secret of this node has signed, where there is one.
    pub unsigned: Unsigned,
    /// The longest life of a connection to the server.
    pub connection_life_ms: u64,
    /// The authority that signed the server's certificate, in PEM; empty: the public ones.
    pub ca: String,
    /// The certificate by which the server knows this node, in PEM, its chain behind it; empty: none.
    pub cert: String,
    /// The key of that certificate, in PEM.
    pub key: String,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            namespace: "essaim".into(),
            secret: String::new(),
            old_secrets: Vec::new(),
            unsigned: Unsigned::Refuse,
            connection_life_ms: 600_000,
            ca: String::new(),
            cert: String::new(),
            key: String::new(),
        }
    }
}

/// What a cluster with a secret does with what is not signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsigned {
    /// It is refused.
    #[default]
    Refuse,
    /// It is believed, as without a secret: while nodes get one, or after one was lost.
    Accept,
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
    /// Retries that may be saved up, and that a node begins with.
    pub retry_reserve: u32,
}

impl Default for AskConfig {
    fn default() -> Self {
        Self { timeout_ms: 5_000, local_first: true, retry_percent: 10, retry_reserve: 1_000 }
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
    /// Numbers of frames remembered for each sender, to refuse those that are played again.
    pub duplicate_frames: usize,
    /// Senders of which such numbers are remembered.
    pub senders: usize,
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
    /// Taken off the deadline of an ask that came over the wire, so that its answer arrives in time.
    pub deadline_margin_ms: u64,
}

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 << 20,
            frame_bytes: 16 << 10,
            window_bytes: 8 << 20,
            queue_bytes: 16 << 20,
            duplicate_ids: 16_384,
            duplicate_frames: 1_024,
            senders: 1_024,
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
    /// The interval of a node's heartbeats.
    pub heartbeat_ms: u64,
    /// A node not heard for this long gets no new asks.
    pub silent_ms: u64,
    /// A node not heard for this long is lost, and its name is free.
    pub lease_ms: u64,
    /// The most nodes that are remembered as refused.
    pub refused_nodes: u32,
}

impl Default for MembersConfig {
    fn default() -> Self {
        Self { heartbeat_ms: 500, silent_ms: 1_500, lease_ms: 5_000, refused_nodes: 64 }
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
