//! What capabilities take: their messages, with their forms.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiRequest, AwayNode};

/// Which messages the capabilities of all nodes take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListMessages {
    /// Only those that this capability handles or declares.
    pub capability: Option<String>,
}

impl ApiRequest for ListMessages {
    const PATH: &'static str = "/messages/list";
    type Answer = Messages;
}

/// The messages that capabilities take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// By wire name; one that nodes of different versions declare differently is there once for each form.
    pub messages: Vec<DeclaredMessage>,
    /// Nodes that did not answer.
    pub away: Vec<AwayNode>,
}

/// A message, as its contract declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeclaredMessage {
    /// Its wire name, such as `orders.place.v1`.
    pub name: String,
    /// The capability of its name: of an event, the one that publishes it.
    pub capability: String,
    /// How it travels.
    pub kind: MessageKind,
    /// Whether doing it twice is the same as doing it once, so that it is tried again by itself where its outcome is unknown.
    pub idempotent: bool,
    /// The field whose value is its key, where the key is one.
    pub key_field: Option<String>,
    /// Whether its key tells who somebody is.
    pub personal_key: bool,
    /// Fields, however deep, that are shown nowhere.
    pub secrets: Vec<String>,
    /// Whether only its own capability may send it.
    pub internal: bool,
    /// Its form as JSON Schema (2020-12), if its contract tells it.
    pub schema: Option<Value>,
    /// The form of the reply to an ask.
    pub reply: Option<Value>,
    /// The form of the business errors of an ask; none if there are none.
    pub error: Option<Value>,
    /// The capabilities that handle it: of an event, those that subscribe.
    pub handled_by: BTreeSet<String>,
    /// The nodes that host them.
    pub nodes: BTreeSet<String>,
    /// How many ended how, in all of them since each has started.
    pub outcomes: BTreeMap<String, u64>,
}

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// It is answered.
    Ask,
    /// It is stored, and applied once.
    Command,
    /// It is stored for each capability that subscribes, and applied once by each.
    Event,
    /// It is told every node now, with best effort.
    Broadcast,
}

impl MessageKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Command => "command",
            Self::Event => "event",
            Self::Broadcast => "broadcast",
        }
    }

    /// Whether it is stored before its sender goes on.
    pub const fn is_durable(self) -> bool {
        matches!(self, Self::Command | Self::Event)
    }
}
