//! Traces: an order through several processes, read by `essaim trace`.

use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::*;

/// What `essaim` says to these arguments, asked of a node at its socket.
pub fn said_at(node: &ClusterNode, arguments: &[&str]) -> Output {
    let data = node.data().display().to_string();
    let name = format!("node.name={}", node.name());
    essaim().args(arguments).args(["--data-dir", &data, "--set", &name]).output().expect("essaim runs")
}

pub fn text_at(node: &ClusterNode, arguments: &[&str]) -> String {
    let output = said_at(node, arguments);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {errors}");
    format!("{text}{errors}")
}

/// The messages of a trace, as `essaim trace ID --json` tells them: depth, name and node of each one, and when it began.
fn messages(node: &ClusterNode, id: &str) -> Vec<(u64, String, String, u64)> {
    let output = said_at(node, &["trace", id, "--json"]);
    let traces: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let spans = traces[0]["spans"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let message = |span: &Value| {
        let handled = if span["handled"].is_null() { &span["sent"] } else { &span["handled"] };
        let number = |field: &str| span[field].as_u64().expect("it is a number");
        (number("depth"), text(&handled["name"]), text(&handled["node"]), number("begin_us"))
    };
    spans.iter().map(message).collect()
}

#[test]
fn an_order_through_three_nodes_is_one_trace_in_causal_order_though_their_clocks_are_seconds_apart() {
    let (redis, clock) = (Redis::start(), Arc::new(Clock::new()));
    let apart = [("front", 0), ("shop", 7), ("identity", -4)];
    let topology = Cluster::of("config/split.toml").over(&redis).by(&clock);
    let mut cluster = apart.iter().fold(topology, |topology, (node, _)| topology.without(node)).start();
    // A node reads the wall clock for its records once, before it answers probes.
    for (node, seconds) in apart {
        clock.shows(seconds);
        let node = cluster.node(node);
        node.start();
        let admin = node.admin();
        let probe = || admin.try_send("GET", "/livez", None).ok().filter(|answer| answer.status == 200);
        eventually("the node to live", probe);
    }
    clock.shows(0);
    apart.iter().for_each(|(node, _)| cluster.node(node).wait_until_ready());
    let admin = eventually("the first administrator", || {
        let login = json!({ "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD });
        let answer = cluster.api().post("/auth/login", login);
        (answer.status == 200).then(|| cluster.admin())
    });
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    let front = cluster.node("front");
    // The order is confirmed by commands and events after it was answered; what is about it has its id as its key.
    let trace = eventually("the order's trace to be whole", || {
        let trace = messages(front, &order);
        trace.iter().any(|(_, name, ..)| name == "catalog.stock_reserved.v1").then_some(trace)
    });
    let (names, nodes): (Vec<_>, Vec<_>) =
        trace.iter().map(|(_, name, node, _)| (name.as_str(), node.as_str())).unzip();
    assert_eq!((trace[0].0, names[0], nodes[0]), (0, "POST /orders", "front"), "{trace:?}");
    assert!(nodes.contains(&"shop"), "{trace:?}");
    assert!(trace[1..].iter().all(|(depth, ..)| *depth > 0), "one tree: {trace:?}");
    let begins: Vec<_> = trace.iter().map(|(.., begin)| *begin).collect();
    let span = begins.iter().max().unwrap() - begins[0];
    assert!(begins.iter().all(|begin| *begin >= begins[0]) && span < 3_000_000, "{trace:?}");
    // Of the same message each form tells.
    let waterfall = text_at(front, &["trace", &order]);
    for part in ["POST /orders", "orders.place.v1", "orders@shop", "wire", "queue"] {
        assert!(waterfall.contains(part), "{part}: {waterfall}");
    }
    assert!(text_at(front, &["trace", &order, "--sequence"]).contains("gateway@front"));
    assert!(text_at(front, &["trace", &order, "--mermaid"]).starts_with("sequenceDiagram\n"));
    cluster.stop();
}

#[test]
fn messages_are_listed_as_they_end_and_what_cannot_be_understood_is_explained() {
    let mut cluster = Cluster::single().start();
    cluster.api().get("/products").is(200);
    cluster.api().get("/livez").is(200);
    cluster.api().get("/nowhere").is(404);
    let main = cluster.node("main");
    let listed = text_at(main, &["trace", "--once", "kind=request"]);
    assert!(listed.contains("GET /products") && listed.contains("GET /nowhere"), "{listed}");
    assert!(!listed.contains("/livez"), "probes are left out: {listed}");
    let refused = text_at(main, &["trace", "--once", "kind=request", "outcome!=ok"]);
    assert!(!refused.contains("/products") && refused.contains("status 404"), "{refused}");
    let json = text_at(main, &["trace", "--once", "name~products", "--json"]);
    let record: Value = serde_json::from_str(json.lines().next().expect("a record")).expect("a line is JSON");
    assert_eq!((&record["kind"], &record["node"]), (&json!("request"), &json!("main")));
    for (wrong, code, why) in [
        (&["trace", "colour=red"][..], 2, "no field `colour`"),
        (&["trace", "ran>5"], 2, "no duration"),
        (&["trace", "nothing-has-this-id"], 65, "there is no record"),
        (&["trace", "--mermaid"], 2, "a diagram is of one trace"),
        (&["trace", "--otlp", "kind=ask"], 2, "as is --otlp"),
    ] {
        let output = said_at(main, wrong);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{wrong:?}: {error}");
        assert!(error.contains(why), "{wrong:?}: {error}");
    }
    cluster.stop();
}

#[test]
fn records_are_personal_and_who_reads_them_is_audited() {
    let mut cluster = Cluster::single().set("node.operator_token", "sesame").start();
    let admin = cluster.node("main").admin();
    for (token, status) in [(None, 403), (Some("wrong"), 403), (Some("sesame"), 200)] {
        let asking = token.map_or_else(|| admin.clone(), |token| admin.bearing(token));
        for path in ["/trace/records", "/trace/show"] {
            let question = if path.ends_with("show") { json!({ "id": "x" }) } else { json!({}) };
            asking.post(path, question).is(status);
        }
    }
    let main = cluster.node("main");
    main.process().wait_for_line("an operator reads message records or log lines");
    admin.post("/durable/dead/drop", json!({ "ids": ["1", "2"] })).is(403);
    admin.bearing("sesame").post("/durable/dead/drop", json!({ "ids": ["1", "2"] })).is(200);
    let changed = main.process().wait_for_line("an operator changes something");
    assert!(
        changed.contains("drops dead letters 1 2") && changed.contains("operator_token (token, 127.0.0.1)"),
        "{changed}"
    );
    let address = main.admin().base().to_string();
    let said = |more: &[&str]| essaim().args(["trace", "--once", "--url", &address]).args(more).output().unwrap();
    assert_eq!(said(&["--set", "node.operator_token=sesame"]).status.code(), Some(0));
    let refused = said(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("node.operator_token"));
    cluster.stop();
    let mut without = Cluster::single().start();
    let refused = without.node("main").admin().post("/trace/show", json!({ "id": "x" })).is(403);
    assert!(refused["error"].as_str().is_some_and(|why| why.contains("at the node's socket")));
    without.stop();
}
