//! A dead letter with another payload: checked, rehearsed, replayed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiRequest, Payload};

/// The longest payload that may be written, in bytes of JSON.
pub const MOST_PAYLOAD_BYTES: usize = 512 << 10;

/// Checks a payload against the type of a dead letter's message, as [`ReplayDead`](super::ReplayDead) does. Nothing is changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckPayload {
    /// The message's id.
    pub id: String,
    /// Whose letter it is.
    pub capability: String,
    /// The payload as JSON. Where a secret is hidden it stays as it was.
    pub payload: String,
}

impl ApiRequest for CheckPayload {
    const PATH: &'static str = "/durable/dead/check";
    type Answer = CheckedPayload;
}

/// A payload that the message's type has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedPayload {
    /// The fields that it changes, such as `lines[0].quantity`.
    pub changes: Vec<String>,
}

/// The handler of a dead letter's message is to run in a transaction that is rolled back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RehearseDead {
    /// The message's id.
    pub id: String,
    /// Whose letter it is.
    pub capability: String,
    /// With this payload, as JSON, in the place of its own.
    pub payload: Option<String>,
}

impl ApiRequest for RehearseDead {
    const PATH: &'static str = "/durable/dead/rehearse";
    // What its handler does beside its transaction is done for real.
    const CHANGES: bool = true;
    type Answer = RehearsedLetter;
}

/// That a payload is another one, for the audit: which, by its hash, and nothing of what is in it.
pub(crate) fn with_payload(payload: &str) -> String {
    use sha2::{Digest, Sha256};
    let digits: String = Sha256::digest(payload.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!(" with an edited payload (SHA-256 {digits}…)")
}

/// What a handler did in its rehearsal. Nothing of it remains but the asks that were sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RehearsedLetter {
    /// How it ended.
    pub outcome: RehearsedOutcome,
    /// Why it ended so, where it did not succeed.
    pub why: Option<String>,
    /// From its admission to its end, in microseconds.
    pub took_us: u64,
    /// Its transactions.
    pub transactions: Vec<RehearsedTransaction>,
    /// What it would send.
    pub sends: Vec<RehearsedSend>,
    /// What it asked other capabilities.
    pub asks: Vec<RehearsedAsk>,
    /// Statements, sends and asks that are not listed, since there are too many.
    pub left_out: u64,
}

/// How a rehearsed handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RehearsedOutcome {
    /// The message would be applied.
    Succeeds,
    /// It says no: the message would be a dead letter at once.
    Rejects,
    /// It fails: the message would be tried again.
    Fails,
    /// It panics: the message would be tried again.
    Panics,
    /// It was dropped at its deadline: the message would be tried again.
    TimesOut,
    /// It cannot read the message, which would be a dead letter at once.
    Unreadable,
    /// It asks something that a rehearsal does not send, and does not go on without.
    Stops,
}

/// A transaction of a rehearsed handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedTransaction {
    /// Whether it would be committed; otherwise its handler undid it.
    pub commits: bool,
    /// What it ran, in order.
    pub statements: Vec<RehearsedStatement>,
}

/// A statement of a rehearsed handler. The values that are bound to it are not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedStatement {
    /// Its text.
    pub sql: String,
    /// How many values are bound to it.
    pub values: u64,
    /// Rows that it changed or read; `None` if it failed.
    pub rows: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A message that would be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RehearsedSend {
    /// Its wire name.
    pub name: String,
    /// `command`, `event` or `broadcast`.
    pub kind: String,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// What is in it.
    pub payload: Payload,
}

/// A message that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedAsk {
    /// Its wire name.
    pub name: String,
    /// Whether it was sent, for real: it declares that doing it twice is doing it once. Any other is refused.
    pub was_sent: bool,
}

/// A payload as text that can be edited, with exact numbers.
pub(crate) fn editable(payload: &Payload) -> Option<String> {
    match payload {
        Payload::Json(value) => serde_json::to_string_pretty::<Value>(value).ok(),
        Payload::Hex(_) | Payload::Beginning { .. } | Payload::Hidden { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_tells_edited_payloads_apart_and_nothing_of_what_is_in_them() {
        let said = with_payload("{\"email\":\"ann@example.org\"}");
        assert_eq!(said, " with an edited payload (SHA-256 9a3ba85b542fae28…)");
    }
}
