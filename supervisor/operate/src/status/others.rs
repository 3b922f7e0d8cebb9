//! What the other nodes report of themselves: an ask of the runtime's own that each node answers, however busy its actors are.

use std::sync::Arc;

use essaim_base::codec;
use essaim_contract::{AskError, Failure, FailureKind};
use essaim_core::node::bus::Bus;
use essaim_protocol::frame::RawAnswer;
use futures_util::future::{LocalBoxFuture, join_all};

use crate::own_ask::ask_own;

use super::{MemberStatus, NodeStatus, REPORT_LIMIT};

/// The wire name of the ask for a node's own report.
pub(crate) const NAME: &str = "essaim.status.v1";

/// Another node answers within this many times the limit of one database's report, or is shown without its own.
const LIMITS: u32 = 2;

/// This node's own report, for another that asks.
pub(crate) fn answer(bus: Arc<Bus>) -> LocalBoxFuture<'static, RawAnswer> {
    Box::pin(async move {
        let encoded = codec::encode(&NodeStatus::own(&bus).await);
        encoded.map_err(|e| AskError::Failed(Failure { kind: FailureKind::Error, detail: e.to_string() }))
    })
}

/// The other nodes as this one hears them, each with its own report or why there is none.
pub(super) async fn reports(bus: &Bus) -> Vec<MemberStatus> {
    let Some(remote) = bus.remote() else { return Vec::new() };
    let now = bus.env.now();
    let members = remote.members().all();
    let asked = members.iter().map(async |peer| {
        let mut member = MemberStatus::of(peer, now);
        match ask_own(&bus.env, (remote, peer), (NAME, &()), REPORT_LIMIT * LIMITS).await {
            Ok(report) => member.report = Some(report),
            Err(why) => member.problem = Some(why),
        }
        member
    });
    join_all(asked).await
}
