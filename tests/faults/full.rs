//! A Redis whose memory is used up: asks are answered, leases are kept, stored messages are worked on, and messages
//! that cannot be stored are refused.

use std::time::Instant;

use serde_json::json;

use super::forgotten::{ledger, placed, wait_until_confirmed};
use super::stage::{LEASE, short_lease};
use crate::support::{Cluster, ClusterNode, Redis, eventually};

/// What a node writes when it finds that nothing can be stored, and when that is over.
const FULL: &str = "the log does not work";
const ROOM: &str = "the log works again";
/// Orders that are tried: more than the outbox has room for.
const TRIED: usize = 40;

fn times(node: &mut ClusterNode, text: &str) -> usize {
    node.process().lines().iter().filter(|line| line.contains(text)).count()
}

/// Waits until a node says at `/readyz` that the server is full.
#[track_caller]
fn says_full(node: &ClusterNode) {
    eventually(&format!("`{}` to say that Redis is full", node.name()), || {
        let answer = node.admin().try_send("GET", "/readyz", None).ok()?;
        (answer.status == 503 && answer.text.contains("its memory is full")).then_some(())
    });
}

#[test]
fn over_a_full_redis_asks_are_answered_and_afterwards_all_goes_on() {
    let redis = Redis::start();
    let mut cluster = short_lease(Cluster::of("config/split.toml").over(&redis))
        .set("gateway.rate_limit_per_second", 0)
        .set("durable.outbox_messages", 4)
        .set("durable.backoff_most_ms", 200)
        .set("orders.wait_ms", 0)
        .start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000);
    let mut orders: Vec<_> = (0..5).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &orders);
    let epochs: Vec<_> = cluster.running().map(|node| (node.name().to_string(), node.epoch())).collect();

    redis.command::<()>("CONFIG SET maxmemory 1");
    let begun = Instant::now();
    for node in cluster.running() {
        says_full(node);
    }
    eventually("two leases to pass", || {
        assert_eq!(admin.get(&format!("/products/{tea}")).is(200)["stock"], 995, "asks are answered all along");
        (begun.elapsed() > 2 * LEASE).then_some(())
    });
    for (name, epoch) in &epochs {
        assert_eq!(cluster.node(name).epoch(), *epoch);
    }

    let order = |number: usize| {
        let lines = json!({ "lines": [{ "product_id": tea, "quantity": 1 }] });
        admin.with("Idempotency-Key", &format!("full-{number}")).send("POST", "/orders", Some(lines))
    };
    let refused = (0..TRIED).map(order).find(|answer| {
        if answer.status == 201 {
            orders.push(answer.id());
        }
        answer.status != 201
    });
    let refused = refused.expect("there is not room for all").problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some(), "{}", refused.text);
    let taken = orders.len();
    assert!(taken > 5, "what a transaction sends waits in its database");

    // Nodes leave, die and come back: one that could not start could not make room either.
    cluster.node("identity").stop();
    cluster.node("shop").kill();
    for node in ["identity", "shop"] {
        cluster.node(node).restart();
        says_full(cluster.node(node));
    }
    eventually("the products to be served", || (admin.get(&format!("/products/{tea}")).status == 200).then_some(()));

    redis.command::<()>("CONFIG SET maxmemory 0");
    wait_until_confirmed(&admin, &orders);
    assert_eq!(admin.get(&format!("/products/{tea}")).is(200)["stock"], 1_000 - taken);
    let (code, said) = ledger(cluster.node("front"));
    assert_eq!(code, Some(0), "{said}");
    for node in ["front", "identity", "shop"] {
        let node = cluster.node(node);
        eventually("the nodes to be ready", || (node.admin().get("/readyz").status == 200).then_some(()));
        assert_eq!((times(node, FULL), times(node, ROOM)), (1, 1), "{:#?}", node.process().lines());
    }
    cluster.stop();
}
