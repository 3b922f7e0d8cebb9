//! Redis goes away and comes back under load: all nodes find each other again, under the epochs that they had.

use std::time::Instant;

use crate::support::{Cluster, Redis, eventually};

use super::stage::{LEASE, Stage, short_lease, wait_until_served};

/// What a node writes when another one was not heard for a lease.
const LOST: &str = "a node was lost";
/// What a node writes when its connection to Redis is gone, and when there is another one.
pub const WIRE_LOST: &str = "the wire does not work";
pub const CONNECTED: &str = "the wire works again";

/// Replicas behind two gateways.
fn replicas() -> Stage {
    Stage::replicated(&["identity-2"], short_lease)
}

/// Asserts that all nodes hear and answer each other, under the epochs of before, and that none was declared lost.
fn nothing_is_left_of_it(stage: &mut Stage, epochs: &[(String, u64)]) {
    stage.nobody_is_deaf();
    assert_eq!(stage.epochs(), epochs);
    for node in stage.cluster.running() {
        assert!(!node.process().has_line(LOST), "`{}` took somebody for lost", node.name());
    }
}

#[test]
fn nodes_find_each_other_again_after_redis_was_gone() {
    let mut redis = Redis::start();
    let cluster = Cluster::of("config/split.toml").over(&redis).start();
    let (api, admin) = (cluster.api(), cluster.admin());
    let tea = admin.product("TEA", 450, 5);
    redis.kill();
    let lost = api.get("/products");
    assert!(matches!(lost.status, 503 | 504), "{}", lost.text);
    redis.restart();
    wait_until_served(&api);
    redis.cut_connections();
    wait_until_served(&api);
    assert_eq!(api.get(&format!("/products/{tea}")).is(200)["stock"], 5);
    cluster.stop();
}

#[test]
fn a_redis_that_is_away_for_longer_than_a_lease_costs_nobody_its_place() {
    let mut stage = replicas();
    let (epochs, load) = (stage.epochs(), stage.load());
    type Fault = fn(&mut Redis);
    let faults: [(Fault, Fault); 2] = [(Redis::pause, Redis::resume), (Redis::kill, Redis::restart)];
    for (away, back) in faults {
        let lines: Vec<_> = stage.cluster.running().map(|n| n.process().lines().len()).collect();
        let begun = Instant::now();
        away(&mut stage.redis);
        for (node, from) in stage.cluster.running().zip(&lines) {
            node.process().wait_for_line_after(*from, WIRE_LOST);
        }
        eventually("a lease to pass", || (begun.elapsed() > LEASE + LEASE / 4).then_some(()));
        back(&mut stage.redis);
        load.served_more(60, 20);
        stage.all_hear_all();
    }
    let told = load.stop();
    stage.is_as_told(&told);
    nothing_is_left_of_it(&mut stage, &epochs);
    // Nodes leave in order without Redis, too.
    stage.redis.kill();
    stage.cluster.stop();
}

#[test]
fn connections_that_are_cut_again_and_again_leave_nobody_deaf() {
    // A read has time to be repeated as often as it is cut off, on a busy machine too.
    let mut stage = Stage::replicated(&["identity-2"], |c| short_lease(c).set("ask.timeout_ms", 8_000));
    let (epochs, load) = (stage.epochs(), stage.load());
    for _ in 0..20 {
        assert!(stage.redis.cut_connections() > 0);
        load.served_more(6, 2);
    }
    let told = load.stop();
    assert!(told.reads.honest.is_empty(), "a read failed while every host lived: {:?}", told.reads);
    stage.is_as_told(&told);
    nothing_is_left_of_it(&mut stage, &epochs);
}

#[test]
fn a_node_that_redis_cuts_off_for_being_slow_comes_back() {
    let mut stage = replicas();
    stage.redis.limit_subscribers(2 << 20);
    let load = stage.load();
    let epoch = stage.cluster.node("shop-1").epoch();
    let inbox = stage.redis.wait_for_channel(":inbox:shop-1:");
    let lines = stage.cluster.node("shop-1").process().lines().len();
    stage.cluster.node("shop-1").pause();
    stage.redis.flood(&inbox);
    load.served_more(30, 10);
    stage.cluster.node("shop-1").resume();
    stage.cluster.node("shop-1").process().wait_for_line_after(lines, CONNECTED);
    load.served_more(30, 10);
    let told = load.stop();
    assert!(told.reads.honest.is_empty(), "a read failed while a host lived: {:?}", told.reads);
    stage.is_as_told(&told);
    stage.nobody_is_deaf();
    assert_eq!(stage.cluster.node("shop-1").epoch(), epoch);
}

#[test]
fn a_host_whose_connections_alone_are_cut_costs_no_read() {
    let mut stage = Stage::replicated(&["front-2", "identity-2", "shop-1"], |c| c);
    let others = stage.redis.connections();
    stage.cluster.node("shop-1").restart();
    stage.all_hear_all();
    let load = stage.load();
    for _ in 0..5 {
        // It is cut with work in it, whose answers then have no way back.
        stage.cluster.node("shop-1").pause();
        load.served_more(5, 0);
        assert!(stage.redis.cut_all_but(&others) > 0, "it had connections: for the wire, and for the log");
        stage.cluster.node("shop-1").resume();
        load.everybody_answered();
    }
    let told = load.stop();
    assert!(told.reads.honest.is_empty(), "a read failed while a host lived: {:?}", told.reads);
    stage.is_as_told(&told);
    stage.nobody_is_deaf();
}
