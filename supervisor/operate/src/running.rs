//! What handlers do at the moment, in all nodes: an ask of the runtime's own, which each node answers however busy its actors are.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::activity::{ActivityReport, CurrentMessage, Wait};
use essaim_core::node::bus::Bus;
use essaim_store::LockHolder;
use essaim_trace::TraceId;
use serde::{Deserialize, Serialize};

use crate::node_ask::NodeAsk;
use crate::requests::Operator;

/// The longest wait for a server that is asked who holds its locks.
const LOCKS_LIMIT: Duration = Duration::from_secs(1);

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

/// Those of a node in these traces.
#[derive(Serialize, Deserialize)]
pub(crate) struct Question(Vec<TraceId>);

impl NodeAsk for Question {
    const NAME: &'static str = "essaim.running.v1";
    type Answer = Vec<RunningMessage>;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<Vec<RunningMessage>, String> {
        let now = bus.env.now();
        let mut running = Vec::new();
        for host in bus.local().hosts() {
            let found = (0..).zip(host.instances()).filter_map(|(instance, handle)| {
                let report = handle.activity.report(now)?;
                self.0.contains(&TraceId(report.trace.trace_id)).then_some((instance, report))
            });
            let found: Vec<(u32, ActivityReport)> = found.collect();
            let database = host.database().filter(|_| found.iter().any(|(_, report)| waits_for_database(report)));
            let writer = database.as_ref().and_then(|database| database.writer());
            let locks = match database {
                Some(database) => database.lock_holders(LOCKS_LIMIT).await.unwrap_or_default(),
                None => Vec::new(),
            };
            for (instance, report) in found {
                let (trace, node, capability) =
                    (TraceId(report.trace.trace_id), bus.settings.node.name.clone(), host.name.to_string());
                let doing = format!("{report}{}", of_holders(&report, writer.as_ref(), &locks));
                running.push(RunningMessage { trace, node, capability, instance, doing });
            }
        }
        Ok(running)
    }
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
        let answers = self.ask_nodes(|_| Question(traces.to_vec())).await;
        answers.into_iter().filter_map(|(_, running)| running.ok()).flatten().collect()
    }
}
