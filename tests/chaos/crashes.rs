//! A process that dies before and after each step on the way of an order, and starts again.

use super::check::{is_as_told, ledgers_balance};
use super::shoppers::Shoppers;
use crate::support::{Cluster, ClusterBuilder, Redis, eventually};

const STOCK: u64 = 100_000;

/// Every point on the way from a transaction over relay and log to the acknowledgement.
const POINTS: &[&str] = &[
    "ask.before-commit",
    "ask.after-commit",
    "relay.before-append",
    "sender.before-append",
    "sender.after-append",
    "relay.after-append",
    "relay.after-forget",
    "worker.after-read",
    "apply.before-commit",
    "apply.after-commit",
    "worker.before-acknowledge",
    "worker.after-acknowledge",
    "takeover.after-fence",
];

#[test]
fn in_one_process_a_crash_at_any_step_loses_and_doubles_nothing() {
    crash_everywhere(Cluster::single(), "main", POINTS);
}

#[test]
fn over_redis_a_crash_at_any_step_loses_and_doubles_nothing() {
    let redis = Redis::durable();
    crash_everywhere(Cluster::of("config/split.toml").over(&redis), "shop", POINTS);
}

/// The node that hosts catalog and orders dies at one point after the other.
fn crash_everywhere(cluster: ClusterBuilder, node: &str, points: &[&str]) {
    let mut cluster = cluster
        .set("gateway.rate_limit_per_second", 0)
        .set("durable.backoff_first_ms", 20)
        .set("durable.backoff_most_ms", 500)
        .set("orders.wait_ms", 50)
        .start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let shoppers = Shoppers::start(3, &admin, &product);
    for point in points {
        let node = cluster.node(node);
        node.stop();
        // Not the first time, so that others are under way, at other stages.
        let time = if point.starts_with("takeover") { 1 } else { 4 };
        node.crash_at(&format!("{point}@{time}"));
        node.start();
        eventually(&format!("the crash at {point}"), || (!node.is_running()).then_some(()));
        assert!(node.process().has_line(&format!("crashing at {point}")), "it ended otherwise");
        node.restart();
        shoppers.acknowledged_more(6);
    }
    let known = shoppers.stop();
    is_as_told(&admin, &product, STOCK, &known);
    ledgers_balance(&cluster.node(node).admin());
    cluster.stop();
}
