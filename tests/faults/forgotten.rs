//! A Redis that goes on running and has forgotten what was in it.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Api, Cluster, ClusterNode, Redis, Scratch, essaim, eventually};

/// Each in a process of its own.
pub const APART: &str = r#"
[nodes.front]
hosts = ["gateway", "cache"]
[nodes.identity]
hosts = ["users", "auth"]
[nodes.stock]
hosts = ["catalog"]
[nodes.desk]
hosts = ["orders"]
"#;

/// The exit code of a ledger that does not balance.
pub const DATA: i32 = 65;

/// Places an order; its id.
pub fn placed(admin: &Api, product: &str) -> String {
    let answer = admin.order(product, 1);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    answer.id()
}

pub fn status_of(admin: &Api, order: &str) -> String {
    admin.get(&format!("/orders/{order}")).is(200)["status"].as_str().unwrap_or_default().to_string()
}

#[track_caller]
pub fn wait_until_confirmed(admin: &Api, orders: &[String]) {
    for order in orders {
        eventually("an order to be confirmed", || (status_of(admin, order) == "confirmed").then_some(()));
    }
}

/// Messages that wait in the log for a capability.
pub fn waiting(redis: &Redis, capability: &str) -> u64 {
    let counts: Vec<String> = redis.command(&format!("KEYS essaim:log:{capability}:*:counts"));
    counts.iter().map(|key| redis.command::<Option<u64>>(&format!("HGET {key} waiting")).unwrap_or(0)).sum()
}

/// How many messages of a capability are accounted for, less those that were appended.
pub fn difference(node: &ClusterNode, capability: &str) -> i64 {
    let ledger = node.admin().post("/durable/ledger", json!({ "capability": capability })).is(200);
    let lines = ledger["lines"].as_array().expect("there are lines");
    let number = |line: &Value, column: &str| line[column].as_i64().unwrap_or_else(|| panic!("{line}"));
    let of = |line: &Value| {
        let all = ["handled", "duplicates", "dead", "expired", "waiting", "parked"].map(|column| number(line, column));
        all.iter().sum::<i64>() - number(line, "appended") - number(line, "before")
    };
    lines.iter().map(of).sum()
}

/// Exit code and output of `essaim ledger --at-rest`, once nothing is on its way.
pub fn ledger(node: &ClusterNode) -> (Option<i32>, String) {
    eventually("the ledger to be at rest", || {
        let address = node.admin().base().trim_start_matches("http://").to_string();
        let mut command = essaim();
        let Output { status, stdout, stderr } =
            command.args(["ledger", "--at-rest", "--url", &address]).output().expect("essaim runs");
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        let rests = matches!(status.code(), Some(0 | DATA)) && !text.contains("it is not at rest");
        rests.then(|| (status.code(), text))
    })
}

#[test]
fn orders_are_confirmed_again_after_a_running_redis_was_flushed() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000);
    let before: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &before);
    for round in 0..3 {
        redis.command::<()>(if round == 1 { "FLUSHDB" } else { "FLUSHALL" });
        let after: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
        wait_until_confirmed(&admin, &after);
    }
    assert_eq!(admin.get(&format!("/products/{tea}")).is(200)["stock"], 960);
    let (code, said) = ledger(cluster.node("front"));
    assert_eq!(code, Some(0), "nothing was on its way: {said}");
    cluster.stop();
}

#[test]
fn what_waited_in_a_redis_that_was_flushed_is_missing_in_the_ledger_and_nothing_after_it() {
    let (redis, scratch) = (Redis::start(), Scratch::new("forgotten"));
    let topology = scratch.write("apart.toml", APART);
    let cluster = Cluster::of(&topology.display().to_string()).over(&redis).set("orders.wait_ms", 0);
    let mut cluster = cluster.set("orders.pending_timeout_ms", 5_000).set("orders.repair_every_ms", 500).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000);
    let before: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &before);
    let (code, said) = ledger(cluster.node("front"));
    assert_eq!(code, Some(0), "{said}");

    // With no host of catalog, orders that are placed now wait in Redis until it forgets them.
    cluster.node("stock").kill();
    let lost: Vec<_> = (0..3).map(|_| placed(&admin, &tea)).collect();
    eventually("what was ordered to wait in the log", || (waiting(&redis, "catalog") == 3).then_some(()));
    redis.command::<()>("FLUSHALL");
    cluster.node("stock").restart();
    let after: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &after);
    for order in &lost {
        eventually("a lost order to be given up", || (status_of(&admin, order) != "pending").then_some(()));
    }
    assert_eq!(admin.get(&format!("/products/{tea}")).is(200)["stock"], 980);
    let (code, said) = ledger(cluster.node("front"));
    assert_eq!((code, difference(cluster.node("front"), "catalog")), (Some(DATA), -3), "{said}");
    assert_eq!(difference(cluster.node("front"), "orders"), 0, "{said}");
    let mut told = 0;
    for node in cluster.running() {
        let lines = node.process().lines();
        let of_log = lines.iter().filter(|line| line.contains("Redis has forgotten what the log kept there")).count();
        assert!(of_log <= 1, "`{}` says it again and again: {lines:#?}", node.name());
        told += of_log;
    }
    assert!(told > 0, "somebody says it");
    cluster.stop();
}
