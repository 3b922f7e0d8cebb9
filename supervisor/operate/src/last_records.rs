//! The last message records of a node that leaves. It sends them to the node that stores records, which cannot ask for them: a node
//! that drains takes no asks.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::codec;
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered};
use essaim_core::node::bus::Bus;
use essaim_gather::{GatherError, GatheredStore, NodePage};
use essaim_protocol::frame::RawAnswer;
use essaim_trace::{Cursor, Page};
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::api::MOST_RECORDS;
use crate::own_ask::ask_own;
use crate::records::{self, NodeQuestion, Question};

/// The wire name of the ask to store a page.
pub(crate) const NAME: &str = "essaim.last-records.v1";

/// The longest that a node which leaves waits for the one that stores.
const LIMIT: Duration = Duration::from_secs(1);

/// A page of a node's records, which begins at `after`. The answer is where its next page begins: nothing of this one is stored if it
/// does not begin where the one before it ended, as the empty one with which a node asks where that is.
#[derive(Default, Serialize, Deserialize)]
struct LastPage {
    node: String,
    after: Cursor,
    page: Page,
}

/// Stores a page of another node.
pub(crate) fn answer(bus: Arc<Bus>, body: &[u8]) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
    let unreadable = |e: codec::DecodeError| NotDelivered::Undecodable { message: NAME.into(), detail: e.to_string() };
    let last: LastPage = codec::decode(body).map_err(unreadable)?;
    Ok(Box::pin(async move {
        let failed = |detail: String| AskError::Failed(Failure { kind: FailureKind::Error, detail });
        let gathered = bus.gathered.as_ref().ok_or_else(|| failed("it stores no records".into()))?;
        let next = store(gathered, last).await.map_err(|error| failed(error.to_string()))?;
        codec::encode(&next).map_err(|e| failed(e.to_string()))
    }))
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
pub(crate) async fn send(bus: &Bus) {
    let Some(node) = bus.settings.store_node().filter(|node| *node != bus.settings.node.name) else { return };
    let sent = timeout(LIMIT, send_to(bus, node)).await;
    if let Err(why) = sent.unwrap_or_else(|_| Err(format!("no answer within {} ms", LIMIT.as_millis()))) {
        tracing::info!(node, why, "the last message records could not be sent to the node that stores them");
    }
}

async fn send_to(bus: &Bus, node: &str) -> Result<(), String> {
    let unheard = || "it is not heard".to_string();
    let remote = bus.remote().ok_or_else(unheard)?;
    let members = remote.members().all();
    let peer = members.iter().find(|peer| *peer.name == *node).ok_or_else(unheard)?;
    let mut last = LastPage { node: bus.settings.node.name.clone(), ..LastPage::default() };
    loop {
        last.after = ask_own(&bus.env, (remote, peer), (NAME, &last), LIMIT).await?;
        last.page = own_page(bus, &last.after).await?;
        if last.page.records.is_empty() {
            return Ok(());
        }
    }
}

/// A page as another node would be answered, so that it goes into one message.
async fn own_page(bus: &Bus, after: &Cursor) -> Result<Page, String> {
    let question = Question { after: after.clone(), most: MOST_RECORDS, ..Question::default() };
    let question = codec::encode(&question).map_err(|e| e.to_string())?;
    let most_bytes = bus.settings.wire.max_message_bytes / 2;
    let answer = records::answer::<Question>(&bus.recorder, &question, most_bytes).map_err(|e| e.to_string())?;
    let page = answer.await.map_err(|error| error.map_rejected(|_| String::new()).to_string())?;
    codec::decode::<<Question as NodeQuestion>::Page>(&page).map_err(|e| e.to_string())
}
