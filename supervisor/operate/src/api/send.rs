//! A message that an operator writes as JSON and sends.

use serde::{Deserialize, Serialize};

use super::{ApiRequest, MessageKind, Payload};

/// The longest time that an ask of an operator's may take, in milliseconds.
pub const MOST_TIMEOUT_MS: u64 = 30_000;

/// Whether JSON is a message that could be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckMessage {
    /// The message's wire name.
    pub name: String,
    /// The message as JSON.
    pub json: String,
    /// The capability whose message it has to be; not looked at without one.
    #[serde(default)]
    pub capability: Option<String>,
}

impl ApiRequest for CheckMessage {
    const PATH: &'static str = "/messages/check";
    const IS_PERSONAL: bool = true;
    type Answer = CheckedMessage;
}

/// A message that could be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedMessage {
    /// How it travels.
    pub kind: MessageKind,
    /// Its key; a hash of it if it is personal.
    pub key: Option<String>,
    /// Its size, encoded, in bytes.
    pub bytes: u64,
    /// For an event, the capabilities that get it.
    pub handled_by: Vec<String>,
    /// On whose behalf it would be sent; on nobody's without one.
    pub on_behalf_of: Option<String>,
}

/// JSON is to be sent as a message. It goes the way of all messages from outside actors, on behalf of who sends it if that is
/// known, and the audit says who sent which message with which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The message's wire name.
    pub name: String,
    /// The message as JSON.
    pub json: String,
    /// The capability whose message it has to be; not looked at without one.
    #[serde(default)]
    pub capability: Option<String>,
    /// How long an ask may take, in milliseconds: 1 to [`MOST_TIMEOUT_MS`]; without it `ask.timeout_ms`.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

impl ApiRequest for SendMessage {
    const PATH: &'static str = "/messages/send";
    const IS_PERSONAL: bool = true;
    const CHANGES: bool = true;
    type Answer = SentMessage;
}

/// The outcome of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SentMessage {
    /// How it ended.
    pub outcome: SentOutcome,
    /// The reply or the rejection.
    pub answer: Option<Payload>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// The id of a command or an event, if it is stored or may be.
    pub id: Option<String>,
    /// Its trace, in hexadecimal.
    pub trace: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// How a message of an operator's ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SentOutcome {
    /// It was answered.
    Ok,
    /// The actor ran and said no.
    Rejected,
    /// The actor ran, and nothing was committed.
    Failed,
    /// It surely did not run.
    NotDelivered,
    /// Whether it ran, or is stored, is not known.
    Unknown,
    /// It is stored, and will be applied once.
    Stored,
    /// It surely is not stored.
    NotStored,
}

impl SentOutcome {
    /// The word for it, as people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::NotDelivered => "not delivered",
            Self::Unknown => "unknown",
            Self::Stored => "stored",
            Self::NotStored => "not stored",
        }
    }

    /// Whether the message did, or will do, what it says.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Ok | Self::Stored)
    }
}
