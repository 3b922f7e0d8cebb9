//! What the other nodes report of themselves: an ask of the runtime's own that each node answers, however busy its actors are.

use std::sync::Arc;

use essaim_base::call::Call;
use essaim_base::codec;
use essaim_base::trace::TraceContext;
use essaim_contract::{AskError, Failure, FailureKind};
use essaim_core::node::bus::Bus;
use essaim_protocol::frame::RawAnswer;
use essaim_remote::{Peer, Remote, RemoteAsk};
use futures_util::future::{LocalBoxFuture, join_all};
use serde_json::Value;
use tokio::time::Instant;

use super::{MemberStatus, NodeStatus, REPORT_LIMIT};

/// The wire name of the ask for a node's own report.
pub(crate) const NAME: &str = "essaim.status.v1";

/// Another node answers within this many times the limit of one database's report, or is shown without its own.
const LIMITS: u32 = 2;

/// This node's own report, for another that asks.
pub(crate) fn answer(bus: Arc<Bus>) -> LocalBoxFuture<'static, RawAnswer> {
    Box::pin(async move {
        let report = serde_json::to_value(NodeStatus::own(&bus).await).map_err(|e| e.to_string());
        let encoded = report.and_then(|report| codec::encode(&report).map_err(|e| e.to_string()));
        encoded.map_err(|detail| AskError::Failed(Failure { kind: FailureKind::Error, detail }))
    })
}

/// The other nodes as this one hears them, each with its own report or why there is none.
pub(super) async fn reports(bus: &Bus) -> Vec<MemberStatus> {
    let Some(remote) = bus.remote() else { return Vec::new() };
    let now = bus.env.now();
    let members = remote.members().all();
    let asked = members.iter().map(async |peer| {
        let mut member = MemberStatus::of(peer, now);
        match report(bus, remote, peer, now).await {
            Ok(report) => member.report = Some(report),
            Err(why) => member.problem = Some(why),
        }
        member
    });
    join_all(asked).await
}

/// The report of another node.
///
/// # Errors
/// The reason in words, which is shown in the place of the report; nothing decides by it.
async fn report(bus: &Bus, remote: &Remote, peer: &Arc<Peer>, now: Instant) -> Result<Value, String> {
    if peer.is_silent() {
        return Err("it is not heard".into());
    }
    let ask = RemoteAsk {
        capability: "essaim".into(),
        name: NAME.into(),
        body: Vec::new(),
        key: None,
        personal_key: false,
        idempotent: true,
        call: Call::of_the_runtime(now + REPORT_LIMIT * LIMITS, TraceContext::root(&bus.env)),
        refused: None,
    };
    let answer = remote.ask_node(peer, &ask).await;
    let answer = answer.map_err(|error| error.map_rejected(|_| String::new()).to_string())?;
    codec::decode(&answer).map_err(|e| format!("its report cannot be read: {e}"))
}
