//! Message records: those that a filter takes, and the traces that they belong to.

use std::collections::BTreeMap;

use essaim_trace::{Cursor, Filter, MessageRecord, TraceTree};
use serde::{Deserialize, Serialize};

use super::{ApiRequest, Followed, FollowedPage};

/// Most records that one question gets from each node.
pub const MOST_RECORDS: u32 = 500;

/// The records of all nodes that a filter takes, page by page: those that are stored, in the order in which they were gathered,
/// then those that were not gathered yet, so that none comes twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FindRecords {
    /// Conditions such as `capability=orders` or `ran>=100ms`, all of which hold.
    pub filter: Filter,
    /// Where the page begins: where the last one ended. The default is the beginning of all that is known.
    pub after: RecordsPlace,
    /// Only where the nodes have come to, and no records: what is written from now on is behind it.
    pub from_now: bool,
    /// At most so many of each node; 0 and too many: [`MOST_RECORDS`].
    pub most: u32,
}

impl ApiRequest for FindRecords {
    const PATH: &'static str = "/trace/records";
    const IS_PERSONAL: bool = true;
    type Answer = FoundRecords;

    fn reads(&self) -> Option<String> {
        // A reader is audited once, however many pages it reads.
        let conditions = Vec::<String>::from(self.filter.clone()).join(" ");
        self.after.is_begin().then(|| format!("records {conditions}").trim_end().to_string())
    }
}

/// Where a reader of records has come to: first through what is stored, then through what nodes still have in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordsPlace {
    /// The place in the store, as long as it has not been read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<u64>,
    /// The place in each node's memory; a node that is not named begins with what it has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, Cursor>,
}

impl RecordsPlace {
    /// Whether it is the beginning.
    pub fn is_begin(&self) -> bool {
        self.stored.is_none() && self.nodes.is_empty()
    }
}

/// Some records of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FoundRecords {
    /// In the order of their moments, as far as clocks agree.
    pub records: Vec<MessageRecord>,
    /// Where the next page begins.
    pub next: RecordsPlace,
    /// Whether there is more than went into this page.
    pub more: bool,
    /// Records that were gone before they were read.
    pub missed: u64,
    /// Nodes that did not answer.
    pub away: Vec<AwayNode>,
}

impl Followed for FindRecords {
    fn after(self, page: &FoundRecords) -> Self {
        Self { after: page.next.clone(), from_now: false, ..self }
    }
}

impl FollowedPage for FoundRecords {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn has_more(&self) -> bool {
        self.more
    }

    fn missed(&self) -> u64 {
        self.missed
    }

    fn away(&self) -> &[AwayNode] {
        &self.away
    }
}

/// A node that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwayNode {
    /// Its name.
    pub node: String,
    /// Why.
    pub why: String,
    /// Whether only the records that it stores of all nodes were not read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stored: bool,
}

impl AwayNode {
    /// A node of which nothing was read.
    pub fn new(node: String, why: String) -> Self {
        Self { node, why, stored: false }
    }
}

/// The traces that something belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowTrace {
    /// A trace's id, a message's, or a key.
    pub id: String,
}

impl ApiRequest for ShowTrace {
    const PATH: &'static str = "/trace/show";
    const IS_PERSONAL: bool = true;
    type Answer = ShownTrace;

    fn reads(&self) -> Option<String> {
        Some(format!("trace {}", self.id))
    }
}

/// Traces, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShownTrace {
    /// At most [`MOST_TRACES`].
    pub traces: Vec<TraceTree>,
    /// Nodes that did not answer.
    pub away: Vec<AwayNode>,
}

/// Why something is slow or stuck.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainMessage {
    /// A trace's id, a message's, or a key.
    pub id: String,
}

impl ApiRequest for ExplainMessage {
    const PATH: &'static str = "/trace/why";
    const IS_PERSONAL: bool = true;
    type Answer = Explanation;

    fn reads(&self) -> Option<String> {
        Some(format!("why {}", self.id))
    }
}

/// What is known of something that is slow or stuck, the most telling first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whole sentences; none if nothing is known of it.
    pub sentences: Vec<String>,
    /// Whether something of it is still to be done.
    #[serde(default)]
    pub unfinished: bool,
    /// Nodes that did not answer.
    pub away: Vec<AwayNode>,
}

/// Most traces that one question shows.
pub const MOST_TRACES: usize = 10;
