//! Message records of all nodes: an ask of the runtime's own, which each node answers from its rings, beside what is stored of
//! them (`stored`).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use essaim_core::node::bus::Bus;
use essaim_trace::{Cursor, Filter, Half, MessageRecord, Page, Text, TraceId, TraceTree, shown_key};
use serde::{Deserialize, Serialize};

use crate::api::{AwayNode, FindRecords, FoundRecords, MOST_RECORDS, MOST_TRACES, ShowTrace, ShownTrace};
use crate::node_ask::NodeAsk;
use crate::requests::{Operator, OperatorRequest, Refusal};

/// Pages that are read of one node for one trace, at most.
pub(crate) const MOST_PAGES: usize = 100;

/// What a node is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Question {
    pub filter: Filter,
    pub after: Cursor,
    pub from_now: bool,
    pub most: u32,
}

impl NodeAsk for Question {
    const NAME: &'static str = "essaim.records.v1";
    type Answer = Page;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<Page, String> {
        if self.from_now {
            return Ok(Page { next: bus.recorder.end(), ..Page::default() });
        }
        Ok(bus.recorder.page(&self.after, &self.filter, self.most.min(MOST_RECORDS) as usize))
    }

    fn want_less(&mut self) -> bool {
        halve(&mut self.most)
    }
}

/// Halves how many are wanted, unless it is one.
pub(crate) fn halve(most: &mut u32) -> bool {
    let can = *most > 1;
    *most = (*most / 2).max(1);
    can
}

impl OperatorRequest for FindRecords {
    async fn answer(self, operator: &Operator) -> Result<FoundRecords, Refusal> {
        let most = if self.most == 0 { MOST_RECORDS } else { self.most.min(MOST_RECORDS) };
        let (mut found, mut away) = (FoundRecords::default(), AwayNodes::default());
        let after = match self.from_now {
            true => BTreeMap::new(),
            false => operator.find_stored(&self, most, &mut found, &mut away).await,
        };
        // What nodes still have comes behind all that is stored.
        if found.more || found.next.stored.is_some() {
            return Ok(FoundRecords { away: away.list(), ..found });
        }
        let question = |node: &str| Question {
            filter: self.filter.clone(),
            after: after.get(node).cloned().unwrap_or_default(),
            from_now: self.from_now,
            most,
        };
        for (node, page) in operator.ask_nodes(question).await {
            match page {
                Ok(page) => {
                    found.more |= page.records.len() as u32 >= most;
                    found.missed += page.missed;
                    found.records.extend(page.records);
                    found.next.nodes.insert(node, page.next);
                }
                Err(why) => {
                    // Where it was is where it goes on.
                    if let Some(after) = after.get(&node) {
                        found.next.nodes.insert(node.clone(), after.clone());
                    }
                    away.live.insert(node, why);
                }
            }
        }
        found.records.sort_by_key(|record| record.at_us);
        Ok(FoundRecords { away: away.list(), ..found })
    }
}

impl OperatorRequest for ShowTrace {
    async fn answer(self, operator: &Operator) -> Result<ShownTrace, Refusal> {
        let mut away = AwayNodes::default();
        let ids = match TraceId::parse(&self.id) {
            Some(id) => vec![id],
            None => operator.traces_of(&self.id, &mut away).await?,
        };
        let mut shown = ShownTrace::default();
        for id in ids {
            let filter = filter_of(&[format!("trace={id}")])?;
            let tree = TraceTree::of(operator.all_records(&filter, &mut away).await);
            shown.traces.extend((!tree.spans.is_empty()).then_some(tree));
        }
        shown.traces.sort_by_key(|tree| std::cmp::Reverse(tree.begin_us()));
        shown.away = away.list();
        Ok(shown)
    }
}

/// What tells records apart: a node writes no two of one span, or of one sent message, at one moment.
fn identity(record: &MessageRecord) -> (TraceId, u64, u64, u64, u64, Half, Option<&Text>, &Text) {
    let MessageRecord { trace_id, span_id, parent_id, link, at_us, half, message_id, node, .. } = record;
    (*trace_id, *span_id, *parent_id, *link, *at_us, *half, message_id.as_ref(), node)
}

fn filter_of(conditions: &[String]) -> Result<Filter, Refusal> {
    Filter::of(conditions).map_err(|e| Refusal::Wrong(e.to_string()))
}

/// Nodes that did not answer, and why.
#[derive(Default)]
pub(crate) struct AwayNodes {
    /// Those whose memory was not read.
    pub live: BTreeMap<String, String>,
    /// The one that stores the records of all nodes, if these were not read.
    pub stored: BTreeMap<String, String>,
}

impl AwayNodes {
    /// Each node once: one of which something was read is not away.
    fn list(mut self) -> Vec<AwayNode> {
        let mut list = Vec::new();
        for (node, why) in self.live {
            let stores = self.stored.remove(&node).map_or("", |_| "; it stores the records of all nodes");
            list.push(AwayNode::new(node, format!("{why}{stores}")));
        }
        list.extend(self.stored.into_iter().map(|(node, why)| AwayNode { node, why, stored: true }));
        list
    }
}

impl Operator {
    /// The latest traces of a message with this id, or of messages with this key.
    async fn traces_of(&self, id: &str, away: &mut AwayNodes) -> Result<Vec<TraceId>, Refusal> {
        let mut latest = BTreeMap::<TraceId, u64>::new();
        let hashed = shown_key(id, true);
        for condition in [format!("id={id}"), format!("key={id}"), format!("key={hashed}")] {
            for record in self.all_records(&filter_of(&[condition])?, away).await {
                let at_us = latest.entry(record.trace_id).or_default();
                *at_us = record.at_us.max(*at_us);
            }
        }
        let mut traces: Vec<_> = latest.into_iter().collect();
        traces.sort_by_key(|(_, at_us)| std::cmp::Reverse(*at_us));
        Ok(traces.into_iter().take(MOST_TRACES).map(|(id, _)| id).collect())
    }

    /// All records that a filter takes: those that are stored, and those that nodes still have; of one that is both, one.
    async fn all_records(&self, filter: &Filter, away: &mut AwayNodes) -> Vec<MessageRecord> {
        // In this order: what is gathered in between is in both, and not in none if its node ends.
        let mut live = self.all_live(filter, away).await;
        let mut records = self.all_stored(filter, away).await;
        let known: HashSet<_> = records.iter().map(identity).collect();
        live.retain(|record| !known.contains(&identity(record)));
        records.extend(live);
        records
    }

    /// All records of all nodes that a filter takes, from their memory.
    async fn all_live(&self, filter: &Filter, away: &mut AwayNodes) -> Vec<MessageRecord> {
        let mut records = Vec::new();
        let mut after = BTreeMap::<String, Cursor>::new();
        let mut done = BTreeSet::new();
        for _ in 0..MOST_PAGES {
            let question = |node: &str| Question {
                filter: filter.clone(),
                after: after.get(node).cloned().unwrap_or_default(),
                from_now: false,
                most: MOST_RECORDS,
            };
            let pages = self.ask_nodes(question).await;
            for (node, page) in pages {
                if done.contains(&node) {
                    continue;
                }
                match page {
                    Ok(page) if page.records.is_empty() => drop(done.insert(node)),
                    Ok(page) => {
                        records.extend(page.records);
                        after.insert(node, page.next);
                    }
                    Err(why) => {
                        away.live.insert(node.clone(), why);
                        done.insert(node);
                    }
                }
            }
            if after.keys().all(|node| done.contains(node)) {
                break;
            }
        }
        records
    }
}
