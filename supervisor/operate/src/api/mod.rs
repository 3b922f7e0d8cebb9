//! Questions and answers of operators. Each question is one request to a node's admin listener, with the question as its
//! JSON body.
//!
//! # Layout
//! - here: dead letters; `audit`: who changed what; `backup`: copies of what a node keeps; `config`: the configuration in force; `edited`: a dead letter with another payload, and its rehearsal; `contracts`: what capabilities take; `followed`: what can be followed; `ledger`: the fate of all messages; `logs`: log lines; `messages`: counts and times of messages; `parked`:
//!   those that wait for another attempt; `records`: traces of messages; `schedules`: what is sent at set times; `send`: messages that operators write; `subject`: what is kept of a person; `subscriptions`: who gets which event, and the end of a
//!   capability.

mod audit;
mod backup;
mod config;
mod contracts;
mod edited;
mod followed;
mod ledger;
mod logs;
mod messages;
mod parked;
mod records;
mod schedules;
mod send;
mod subject;
mod subscriptions;

use essaim_base::text::cut;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::audit::{AuditPage, ListAudit, MOST_ACTS};
pub use self::backup::MakeBackup;
pub use self::config::{ShowConfig, ShownConfig};
pub use self::contracts::{DeclaredMessage, ListMessages, MessageKind, Messages};
pub use self::edited::{
    CheckPayload, CheckedPayload, MOST_PAYLOAD_BYTES, RehearseDead, RehearsedAsk, RehearsedLetter, RehearsedOutcome,
    RehearsedSend, RehearsedStatement, RehearsedTransaction,
};
pub(crate) use self::edited::{editable, with_payload};
pub use self::followed::{Followed, FollowedPage};
pub use self::ledger::{AskLedger, DurableReport, Ledger, LedgerLine, LedgerSum, LogGap};
pub use self::logs::{FindLogs, FoundLogs, MOST_LINES};
pub use self::messages::{MessageCounts, MessageTimes};
pub use self::parked::{ListParked, MOST_PARKED, ParkedLine, ParkedMessages, RetriedParked, RetryParked};
pub use self::records::{
    AwayNode, ExplainMessage, Explanation, FindRecords, FoundRecords, MOST_RECORDS, MOST_TRACES, RecordsPlace,
    ShowTrace, ShownTrace,
};
pub use self::schedules::{FireSchedule, FiredSchedule, ListSchedules, ScheduleLine, Schedules};
pub use self::send::{CheckMessage, CheckedMessage, MOST_TIMEOUT_MS, SendMessage, SentMessage, SentOutcome};
pub use self::subject::{EraseSubject, ErasedSubject, FindSubject, KeptOfSubject, KeptRecord, MOST_KEPT};
pub use self::subscriptions::{
    DropSubscription, DroppedSubscription, ListSubscriptions, Retire, Retirement, SubscriptionLine, Subscriptions,
};
pub use essaim_store::BackupManifest;

/// What an operator asks a node: a POST of its JSON to the path.
pub trait ApiRequest: Serialize + DeserializeOwned {
    /// Where the admin listener takes it.
    const PATH: &'static str;
    /// Whether the answer may tell what is personal, such as keys: then only the user of the node's socket may ask, or
    /// one who has a token.
    const IS_PERSONAL: bool = false;
    /// Whether it changes something: then who asks has to be known, and the audit has it before it is done.
    const CHANGES: bool = false;
    /// What it is answered with.
    type Answer: Serialize + DeserializeOwned;

    /// What the log says of who reads what may be personal; `None` if nothing, or if this goes on with what was told.
    fn reads(&self) -> Option<String> {
        None
    }
}

/// A list in words, as long as it is short.
pub(crate) fn listed(ids: &[String]) -> String {
    const TOLD: usize = 20;
    const LONGEST: usize = 100;
    let told: Vec<_> = ids.iter().take(TOLD).map(|id| cut(id, LONGEST)).collect();
    let told = told.join(" ");
    if ids.len() > TOLD { format!("{told} and {} more", ids.len() - TOLD) } else { told }
}

/// Most dead letters that one question lists, replays or drops.
pub const MOST_LETTERS: u32 = 500;

/// Which dead letters there are, page by page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListDead {
    /// Only those of this capability.
    pub capability: Option<String>,
    /// Only those that died of this: `rejected`, `attempts`, `too_old`, `too_new`, `unreadable`, `unsupported`, `expired` or `full`.
    pub reason: Option<String>,
    /// Only messages of this wire name.
    pub name: Option<String>,
    /// Only those that died at this moment or before, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Only those behind this place.
    pub after: Option<DeadPosition>,
    /// At most so many; 0 and too many: [`MOST_LETTERS`].
    pub most: u32,
}

impl ApiRequest for ListDead {
    const PATH: &'static str = "/durable/dead/list";
    type Answer = DeadPage;
}

/// A place in the list of all dead letters: by who keeps them, then by their deaths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadPosition {
    /// The capability that keeps the letter.
    pub kept_by: String,
    /// When it died, in milliseconds since 1970.
    pub dead_at_ms: u64,
    /// Its message id.
    pub id: String,
    /// Whose message it was.
    pub capability: String,
}

/// Some dead letters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeadPage {
    /// The letters.
    pub letters: Vec<DeadLetterSummary>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<DeadPosition>,
    /// Capabilities that did not answer.
    pub away: Vec<Away>,
    /// When the page was asked for, in milliseconds since 1970 by the clock of the node that was asked.
    pub asked_at_ms: u64,
}

/// A capability that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// Its name.
    pub capability: String,
    /// Why.
    pub why: String,
}

/// A dead letter, without what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterSummary {
    /// The message's id.
    pub id: String,
    /// Whose message it was.
    pub capability: String,
    /// The capability that keeps it: for an event whose subscriber had no room, its publisher.
    pub kept_by: String,
    /// The message's wire name; empty if it cannot be read.
    pub name: String,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Why it is dead.
    pub reason: String,
    /// Attempts that failed.
    pub attempts: u32,
    /// Why the last one failed: in a list its beginning, and nothing where something was done.
    pub error: Option<String>,
    /// The W3C trace context of the span that sent it.
    pub trace: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// When it died, in milliseconds since 1970.
    pub dead_at_ms: u64,
    /// Whether later messages of its key wait until it is replayed or dropped.
    pub held: bool,
}

impl DeadLetterSummary {
    /// Its place in the list of all.
    pub fn place(&self) -> DeadPosition {
        let (kept_by, id, capability) = (self.kept_by.clone(), self.id.clone(), self.capability.clone());
        DeadPosition { kept_by, dead_at_ms: self.dead_at_ms, id, capability }
    }

    /// Whether a replay comes after later messages of its key.
    pub fn is_out_of_order(&self) -> bool {
        self.key.is_some() && !self.held
    }
}

/// A dead letter with what is in it; several where an event died for several subscribers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowDead {
    /// Its message id.
    pub id: String,
}

impl ApiRequest for ShowDead {
    const PATH: &'static str = "/durable/dead/show";
    type Answer = ShownDead;
}

/// What was found of one message id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShownDead {
    /// The letters with that id.
    pub letters: Vec<DeadLetterDetail>,
    /// Capabilities that did not answer.
    pub away: Vec<Away>,
}

/// A dead letter with what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterDetail {
    /// What it is.
    pub letter: DeadLetterSummary,
    /// What is in it.
    pub payload: Payload,
    /// The payload as JSON that can be edited; `None` where the host that keeps the letter does not handle its message, or
    /// cannot read it.
    #[serde(default)]
    pub editable: Option<String>,
    /// On whose behalf it was sent; `null` if on nobody's.
    pub principal: Value,
    /// Small values that were sent along.
    pub metadata: Value,
}

/// The body of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// As JSON.
    Json(Value),
    /// Its bytes in hexadecimal, as it is nothing that JSON can show.
    Hex(String),
    /// Its first bytes in hexadecimal, as it is too long to be shown.
    Beginning {
        /// Those bytes.
        hex: String,
        /// How many there are in all.
        bytes: u64,
    },
    /// Nothing of it: it may hold secrets, and cannot be read to hide them.
    Hidden {
        /// Its bytes.
        bytes: u64,
    },
}

/// Dead letters are to be tried again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayDead {
    /// Their message ids; [`MOST_LETTERS`] at most.
    pub ids: Vec<String>,
    /// Only letters of this capability.
    pub capability: Option<String>,
    /// With this payload, as JSON, in the place of its own: for one letter of a capability that is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

impl ApiRequest for ReplayDead {
    const PATH: &'static str = "/durable/dead/replay";
    const CHANGES: bool = true;
    type Answer = Changed;
}

/// Dead letters are to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DropDead {
    /// Their message ids; [`MOST_LETTERS`] at most.
    pub ids: Vec<String>,
    /// Only letters of this capability.
    pub capability: Option<String>,
}

impl ApiRequest for DropDead {
    const PATH: &'static str = "/durable/dead/drop";
    const CHANGES: bool = true;
    type Answer = Changed;
}

/// The outcome for dead letters. Those of a capability's own partitions are dealt with by the partition's owner: soon after
/// this answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Those that are replayed or dropped.
    pub done: Vec<DeadLetterSummary>,
    /// Those that are not.
    pub refused: Vec<Refused>,
    /// Capabilities that did not answer.
    pub away: Vec<Away>,
}

/// A dead letter of which nothing became, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its message id.
    pub id: String,
    /// Whose message it was.
    pub capability: String,
    /// Why.
    pub why: String,
}

/// A moment in milliseconds since 1970 as people read it, in UTC and to the second.
pub fn moment(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1_000).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    seconds.map_or_else(|| ms.to_string(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_may_say_little_and_nothing_unknown() {
        let all: ListDead = serde_json::from_str("{}").unwrap();
        assert_eq!(all, ListDead::default());
        assert!(serde_json::from_str::<ListDead>(r#"{"capabilty":"orders"}"#).is_err());
    }

    #[test]
    fn only_a_letter_with_a_key_that_nothing_waits_for_is_out_of_order() {
        let letter = DeadLetterSummary { key: Some("k".into()), ..Default::default() };
        assert!(letter.is_out_of_order());
        assert!(!DeadLetterSummary { held: true, ..letter.clone() }.is_out_of_order());
        assert!(!DeadLetterSummary { key: None, ..letter }.is_out_of_order());
    }
}
