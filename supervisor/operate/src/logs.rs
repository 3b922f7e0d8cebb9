//! Log lines of all nodes: an ask of the runtime's own, which each node answers from its ring.

use std::sync::Arc;

use essaim_core::node::bus::Bus;
use essaim_logs::{LogLine, LogPage, LogRing, Take};
use essaim_trace::{Conditions, Cursor};
use serde::{Deserialize, Serialize};

use crate::api::{AwayNode, FindLogs, FoundLogs, MOST_LINES};
use crate::node_ask::NodeAsk;
use crate::records::halve;
use crate::requests::{Operator, OperatorRequest, Refusal};

/// What a node is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Question {
    filter: Conditions<LogLine>,
    after: Cursor,
    last: bool,
    most: u32,
}

impl NodeAsk for Question {
    const NAME: &'static str = "essaim.logs.v1";
    type Answer = LogPage;

    async fn answer(&self, _: &Arc<Bus>) -> Result<LogPage, String> {
        let most = self.most.min(MOST_LINES);
        let take = if self.last { Take::Last(most) } else { Take::First(most) };
        Ok(LogRing::installed().map(|ring| ring.page(&self.after, &self.filter, take)).unwrap_or_default())
    }

    fn want_less(&mut self) -> bool {
        halve(&mut self.most)
    }
}

impl OperatorRequest for FindLogs {
    async fn answer(self, operator: &Operator) -> Result<FoundLogs, Refusal> {
        let most = if self.last == 0 { MOST_LINES } else { self.last.min(MOST_LINES) };
        let question = |node: &str| {
            let after = self.after.get(node).cloned();
            // A node that is new to this reader begins with its last lines, too.
            let last = self.last > 0 && after.is_none();
            Question { filter: self.filter.clone(), last, after: after.unwrap_or_default(), most }
        };
        let mut found = FoundLogs::default();
        for (node, page) in operator.ask_nodes(question).await {
            match page {
                Ok(page) => {
                    found.more |= page.more;
                    found.missed += page.missed;
                    found.lines.extend(page.lines);
                    found.next.insert(node, page.next);
                }
                Err(why) => {
                    // Where it was is where it goes on.
                    if let Some(after) = self.after.get(&node) {
                        found.next.insert(node.clone(), after.clone());
                    }
                    found.away.push(AwayNode::new(node, why));
                }
            }
        }
        found.lines.sort_by_key(|line| line.at_us);
        Ok(found)
    }
}
