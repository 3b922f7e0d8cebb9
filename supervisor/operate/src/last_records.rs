//! The last message records of a node that leaves. It sends them to the node that stores records, which cannot ask for them: a node
//! that drains takes no asks.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::codec;
use essaim_core::node::bus::Bus;
use essaim_gather::{GatherError, GatheredStore, NodePage};
use essaim_trace::{Cursor, Page};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::api::MOST_RECORDS;
use crate::node_ask::{self, NodeAsk, ask_node};
use crate::records::Question;

/// A page of a node's records, which begins at `after`. The answer is where its next page begins: nothing of this one is stored if it
/// does not begin where the one before it ended, as the empty one with which a node asks where that is.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct LastPage {
    node: String,
    after: Cursor,
    page: Page,
}

impl NodeAsk for LastPage {
    const NAME: &'static str = "essaim.last-records.v1";
    /// Short: the node that leaves waits.
    const LIMIT: Duration = Duration::from_secs(1);
    type Answer = Cursor;

    /// Stores a page of another node.
    async fn answer(&self, bus: &Arc<Bus>) -> Result<Cursor, String> {
        let gathered = bus.gathered.as_ref().ok_or("it stores no records")?;
        store(gathered, self.clone()).await.map_err(|error| error.to_string())
    }
}

async fn store(gathered: &GatheredStore, last: LastPage) -> Result<Cursor, GatherError> {
    let LastPage { node, after, page: Page { records, next, missed } } = last;
    let _turn = gathered.turn().await;
    let known = gathered.prepare().await?.remove(&node).unwrap_or_default();
    if known != after || records.is_empty() {
        return Ok(known);
    }
    gathered.add(NodePage { node, records, missed, next: next.clone() }).await?;
    Ok(next)
}

/// Sends what this node has recorded and another should store, before this one goes.
pub(crate) async fn send(bus: &Arc<Bus>) {
    let Some(node) = bus.settings.store_node().filter(|node| *node != bus.settings.node.name) else { return };
    let sent = timeout(LastPage::LIMIT, send_to(bus, node)).await;
    if let Err(why) = sent.unwrap_or_else(|_| Err(format!("no answer within {} ms", LastPage::LIMIT.as_millis()))) {
        tracing::info!(node, why, "the last message records could not be sent to the node that stores them");
    }
}

async fn send_to(bus: &Arc<Bus>, node: &str) -> Result<(), String> {
    let mut last = LastPage { node: bus.settings.node.name.clone(), ..LastPage::default() };
    loop {
        last.after = ask_node(bus, node, &last).await?;
        last.page = own_page(bus, &last.after).await?;
        if last.page.records.is_empty() {
            return Ok(());
        }
    }
}

/// A page as another node would be answered, so that it goes into one message.
async fn own_page(bus: &Arc<Bus>, after: &Cursor) -> Result<Page, String> {
    let question = Question { after: after.clone(), most: MOST_RECORDS, ..Question::default() };
    let page = node_ask::encoded(question, bus).await?;
    codec::decode(&page).map_err(|e| e.to_string())
}
