//! Figures of all nodes: what they count, and how fast that grew since an earlier report.

use essaim_base::outages::OutageStatus;
use serde::Serialize;
use serde_json::Value;

use crate::api::{DurableReport, MessageCounts};
use crate::{CapabilityStatus, MemberStatus, NodeStatus};

/// All nodes at one moment.
#[derive(Debug, Default)]
pub struct Sample {
    /// Each capability in each node.
    pub rows: Vec<Row>,
    /// What does not work, in words.
    pub troubles: Vec<String>,
    /// What they are read from.
    pub report: NodeStatus,
}

/// One capability in one node.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub capability: String,
    /// The node's name.
    pub node: String,
    /// Instances that are up.
    pub up: usize,
    /// Instances.
    pub instances: usize,
    /// Messages admitted and not done.
    pub admitted: u32,
    /// Messages that may be admitted.
    pub limit: u32,
    /// Messages a second.
    pub rate: f64,
    /// Those of them that failed.
    pub errors: f64,
    /// Half of them waited no longer in the mailbox, in microseconds; none without messages.
    pub waited_p50: Option<u64>,
    /// 99 of a hundred waited no longer.
    pub waited_p99: Option<u64>,
    /// Half of the handlers ran no longer.
    pub ran_p50: Option<u64>,
    /// 99 of a hundred ran no longer.
    pub ran_p99: Option<u64>,
    /// Restarts of instances.
    pub restarts: u64,
    /// Durable messages of the capability in all nodes that wait in the log.
    pub waiting: Option<u64>,
    /// Those that wait in its database.
    pub parked: Option<u64>,
    /// Those that are dead.
    pub dead: Option<u64>,
}

impl Sample {
    /// The figures of a report, and their growth since an earlier one; without that since the nodes started.
    pub fn of(report: NodeStatus, earlier: Option<&Sample>) -> Self {
        let before = |node: &NodeStatus| {
            earlier?.report.reports().find(|old| old.node == node.node && old.uptime_ms < node.uptime_ms)
        };
        let mut sample = Self::default();
        for node in report.reports() {
            let before = before(node);
            let seconds = (node.uptime_ms - before.map_or(0, |before| before.uptime_ms)).max(1) as f64 / 1_000.0;
            for (name, hosted) in &node.capabilities {
                let earlier = before.and_then(|before| before.capabilities.get(name));
                sample.rows.push(row(&node.node, name, hosted, earlier, seconds));
            }
            let trouble = |OutageStatus { dependency, cause, since_ms, .. }: &OutageStatus| {
                format!("{}: {dependency} does not work for {} s: {cause}", node.node, since_ms / 1_000)
            };
            sample.troubles.extend(node.outages.iter().map(trouble));
        }
        let silent = |member: &MemberStatus| Some(format!("{}: no report: {}", member.node, member.problem.as_ref()?));
        sample.troubles.extend(report.members.iter().filter_map(silent));
        sample.report = report;
        sample
    }
}

fn row(node: &str, name: &str, hosted: &CapabilityStatus, earlier: Option<&CapabilityStatus>, seconds: f64) -> Row {
    let none = MessageCounts::default();
    let counts = hosted.messages.since(earlier.map_or(&none, |earlier| &earlier.messages));
    let CapabilityStatus { instances, up, admitted, limit, restarts, .. } = *hosted;
    let (served, failed) = requests(&hosted.figures);
    let (served_before, failed_before) = earlier.map(|earlier| requests(&earlier.figures)).unwrap_or_default();
    let of_durable = |of: fn(&DurableReport) -> u64| hosted.durable.as_ref().map(of);
    Row {
        capability: name.into(),
        node: node.into(),
        up,
        instances,
        admitted,
        limit,
        rate: (counts.all() + served - served_before) as f64 / seconds,
        errors: (counts.errors() + failed - failed_before) as f64 / seconds,
        waited_p50: counts.waited.p50_us,
        waited_p99: counts.waited.p99_us,
        ran_p50: counts.ran.p50_us,
        ran_p99: counts.ran.p99_us,
        restarts,
        waiting: of_durable(|durable| durable.waiting),
        parked: of_durable(|durable| durable.parked),
        dead: of_durable(|durable| durable.dead),
    }
}

/// Requests from outside that were answered, and those that failed, by the figures of a capability that counts them.
fn requests(figures: &Value) -> (u64, u64) {
    let count = |outcome: &str| figures["requests"][outcome].as_u64().unwrap_or(0);
    let answered = ["succeeded", "redirected", "refused", "failed", "abandoned"].map(count);
    (answered.iter().sum(), count("failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of two nodes, one of which gives none; `front` has handled so many messages in so many seconds.
    fn report(seconds: u64, ok: u64, failed: u64) -> NodeStatus {
        let json = serde_json::json!({
            "node": "front", "uptime_ms": seconds * 1_000,
            "capabilities": { "orders": {
                "state": "running", "instances": 4, "up": 3, "admitted": 7, "limit": 1024, "restarts": 2,
                "durable": { "waiting": 5, "parked": 1, "dead": 9 },
                "messages": { "outcomes": { "ok": ok, "failed": failed }, "ran": { "buckets": [0, 0, ok] } },
            } },
            "outages": [{ "dependency": "the log", "cause": "refused", "since_ms": 12_000 }],
            "members": [{ "node": "shop", "problem": "it is not heard" }],
        });
        serde_json::from_value(json).expect("it is a report")
    }

    #[test]
    fn rates_are_those_since_the_last_look_and_at_first_since_the_start() {
        let first = Sample::of(report(10, 90, 10), None);
        assert_eq!((first.rows[0].rate, first.rows[0].errors), (10.0, 1.0));
        assert!(first.rows[0].ran_p99.is_some_and(|us| (10..=25).contains(&us)), "{first:?}");
        let second = Sample::of(report(12, 100, 10), Some(&first));
        assert_eq!((second.rows[0].rate, second.rows[0].errors), (5.0, 0.0));
        // A node that has started anew counts from its start.
        let anew = Sample::of(report(2, 4, 0), Some(&second));
        assert_eq!(anew.rows[0].rate, 2.0);
        let quiet = Sample::of(report(14, 100, 10), Some(&second));
        assert_eq!((quiet.rows[0].rate, quiet.rows[0].ran_p50), (0.0, None));
    }

    #[test]
    fn requests_from_outside_are_counted_with_messages() {
        let at = |seconds: u64, succeeded: u64, failed: u64| {
            let requests =
                serde_json::json!({ "in_flight": 9, "succeeded": succeeded, "refused": 1, "failed": failed });
            let gateway = serde_json::json!({ "state": "running", "figures": { "requests": requests } });
            let json = serde_json::json!({
                "node": "front", "uptime_ms": seconds * 1_000, "capabilities": { "gateway": gateway },
            });
            serde_json::from_value::<NodeStatus>(json).expect("it is a report")
        };
        let first = Sample::of(at(10, 9, 0), None);
        assert_eq!((first.rows[0].rate, first.rows[0].errors), (1.0, 0.0));
        let second = Sample::of(at(12, 13, 2), Some(&first));
        assert_eq!((second.rows[0].rate, second.rows[0].errors), (3.0, 1.0));
    }

    #[test]
    fn outages_and_silent_nodes_are_told() {
        let troubles = Sample::of(report(1, 0, 0), None).troubles;
        assert_eq!(troubles, ["front: the log does not work for 12 s: refused", "shop: no report: it is not heard"]);
    }
}
