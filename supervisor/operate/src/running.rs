//! What handlers do at the moment, in all nodes: an ask of the runtime's own, which each node answers however busy its actors are.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::activity::{ActivityReport, CurrentMessage, Wait};
use essaim_base::codec;
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered};
use essaim_core::node::bus::{Bus, LocalHandlers};
use essaim_protocol::frame::RawAnswer;
use essaim_store::LockHolder;
use essaim_trace::TraceId;
use futures_util::future::{LocalBoxFuture, join_all};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::own_ask::ask_own;
use crate::requests::Operator;

/// The wire name of the ask for what a node's handlers do.
pub(crate) const NAME: &str = "essaim.running.v1";

/// The longest wait for a server that is asked who holds its locks.
const LOCKS_LIMIT: Duration = Duration::from_secs(1);
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
pub(crate) fn answer(bus: &Arc<Bus>, body: &[u8]) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
    let unreadable = |e: codec::DecodeError| NotDelivered::Undecodable { message: NAME.into(), detail: e.to_string() };
    let traces: Vec<TraceId> = codec::decode(body).map_err(unreadable)?;
    let bus = bus.clone();
    Ok(Box::pin(async move {
        let running = here(&bus.settings.node.name, bus.local(), &traces, bus.env.now()).await;
        codec::encode(&running).map_err(|e| {
            let detail = e.to_string();
            AskError::Failed(Failure { kind: FailureKind::Error, detail })
        })
    }))
}

async fn here(node: &str, local: &LocalHandlers, traces: &[TraceId], now: Instant) -> Vec<RunningMessage> {
    let mut running = Vec::new();
    for host in local.hosts() {
        let found = (0..).zip(host.instances()).filter_map(|(instance, handle)| {
            let report = handle.activity.report(now)?;
            traces.contains(&TraceId(report.trace.trace_id)).then_some((instance, report))
        });
        let found: Vec<(u32, ActivityReport)> = found.collect();
        let database = host.database().filter(|_| found.iter().any(|(_, report)| waits_for_database(report)));
        let writer = database.as_ref().and_then(|database| database.writer());
        let locks = match database {
            Some(database) => database.lock_holders(LOCKS_LIMIT).await.unwrap_or_default(),
            None => Vec::new(),
        };
        for (instance, report) in found {
            let (trace, node, capability) = (TraceId(report.trace.trace_id), node.to_string(), host.name.to_string());
            let doing = format!("{report}{}", of_holders(&report, writer.as_ref(), &locks));
            running.push(RunningMessage { trace, node, capability, instance, doing });
        }
    }
    running
}

fn waits_for_database(report: &ActivityReport) -> bool {
    report.waits.as_ref().is_some_and(|(wait, _)| wait.is_database())
}

/// Who holds what a handler waits for in its database, as far as it is known.
fn of_holders(report: &ActivityReport, writer: Option<&CurrentMessage>, locks: &[LockHolder]) -> String {
    match (&report.waits, writer) {
        (Some((Wait::Connection, _)), Some(writer)) => {
            format!(", which a transaction of `{}` has (trace {})", writer.message, TraceId(writer.trace.trace_id))
        }
        _ if waits_for_database(report) && !locks.is_empty() => {
            let holders: Vec<_> = locks.iter().map(ToString::to_string).collect();
            format!(", where statements of this capability wait for locks of {}", holders.join(", "))
        }
        _ => String::new(),
    }
}

impl Operator {
    /// The handlers of all nodes that run in these traces; a node that does not answer is left out.
    pub(crate) async fn running(&self, traces: &[TraceId]) -> Vec<RunningMessage> {
        let mut running = here(&self.node, &self.local, traces, self.env.now()).await;
        if let Some(remote) = &self.remote {
            let members = remote.members().all();
            let asked = members.iter().map(|peer| ask_own(&self.env, (remote, peer), (NAME, &traces), LIMIT));
            let answers: Vec<Result<Vec<RunningMessage>, String>> = join_all(asked).await;
            running.extend(answers.into_iter().flatten().flatten());
        }
        running
    }
}
