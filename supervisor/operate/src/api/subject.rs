//! What is kept of a subject, such as a user, and its erasure.

use serde::{Deserialize, Serialize};

use super::{ApiRequest, Away};

/// Most records of one place of one capability that one answer lists or erases.
pub const MOST_KEPT: u32 = 500;

/// What is kept of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindSubject {
    /// Its id: the `subject` of principals.
    pub subject: String,
}

impl ApiRequest for FindSubject {
    const PATH: &'static str = "/durable/subject/find";
    const IS_PERSONAL: bool = true;
    type Answer = KeptOfSubject;

    fn reads(&self) -> Option<String> {
        Some(format!("what is kept of the subject {}", self.subject))
    }
}

/// What is kept of a subject is to be erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseSubject {
    /// Its id.
    pub subject: String,
    /// Also messages that wait for another attempt: they are never applied then.
    #[serde(default)]
    pub parked: bool,
}

impl ApiRequest for EraseSubject {
    const PATH: &'static str = "/durable/subject/erase";
    const IS_PERSONAL: bool = true;
    const CHANGES: bool = true;
    type Answer = ErasedSubject;
}

/// What is kept of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptOfSubject {
    /// Stored messages; of each place a page.
    pub kept: Vec<KeptRecord>,
    /// Whether some place has more than one answer lists.
    pub more: bool,
    /// Stored message records.
    pub records: u64,
    /// Who did not answer: capabilities, and the node that stores message records.
    pub away: Vec<Away>,
}

/// A stored message that mentions a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptRecord {
    /// The capability that keeps it.
    pub capability: String,
    /// `dead`, `parked`, `retained`, `outbox` or `log`.
    pub place: String,
    /// Its wire name; empty if it cannot be read.
    pub name: String,
    /// The message's id; empty if it cannot be read.
    pub id: String,
}

impl KeptRecord {
    /// Whether it is still to be applied: it is no history, and may be what erases the subject elsewhere.
    pub fn waits(&self) -> bool {
        matches!(&*self.place, "parked" | "outbox" | "log")
    }
}

/// The outcome of an erasure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedSubject {
    /// Dead letters; those of partitions are dropped by their owners, soon after this answer.
    pub dead: u64,
    /// Retained events.
    pub retained: u64,
    /// Parked messages.
    pub parked: u64,
    /// Stored message records.
    pub records: u64,
    /// Dead letters that were not dropped, and why.
    pub refused: Vec<String>,
    /// Who did not answer.
    pub away: Vec<Away>,
}
