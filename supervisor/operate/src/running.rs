//! What handlers do at the moment, in all nodes: an ask of the runtime's own, which each node answers however busy its actors are.

use std::time::Duration;

use essaim_base::codec;
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered};
use essaim_core::node::bus::LocalHandlers;
use essaim_protocol::frame::RawAnswer;
use essaim_trace::TraceId;
use futures_util::future::{LocalBoxFuture, join_all, ready};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::own_ask::ask_own;
use crate::requests::Operator;

/// The wire name of the ask for what a node's handlers do.
pub(crate) const NAME: &str = "essaim.running.v1";

/// The longest wait for one node.
const LIMIT: Duration = Duration::from_secs(5);

/// A handler that runs, and has waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningMessage {
    pub trace: TraceId,
    pub node: String,
    pub capability: String,
    pub instance: u32,
    /// What it handles, for how long, and what it does or waits for, in words.
    pub doing: String,
}

/// Those of this node in these traces, for another that asks.
pub(crate) fn answer(
    node: &str,
    local: &LocalHandlers,
    body: &[u8],
    now: Instant,
) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
    let unreadable = |e: codec::DecodeError| NotDelivered::Undecodable { message: NAME.into(), detail: e.to_string() };
    let traces: Vec<TraceId> = codec::decode(body).map_err(unreadable)?;
    let encoded = codec::encode(&here(node, local, &traces, now)).map_err(|e| {
        let detail = e.to_string();
        AskError::Failed(Failure { kind: FailureKind::Error, detail })
    });
    Ok(Box::pin(ready(encoded)))
}

fn here(node: &str, local: &LocalHandlers, traces: &[TraceId], now: Instant) -> Vec<RunningMessage> {
    let mut running = Vec::new();
    for host in local.hosts() {
        for (instance, handle) in (0..).zip(host.instances()) {
            let Some(report) = handle.activity.report(now) else { continue };
            let trace = TraceId(report.trace.trace_id);
            if traces.contains(&trace) {
                let (node, capability) = (node.to_string(), host.name.to_string());
                running.push(RunningMessage { trace, node, capability, instance, doing: report.to_string() });
            }
        }
    }
    running
}

impl Operator {
    /// The handlers of all nodes that run in these traces; a node that does not answer is left out.
    pub async fn running(&self, traces: &[TraceId]) -> Vec<RunningMessage> {
        let mut running = here(&self.node, &self.local, traces, self.env.now());
        if let Some(remote) = &self.remote {
            let members = remote.members().all();
            let asked = members.iter().map(|peer| ask_own(&self.env, (remote, peer), (NAME, &traces), LIMIT));
            let answers: Vec<Result<Vec<RunningMessage>, String>> = join_all(asked).await;
            running.extend(answers.into_iter().flatten().flatten());
        }
        running
    }
}
