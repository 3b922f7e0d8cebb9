//! What the other nodes report of themselves: an ask of the runtime's own.

use std::sync::Arc;
use std::time::Duration;

use essaim_core::node::bus::Bus;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::node_ask::{NodeAsk, ask_peer};

use super::{MemberStatus, NodeStatus, REPORT_LIMIT};

/// Another node answers within this many times the limit of one database's report, or is shown without its own.
const LIMITS: u32 = 2;

/// What a node is asked.
#[derive(Serialize, Deserialize)]
pub(crate) struct Question(());

impl NodeAsk for Question {
    const NAME: &'static str = "essaim.status.v1";
    const LIMIT: Duration = REPORT_LIMIT.saturating_mul(LIMITS);
    type Answer = NodeStatus;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<NodeStatus, String> {
        Ok(NodeStatus::own(bus).await)
    }
}

/// The other nodes as this one hears them, each with its own report or why there is none.
pub(super) async fn reports(bus: &Bus) -> Vec<MemberStatus> {
    let Some(remote) = bus.remote() else { return Vec::new() };
    let now = bus.env.now();
    let members = remote.members().all();
    let asked = members.iter().map(async |peer| {
        let mut member = MemberStatus::of(peer, now);
        match ask_peer(&bus.env, remote, peer, &Question(())).await {
            Ok(report) => member.report = Some(Box::new(report)),
            Err(why) => member.problem = Some(why),
        }
        member
    });
    join_all(asked).await
}
