//! Stored message records: an ask of the runtime's own to the node that stores them.

use std::collections::BTreeMap;
use std::sync::Arc;

use essaim_core::node::bus::Bus;
use essaim_gather::{StoredPage, StoredQuestion};
use essaim_trace::{Cursor, Filter, MessageRecord};

use crate::api::{FindRecords, FoundRecords, MOST_RECORDS};
use crate::node_ask::{NodeAsk, ask_node};
use crate::records::{AwayNodes, MOST_PAGES};
use crate::requests::Operator;

impl NodeAsk for StoredQuestion {
    const NAME: &'static str = "essaim.stored.v1";
    type Answer = StoredPage;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<StoredPage, String> {
        let gathered = bus.gathered.as_ref().ok_or("it stores no records")?;
        let question = Self { most: self.most.min(MOST_RECORDS), ..self.clone() };
        let most_bytes = (bus.settings.wire.max_message_bytes / 2) as usize;
        gathered.page(&question, most_bytes).await.map_err(|error| error.to_string())
    }
}

impl Operator {
    /// Adds a page of the stored records to what was found, as far as the reader has not read them all. Returns where the
    /// memory of each node is to be read from behind them.
    pub(crate) async fn find_stored(
        &self,
        request: &FindRecords,
        most: u32,
        found: &mut FoundRecords,
        away: &mut AwayNodes,
    ) -> BTreeMap<String, Cursor> {
        let after = &request.after;
        let (Some(node), true) = (&self.store_node, after.stored.is_some() || after.is_begin()) else {
            return after.nodes.clone();
        };
        let after = after.stored.unwrap_or(0);
        let question = StoredQuestion { filter: request.filter.clone(), after, most };
        match ask_node(&self.bus, node, &question).await {
            Ok(StoredPage { records, next, cursors }) => {
                (found.records, found.more, found.next.stored) = (records, next.is_some(), next);
                cursors
            }
            Err(why) => {
                // At the beginning, what nodes have is all that there is; later, where it was is where it goes on.
                found.next.stored = request.after.stored;
                away.stored.insert(node.clone(), why);
                BTreeMap::new()
            }
        }
    }

    /// All stored records that a filter takes.
    pub(crate) async fn all_stored(&self, filter: &Filter, away: &mut AwayNodes) -> Vec<MessageRecord> {
        let mut records = Vec::new();
        let Some(node) = &self.store_node else { return records };
        let mut question = StoredQuestion { filter: filter.clone(), after: 0, most: MOST_RECORDS };
        for _ in 0..MOST_PAGES {
            match ask_node(&self.bus, node, &question).await {
                Ok(page) => {
                    records.extend(page.records);
                    let Some(next) = page.next else { break };
                    question.after = next;
                }
                Err(why) => {
                    away.stored.insert(node.clone(), why);
                    break;
                }
            }
        }
        records
    }
}
