//! `essaim logs`: log lines of all nodes, as somebody at the command line reads them.

use serde_json::{Value, json};

use super::trace::{said_at, text_at};
use crate::support::*;

#[test]
fn the_lines_of_all_nodes_are_found_by_conditions_and_those_of_a_trace_though_it_is_not_sampled() {
    let redis = Redis::start();

    let mut cluster = Cluster::of("config/split.toml").over(&redis).set("gateway.trace_sample", "0").start();
    let api = cluster.api();
    let refused = api.post("/auth/login", json!({ "email": "nobody@example.org", "password": "wrong-password" }));
    assert_eq!(refused.status, 401);
    let front = cluster.node("front");
    let all = text_at(front, &["logs"]);
    for node in ["front", "shop", "identity"] {
        let own = text_at(front, &["logs", &format!("node={node}"), "--json"]);
        let lines: Vec<Value> = own.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| line["node"] == node), "{node}: {own}");
    }
    assert!(all.contains("/auth/login") && all.contains("status=401"), "{all}");
    let access = text_at(front, &["logs", "text~/auth/login", "--json"]);
    let access: Value = serde_json::from_str(access.lines().next().expect("a line")).expect("it is JSON");
    let trace = access["trace"].as_str().expect("the access log tells its trace");
    let of_trace = text_at(front, &["logs", &format!("trace={trace}")]);
    assert!(of_trace.contains("/auth/login"), "{of_trace}");
    assert!(text_at(front, &["trace", trace, "--logs"]).contains("status=401"));
    let grave = text_at(front, &["logs", "level>=error"]);
    assert!(!grave.contains("INFO"), "{grave}");
    assert_eq!(text_at(front, &["logs", "-n", "1", "node=front"]).lines().count(), 1);
    for (wrong, why) in [(&["logs", "colour=red"][..], "no field `colour`"), (&["logs", "level>loud"], "none of trace")]
    {
        let output = said_at(front, wrong);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(why), "{wrong:?}: {error}");
    }
    cluster.stop();
}

#[test]
fn a_node_without_a_ring_has_no_lines_and_who_reads_is_audited_once() {
    let mut cluster = Cluster::single().start();
    let main = cluster.node("main");
    text_at(main, &["logs", "level>=info"]);
    let audit = text_at(main, &["logs", "target=essaim::audit"]);
    assert_eq!(audit.lines().filter(|line| line.contains("reads=logs level>=info")).count(), 1, "{audit}");
    cluster.stop();
    let mut without = Cluster::single().set("log.ring_bytes", "0").start();
    assert_eq!(text_at(without.node("main"), &["logs"]), "");
    without.stop();
}
