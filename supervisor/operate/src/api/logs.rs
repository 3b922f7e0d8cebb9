//! Log lines that fulfil conditions.

use std::collections::BTreeMap;

use essaim_logs::LogLine;
use essaim_trace::{Conditions, Cursor};
use serde::{Deserialize, Serialize};

use super::{ApiRequest, AwayNode, Followed, FollowedPage};

/// Most log lines that one question gets from each node.
pub const MOST_LINES: u32 = 500;

/// The log lines of all nodes that fulfil conditions, page by page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FindLogs {
    /// Conditions such as `level>=warn` or `text~timeout`, all of which hold.
    pub filter: Conditions<LogLine>,
    /// Where each node's page begins.
    pub after: BTreeMap<String, Cursor>,
    /// Of a node that is not named there: its last lines, at most so many. 0: all that it has, the first first.
    pub last: u32,
}

impl ApiRequest for FindLogs {
    const PATH: &'static str = "/logs/find";
    // Lines tell what capabilities write into them.
    const IS_PERSONAL: bool = true;
    type Answer = FoundLogs;

    fn reads(&self) -> Option<String> {
        // A reader is audited once, however many pages it reads.
        let conditions = Vec::<String>::from(self.filter.clone()).join(" ");
        self.after.is_empty().then(|| format!("logs {conditions}").trim_end().to_string())
    }
}

/// Some log lines of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FoundLogs {
    /// In the order of their moments, by the clock of each node.
    pub lines: Vec<LogLine>,
    /// Where the next page of each node begins.
    pub next: BTreeMap<String, Cursor>,
    /// Whether a node has more than went into this page.
    pub more: bool,
    /// Lines that were gone before they were read.
    pub missed: u64,
    /// Nodes that did not answer.
    pub away: Vec<AwayNode>,
}

impl Followed for FindLogs {
    fn after(self, page: &FoundLogs) -> Self {
        Self { after: page.next.clone(), ..self }
    }
}

impl FollowedPage for FoundLogs {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
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
