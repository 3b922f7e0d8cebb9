//! Parked messages: those that have left the log and are not finished.

use serde::{Deserialize, Serialize};

use super::{ApiRequest, Away};

/// Most parked messages that one question lists of each capability, or has tried.
pub const MOST_PARKED: u32 = 500;

/// Which parked messages there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListParked {
    /// Only those of this capability.
    pub capability: Option<String>,
    /// At most so many of each capability; 0 and too many: [`MOST_PARKED`].
    pub most: u32,
}

impl ApiRequest for ListParked {
    const PATH: &'static str = "/durable/parked/list";
    type Answer = ParkedMessages;
}

/// Parked messages, by capability, partition and place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ParkedMessages {
    /// The messages.
    pub messages: Vec<ParkedLine>,
    /// Whether a capability has more than were asked for.
    pub more: bool,
    /// Capabilities that did not answer.
    pub away: Vec<Away>,
    /// When it was asked, in milliseconds since 1970.
    pub asked_at_ms: u64,
}

/// A parked message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedLine {
    /// Its id.
    pub id: String,
    /// Whose message it is.
    pub capability: String,
    /// Its wire name; empty if it cannot be read.
    pub name: String,
    /// In which partition.
    pub partition: u32,
    /// Its number there.
    pub seq: u64,
    /// The key that orders it; its own id if it has none.
    pub key: String,
    /// Failed attempts.
    pub attempts: u32,
    /// When it is tried next, if nothing of its key is before it, in milliseconds since 1970; 0: at once.
    pub due_ms: u64,
    /// Why the last attempt failed; none if it was not tried yet.
    pub error: Option<String>,
    /// The id of the message of its key that it waits for.
    pub behind: Option<String>,
    /// Whether its key is on hold until a dead letter of it is replayed or dropped.
    #[serde(default)]
    pub held: bool,
}

/// Parked messages are to be tried now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryParked {
    /// Their ids.
    pub ids: Vec<String>,
}

impl ApiRequest for RetryParked {
    const PATH: &'static str = "/durable/parked/retry";
    const CHANGES: bool = true;
    type Answer = RetriedParked;
}

/// The outcome of trying parked messages now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetriedParked {
    /// Those whose owners are asked to try them.
    pub ids: Vec<String>,
    /// Capabilities that did not answer.
    pub away: Vec<Away>,
}
