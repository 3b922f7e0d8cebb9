//! Stored message records: an ask of the runtime's own to the node that stores them.

use std::collections::BTreeMap;
use std::sync::Arc;

use essaim_base::codec;
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered};
use essaim_core::node::bus::Bus;
use essaim_gather::{StoredPage, StoredQuestion};
use essaim_protocol::frame::RawAnswer;
use essaim_trace::{Cursor, Filter, MessageRecord};
use futures_util::future::LocalBoxFuture;

use crate::api::{AwayNode, FindRecords, FoundRecords, MOST_RECORDS};
use crate::own_ask::ask_own;
use crate::records::{AwayNodes, LIMIT, MOST_PAGES};
use crate::requests::Operator;

/// The wire name of the ask for stored records.
pub(crate) const NAME: &str = "essaim.stored.v1";

/// Answers another node from the store of this one.
pub(crate) fn answer(bus: &Arc<Bus>, body: &[u8]) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
    let unreadable = |e: codec::DecodeError| NotDelivered::Undecodable { message: NAME.into(), detail: e.to_string() };
    let mut question: StoredQuestion = codec::decode(body).map_err(unreadable)?;
    question.most = question.most.min(MOST_RECORDS);
    let operator = Operator::of(bus);
    Ok(Box::pin(async move {
        let failed = |detail: String| AskError::Failed(Failure { kind: FailureKind::Error, detail });
        let page = operator.own_stored(&question).await.map_err(failed)?;
        codec::encode(&page).map_err(|e| failed(e.to_string()))
    }))
}

impl Operator {
    /// Adds a page of the stored records to what was found, as far as the reader has not read them all. Returns where the
    /// memory of each node is to be read from behind them.
    pub(crate) async fn find_stored(
        &self,
        request: &FindRecords,
        most: u32,
        found: &mut FoundRecords,
    ) -> BTreeMap<String, Cursor> {
        let after = &request.after;
        let (Some(node), true) = (&self.store_node, after.stored.is_some() || after.is_begin()) else {
            return after.nodes.clone();
        };
        let after = after.stored.unwrap_or(0);
        let question = StoredQuestion { filter: request.filter.clone(), after, most };
        match self.stored(node, &question).await {
            Ok(StoredPage { records, next, cursors }) => {
                (found.records, found.more, found.next.stored) = (records, next.is_some(), next);
                cursors
            }
            Err(why) => {
                // At the beginning, what nodes have is all that there is; later, where it was is where it goes on.
                found.next.stored = request.after.stored;
                found.away.push(AwayNode { node: node.clone(), why });
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
            match self.stored(node, &question).await {
                Ok(page) => {
                    records.extend(page.records);
                    let Some(next) = page.next else { break };
                    question.after = next;
                }
                Err(why) => {
                    away.insert(node.clone(), why);
                    break;
                }
            }
        }
        records
    }

    /// A page of the store, wherever it is.
    async fn stored(&self, node: &str, question: &StoredQuestion) -> Result<StoredPage, String> {
        if node == self.node {
            return self.own_stored(question).await;
        }
        let unheard = || "it is not heard, and it stores the records of all nodes".to_string();
        let remote = self.remote.as_ref().ok_or_else(unheard)?;
        let members = remote.members().all();
        let peer = members.iter().find(|peer| *peer.name == *node).ok_or_else(unheard)?;
        let answer = ask_own(&self.env, (remote, peer), (NAME, question), LIMIT).await;
        answer.map_err(|why| format!("{why}; it stores the records of all nodes"))
    }

    /// A page of this node's store.
    async fn own_stored(&self, question: &StoredQuestion) -> Result<StoredPage, String> {
        let gathered = self.gathered.as_ref().ok_or("it stores no records")?;
        gathered.page(question, (self.most_bytes / 2) as usize).await.map_err(|error| error.to_string())
    }
}
