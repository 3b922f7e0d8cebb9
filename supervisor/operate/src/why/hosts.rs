//! What is wrong with the nodes that host a capability, or hosted it.

use std::collections::BTreeSet;

use essaim_core::local::supervision::Health;
use essaim_trace::duration;

use crate::requests::Operator;
use crate::{MemberStatus, NodeStatus};

/// What keeps these capabilities from their work, as far as nodes know.
pub(super) async fn sentences(operator: &Operator, capabilities: &BTreeSet<String>) -> Vec<String> {
    let status = NodeStatus::of_bus(&operator.bus).await;
    capabilities.iter().flat_map(|capability| of_hosts(&status, capability)).collect()
}

fn of_hosts(status: &NodeStatus, capability: &str) -> Vec<String> {
    let for_ms = |ms: u64| duration(ms.saturating_mul(1_000));
    let absent = status.absent.iter().filter(|absent| absent.hosted.iter().any(|hosted| hosted == capability));
    let absent = absent.map(|absent| {
        let since = for_ms(absent.absent_ms);
        format!("Node `{}`, which hosts `{capability}`, is gone for {since}: {}.", absent.node, absent.why)
    });
    let silent = status.members.iter().filter(|member| member.capabilities.contains_key(capability));
    let silent = silent.filter_map(|member| {
        let MemberStatus { node, heard_ms_ago, problem, .. } = member;
        let (problem, heard) = (problem.as_ref()?, for_ms(*heard_ms_ago));
        Some(format!(
            "Node `{node}`, which hosts `{capability}`, was last heard {heard} ago and does not answer: {problem}."
        ))
    });
    let hosts = status.reports().filter(|report| report.capabilities.contains_key(capability));
    let wrong = hosts.flat_map(|report| {
        let node = &report.node;
        let blocking = report.blocking.iter().map(move |blocking| {
            let (handler, since) = (&blocking.handler, for_ms(blocking.blocked_ms));
            format!(
                "In node `{node}` the handler of `{handler}` blocks its thread for {since}: all that shares arbiter {} waits.",
                blocking.arbiter
            )
        });
        // The bridge is everybody's; a database is its capability's.
        let own = format!("`{capability}`");
        let outages = report.outages.iter().filter(move |outage| {
            !outage.dependency.contains('`') || outage.dependency.ends_with(&own)
        });
        let outages = outages.map(move |outage| {
            let since = for_ms(outage.since_ms);
            format!("In node `{node}` {} does not work for {since}: {}.", outage.dependency, outage.cause)
        });
        let health = report.capabilities.get(capability).and_then(|one| match &one.health {
            Health::Starting { reason } | Health::Failed { reason } if !reason.is_empty() => Some(reason),
            _ => None,
        });
        let health = health.map(move |reason| format!("`{capability}@{node}` does not run: {reason}."));
        blocking.chain(outages).chain(health)
    });
    absent.chain(silent).chain(wrong).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_that_are_gone_silent_or_ill_are_named_for_what_they_host_and_no_others() {
        let ill = json!({
            "node": "stock", "capabilities": { "catalog": { "state": "failed", "reason": "no table" } },
            "blocking": [{ "arbiter": "1", "handler": "catalog.reserve.v1", "blocked_ms": 3_000 }],
            "outages": [
                { "dependency": "the database of `catalog`", "cause": "refused", "since_ms": 2_000 },
                { "dependency": "the database of `orders`", "cause": "refused", "since_ms": 2_000 },
            ],
        });
        let status: NodeStatus = serde_json::from_value(json!({
            "node": "front",
            "members": [
                { "node": "stock", "capabilities": { "catalog": {} }, "report": ill },
                { "node": "mute", "heard_ms_ago": 900, "problem": "no answer", "capabilities": { "catalog": {} } },
            ],
            "absent": [{ "node": "old", "hosted": ["catalog"], "absent_ms": 4_000, "why": "it has left" }],
        }))
        .unwrap();
        let expected = [
            "Node `old`, which hosts `catalog`, is gone for 4 s: it has left.",
            "Node `mute`, which hosts `catalog`, was last heard 900 ms ago and does not answer: no answer.",
            "In node `stock` the handler of `catalog.reserve.v1` blocks its thread for 3 s: all that shares arbiter 1 waits.",
            "In node `stock` the database of `catalog` does not work for 2 s: refused.",
            "`catalog@stock` does not run: no table.",
        ];
        assert_eq!(of_hosts(&status, "catalog"), expected);
        assert_eq!(of_hosts(&status, "orders"), [""; 0]);
    }
}
