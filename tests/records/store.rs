//! Stored records: traces that are whole although nodes have ended, and a file that stays within its bound.

use std::path::PathBuf;

use serde_json::Value;

use super::trace::said_at;
use crate::support::*;

/// All span ids of a trace with the names of their messages, as `essaim trace ID --json` tells them.
pub fn spans(node: &ClusterNode, id: &str) -> Vec<(String, String)> {
    let output = said_at(node, &["trace", id, "--json"]);
    let traces: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let spans = traces[0]["spans"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let span = |span: &Value| {
        let half = if span["handled"].is_null() { &span["sent"] } else { &span["handled"] };
        (text(&half["span"]), text(&half["name"]))
    };
    spans.iter().map(span).collect()
}

/// The value of a metric of a node.
fn metric(node: &ClusterNode, name: &str) -> f64 {
    let text = node.admin().get("/metrics").text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("{name} is in {text}"))
}

/// Waits until this node has stored all records that were written until now: turns have begun since, and have ended.
pub fn wait_until_gathered(node: &ClusterNode, api: &Api) {
    const LOOKS: u32 = 8;
    let (mut before, mut turns) = (0.0, 0);
    eventually("all records to be gathered", || {
        // Each turn has something to store.
        api.get("/products").is(200);
        let gathered = metric(node, "essaim_records_gathered_total");
        turns += u32::from(gathered > before);
        before = gathered;
        (turns >= LOOKS).then_some(())
    });
}

pub fn file_of(node: &ClusterNode) -> PathBuf {
    node.data().join("trace.sqlite3")
}

#[test]
fn a_trace_is_whole_after_the_node_that_handled_it_died_and_after_the_one_that_stores_was_restarted() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml")
        .over(&redis)
        .set("trace.store_node", "front")
        .set("trace.store_interval_ms", 200)
        .start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    let api = cluster.api();
    let front = cluster.node("front");
    let whole = |trace: &[(String, String)]| trace.iter().any(|(_, name)| name == "catalog.stock_reserved.v1");
    eventually("the order's trace", || whole(&spans(front, &order)).then_some(()));
    wait_until_gathered(front, &api);
    let before = spans(front, &order);
    assert_eq!(before[0].1, "POST /orders", "{before:?}");
    cluster.node("shop").kill();
    assert_eq!(spans(cluster.node("front"), &order), before, "shop is dead");
    // From another node, too.
    assert_eq!(spans(cluster.node("identity"), &order), before, "asked at identity");
    let front = cluster.node("front");
    front.stop();
    front.start();
    // Without the shop its gateway is not ready; its operators are answered.
    eventually("the trace after a restart", || (spans(front, &order) == before).then_some(()));
    let listed = said_at(front, &["trace", "--once", &format!("key={order}")]);
    let listed = String::from_utf8_lossy(&listed.stdout).to_string();
    assert!(listed.contains("orders.place.v1") || listed.contains("catalog.reserve.v1"), "{listed}");
    // The node that stores is away: the others say so.
    front.kill();
    let said = said_at(cluster.node("identity"), &["trace", &order]);
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.contains("`front` did not answer"), "{said}");
    cluster.node("shop").restart();
    cluster.node("front").restart();
    cluster.stop();
}

#[test]
fn a_single_process_finds_a_trace_by_the_key_of_its_order_after_a_restart() {
    let mut cluster = Cluster::single().set("trace.store_interval_ms", 200).start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    let api = cluster.api();
    let main = cluster.node("main");
    wait_until_gathered(main, &api);
    let before = spans(main, &order);
    assert!(before.len() > 3, "{before:?}");
    main.stop();
    main.restart();
    assert_eq!(spans(main, &order), before);
    // What is listed once is listed once, whether it is stored, or still in memory, or both.
    cluster.api().get("/products").is(200);
    let main = cluster.node("main");
    let listed = said_at(main, &["trace", "--once", "--json", "half=handled"]);
    let listed = String::from_utf8_lossy(&listed.stdout).to_string();
    let mut lines: Vec<_> = listed.lines().collect();
    assert!(lines.iter().any(|line| line.contains("GET /products")), "{listed}");
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), all, "no record comes twice");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file_of(main)).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    cluster.stop();
}

#[test]
fn a_node_whose_store_cannot_be_read_is_not_away() {
    let mut cluster = Cluster::single().set("trace.store_interval_ms", 200).start();
    let api = cluster.api();
    let main = cluster.node("main");
    wait_until_gathered(main, &api);
    std::fs::rename(file_of(main), main.data().join("aside.sqlite3")).expect("the file is there");
    std::fs::create_dir(file_of(main)).expect("a directory");
    main.process().wait_for_line("the store of message records does not work");
    api.get("/nobodys").is(404);
    let id = || {
        let listed = said_at(main, &["trace", "--once", "--json", "name~nobodys"]).stdout;
        let record: Value = serde_json::from_slice(&listed).unwrap_or_default();
        record["trace"].as_str().map(String::from)
    };
    let id = eventually("the record of the request", id);
    for arguments in [&["trace", "--once", "name~nobodys"][..], &["trace", &id], &["why", &id]] {
        let said = said_at(main, arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.contains("nobodys") || arguments[0] == "why", "{arguments:?}: {said}");
        assert!(
            said.contains("the records that node `main` stores of all nodes were not read"),
            "{arguments:?}: {said}"
        );
        assert!(!said.contains("did not answer"), "{arguments:?}: {said}");
    }
    cluster.stop();
}

#[test]
fn what_was_recorded_right_before_a_stop_is_there_after_a_restart() {
    let mut cluster = Cluster::single().set("trace.store_interval_ms", 3_600_000).start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    let main = cluster.node("main");
    main.stop();
    main.restart();
    assert!(spans(main, &order).len() > 3, "{:?}", spans(main, &order));
    cluster.stop();
}

#[test]
fn what_a_node_recorded_right_before_it_left_is_stored_by_another() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml")
        .over(&redis)
        .set("trace.store_node", "front")
        .set("trace.store_interval_ms", 3_600_000)
        .start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    let front = cluster.node("front");
    let before = eventually("the order's trace", || {
        let trace = spans(front, &order);
        trace.iter().any(|(_, name)| name == "catalog.stock_reserved.v1").then_some(trace)
    });
    cluster.node("shop").stop();
    let after = spans(cluster.node("front"), &order);
    assert!(before.iter().all(|span| after.contains(span)), "{after:?} lacks some of {before:?}");
    cluster.node("shop").restart();
    cluster.stop();
}

#[test]
fn under_load_the_file_stays_within_its_bound_and_old_traces_go() {
    const MOST: u64 = 8 << 20;
    const REQUESTS: usize = 500;
    let mut cluster = Cluster::single()
        .set("gateway.rate_limit_per_second", 0)
        // All traces are kept.
        .set("trace.ring_seconds", 1)
        .set("trace.store_bytes", MOST)
        .set("trace.store_records_per_second", 1_000_000)
        .set("trace.store_interval_ms", 100)
        .start();
    let stored =
        |node: &ClusterNode| said_at(node, &["trace", "--once", "kind=request", "name~oldest", "at>1h"]).stdout;
    cluster.api().get("/oldest").is(404);
    let main = cluster.node("main");
    let is_listed = |node: &ClusterNode| String::from_utf8_lossy(&stored(node)).contains("/oldest");
    eventually("the first request to be stored", || is_listed(main).then_some(()));
    let api = cluster.api();
    let main = cluster.node("main");
    // Its record is as long.
    let long = format!("/{}", "long".repeat(400));
    eventually("the oldest trace to go", || {
        (0..REQUESTS).for_each(|_| drop(api.get(&long).is(404)));
        let size = std::fs::metadata(file_of(main)).map_or(0, |metadata| metadata.len());
        assert!(size <= MOST, "{size} bytes");
        (!is_listed(main)).then_some(())
    });
    let main = cluster.node("main");
    assert!(metric(main, "essaim_records_stored_bytes") <= 2.0 * MOST as f64);
    cluster.stop();
}
