//! Who has changed what.

use essaim_audit::{AuditEntry, AuditPlace, AuditQuestion};
use serde::{Deserialize, Serialize};

use super::{ApiRequest, AwayNode};

/// Most acts of one page.
pub const MOST_ACTS: u32 = 500;

/// The latest acts of operators, of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListAudit(pub AuditQuestion);

impl ApiRequest for ListAudit {
    const PATH: &'static str = "/audit/list";
    const IS_PERSONAL: bool = true;
    type Answer = AuditPage;

    fn reads(&self) -> Option<String> {
        self.0.before.is_none().then(|| "the audit".into())
    }
}

/// Some acts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The latest first.
    pub acts: Vec<AuditEntry>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<AuditPlace>,
    /// Nodes that did not answer, and those that are no members now: what they keep is missing.
    pub away: Vec<AwayNode>,
}
