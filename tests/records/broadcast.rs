//! A broadcast over Redis: what its sender and the nodes that hear it record is one sending.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::trace::{said_at, text_at};
use crate::support::*;

/// What orders say to all nodes when one is settled that nobody waits for in the node that settles it.
const SETTLED: &str = "orders.settled.v1";

fn json_at(node: &ClusterNode, arguments: &[&str]) -> Value {
    serde_json::from_slice(&said_at(node, arguments).stdout).unwrap_or_default()
}

/// The messages of that name in an order's trace.
fn settled(node: &ClusterNode, order: &str) -> Vec<Value> {
    let traces = json_at(node, &["trace", order, "--json"]);
    let spans = traces[0]["spans"].as_array().cloned().unwrap_or_default();
    let is_settled = |span: &Value| [&span["sent"], &span["handled"]].iter().any(|half| half["name"] == SETTLED);
    spans.into_iter().filter(is_settled).collect()
}

#[test]
fn a_broadcast_to_two_hosts_has_the_record_of_its_sender_and_one_of_each_that_hears_it() {
    let (redis, database) = (Redis::start(), Postgres::shared().database());
    let topology = Cluster::of("config/replicated.toml").over(&redis).on(&database);
    let mut cluster = topology.without("front-2").without("identity-2").start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 1_000);
    // An order is settled by the node that owns its partition, while the one that placed it waits: half of them are not the same.
    let mut orders = Vec::new();
    let order = eventually("an order that another node settles", || {
        orders.push(admin.order(&product, 1).is(201).id());
        orders.iter().find(|order| !settled(cluster.node("front-1"), order).is_empty()).cloned()
    });
    let spans = eventually("both nodes to have heard it", || {
        let spans = settled(cluster.node("front-1"), &order);
        (spans.len() == 2 && spans.iter().all(|span| !span["sent"].is_null())).then_some(spans)
    });
    let sent = &spans[0]["sent"];
    assert_eq!(*sent, spans[1]["sent"], "it was sent once");
    let fields = ["half", "kind", "outcome", "capability", "sender", "key"].map(|field| sent[field].clone());
    assert_eq!(fields, ["sent", "broadcast", "ok", "orders", "orders", &*order].map(Value::from), "{sent}");
    assert!(sent["bytes"].as_u64() > Some(0) && sent["peer"].is_null(), "{sent}");
    let heard: BTreeSet<_> =
        spans.iter().map(|span| (span["handled"]["node"].to_string(), span["handled"]["peer"].to_string())).collect();
    let (own, other) = if sent["node"] == "shop-1" { ("shop-1", "shop-2") } else { ("shop-2", "shop-1") };
    let expected = [(json!(own), Value::Null), (json!(other), json!(own))];
    assert_eq!(heard, expected.map(|(node, peer)| (node.to_string(), peer.to_string())).into(), "{spans:?}");
    for span in &spans {
        let handled = &span["handled"];
        assert_eq!((&handled["link"], &handled["bytes"]), (&sent["link"], &sent["bytes"]), "{span}");
        assert_eq!((&handled["parent"], &handled["key"]), (&sent["parent"], &sent["key"]), "{span}");
    }
    // The same for people, and for a receiver of traces: one producer, to which both consumers are linked.
    let waterfall = text_at(cluster.node("front-1"), &["trace", &order]);
    assert_eq!(waterfall.matches(SETTLED).count(), 2, "{waterfall}");
    let request = json_at(cluster.node("front-1"), &["trace", &order, "--otlp"]);
    let nodes = request["resourceSpans"].as_array().cloned().unwrap_or_default();
    let all = nodes.iter().flat_map(|node| node["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default());
    let named: Vec<_> = all.filter(|span| span["name"].as_str().is_some_and(|name| name.ends_with(SETTLED))).collect();
    let of_kind = |kind: u64| named.iter().filter(move |span| span["kind"] == kind).collect::<Vec<_>>();
    let (producers, consumers) = (of_kind(4), of_kind(5));
    assert_eq!((producers.len(), consumers.len()), (1, 2), "{named:?}");
    for consumer in consumers {
        assert_eq!(consumer["links"][0]["spanId"], producers[0]["spanId"], "{consumer}");
    }
    cluster.stop();
}
