//! Figures of all nodes: what they count, and how fast that grew since an earlier report.

use std::collections::BTreeMap;

use essaim::api::MessageCounts;
use serde::Deserialize;

/// What is shown of a node's `/status`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Report {
    node: String,
    uptime_ms: u64,
    capabilities: BTreeMap<String, Hosted>,
    outages: Vec<Outage>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Hosted {
    instances: u64,
    up: u64,
    admitted: u64,
    limit: u64,
    restarts: u64,
    durable: Option<Durable>,
    /// A node of an earlier version does not tell.
    messages: Option<MessageCounts>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Durable {
    waiting: u64,
    parked: u64,
    dead: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Outage {
    dependency: String,
    cause: String,
    since_ms: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Member {
    node: String,
    report: Option<Report>,
    problem: Option<String>,
}

/// All nodes at one moment.
#[derive(Debug, Default)]
pub struct Sample {
    pub rows: Vec<Row>,
    /// What does not work, in words.
    pub troubles: Vec<String>,
    pub report: Report,
}

/// One capability in one node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub capability: String,
    pub node: String,
    pub up: u64,
    pub instances: u64,
    pub admitted: u64,
    pub limit: u64,
    /// Messages a second, and those of them that failed.
    pub rate: Option<f64>,
    pub errors: Option<f64>,
    /// Times in the mailbox and in handlers, in microseconds.
    pub waited_p50: Option<u64>,
    pub waited_p99: Option<u64>,
    pub ran_p50: Option<u64>,
    pub ran_p99: Option<u64>,
    pub restarts: u64,
    /// Durable messages of the capability in all nodes: in the log, in its database, and dead.
    pub waiting: Option<u64>,
    pub parked: Option<u64>,
    pub dead: Option<u64>,
}

impl Report {
    /// Its own, and those of the other nodes that give one.
    fn all(&self) -> impl Iterator<Item = &Report> {
        std::iter::once(self).chain(self.members.iter().filter_map(|member| member.report.as_ref()))
    }
}

impl Sample {
    /// The figures of a report, and their growth since an earlier one; without that since the nodes started.
    pub fn of(report: Report, earlier: Option<&Sample>) -> Self {
        let before =
            |node: &Report| earlier?.report.all().find(|old| old.node == node.node && old.uptime_ms < node.uptime_ms);
        let mut sample = Self::default();
        for node in report.all() {
            let before = before(node);
            let seconds = (node.uptime_ms - before.map_or(0, |before| before.uptime_ms)).max(1) as f64 / 1_000.0;
            for (name, hosted) in &node.capabilities {
                let earlier = before.and_then(|before| before.capabilities.get(name));
                sample.rows.push(row(&node.node, name, hosted, earlier, seconds));
            }
            let trouble = |Outage { dependency, cause, since_ms }: &Outage| {
                format!("{}: {dependency} does not work for {} s: {cause}", node.node, since_ms / 1_000)
            };
            sample.troubles.extend(node.outages.iter().map(trouble));
        }
        let silent = |member: &Member| Some(format!("{}: no report: {}", member.node, member.problem.as_ref()?));
        sample.troubles.extend(report.members.iter().filter_map(silent));
        sample.report = report;
        sample
    }
}

fn row(node: &str, name: &str, hosted: &Hosted, earlier: Option<&Hosted>, seconds: f64) -> Row {
    let none = MessageCounts::default();
    let before = earlier.and_then(|earlier| earlier.messages.as_ref()).unwrap_or(&none);
    let counts = hosted.messages.as_ref().map(|messages| messages.since(before));
    let Hosted { instances, up, admitted, limit, restarts, ref durable, .. } = *hosted;
    let of_durable = |of: fn(&Durable) -> u64| durable.as_ref().map(of);
    let times = counts.as_ref();
    Row {
        capability: name.into(),
        node: node.into(),
        up,
        instances,
        admitted,
        limit,
        rate: times.map(|counts| counts.all() as f64 / seconds),
        errors: times.map(|counts| counts.errors() as f64 / seconds),
        waited_p50: times.and_then(|counts| counts.waited.p50_us),
        waited_p99: times.and_then(|counts| counts.waited.p99_us),
        ran_p50: times.and_then(|counts| counts.ran.p50_us),
        ran_p99: times.and_then(|counts| counts.ran.p99_us),
        restarts,
        waiting: of_durable(|durable| durable.waiting),
        parked: of_durable(|durable| durable.parked),
        dead: of_durable(|durable| durable.dead),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A report of two nodes, one of which gives none; `front` has handled so many messages in so many seconds.
    pub fn report(seconds: u64, ok: u64, failed: u64) -> Report {
        let json = serde_json::json!({
            "node": "front", "uptime_ms": seconds * 1_000,
            "capabilities": { "orders": {
                "instances": 4, "up": 3, "admitted": 7, "limit": 1024, "restarts": 2,
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
        assert_eq!((first.rows[0].rate, first.rows[0].errors), (Some(10.0), Some(1.0)));
        assert!(first.rows[0].ran_p99.is_some_and(|us| (10..=25).contains(&us)), "{first:?}");
        let second = Sample::of(report(12, 100, 10), Some(&first));
        assert_eq!((second.rows[0].rate, second.rows[0].errors), (Some(5.0), Some(0.0)));
        // A node that has started anew counts from its start.
        let anew = Sample::of(report(2, 4, 0), Some(&second));
        assert_eq!(anew.rows[0].rate, Some(2.0));
        let quiet = Sample::of(report(14, 100, 10), Some(&second));
        assert_eq!((quiet.rows[0].rate, quiet.rows[0].ran_p50), (Some(0.0), None));
    }

    #[test]
    fn outages_and_silent_nodes_are_told() {
        let troubles = Sample::of(report(1, 0, 0), None).troubles;
        assert_eq!(troubles, ["front: the log does not work for 12 s: refused", "shop: no report: it is not heard"]);
    }
}
