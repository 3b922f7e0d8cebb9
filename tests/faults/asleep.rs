//! Nodes that stop for longer than their lease, as a machine that is suspended or starved does, and wake up again.

use crate::support::{Cluster, Redis};

use super::stage::{Stage, short_lease, wait_until_served};

/// The exit code of a node whose name another process has taken over.
const SUPERSEDED: i32 = 71;

/// What a node writes when another one was not heard for a lease.
const LOST: &str = "a node was lost";

#[test]
fn a_node_that_answers_nothing_leaves_the_outcome_unknown() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).set("ask.timeout_ms", 600).start();
    let api = cluster.api();
    cluster.node("shop").pause();
    api.get("/products").problem(504, "outcome-unknown");
    cluster.node("shop").resume();
    wait_until_served(&api);
    cluster.stop();
}

#[test]
fn a_host_that_wakes_after_its_lease_has_ended_serves_again() {
    let mut stage = Stage::replicated(&["front-2", "identity-2"], short_lease);
    let load = stage.load();
    let epoch = stage.cluster.node("shop-1").epoch();
    stage.cluster.node("shop-1").pause();
    let lost = stage.cluster.node("front-1").process().wait_for_line(LOST);
    assert!(lost.contains("shop-1"), "{lost}");
    load.everybody_answered();
    load.served_more(30, 10);
    stage.cluster.node("shop-1").resume();
    stage.all_hear_all();
    assert_eq!(stage.cluster.node("shop-1").epoch(), epoch, "nobody else had its name");
    let process = stage.cluster.node("shop-1").process();
    process.wait_for_line("the whole process stood still");
    assert!(!process.has_line("blocks its arbiter"), "no handler is to blame");
    // From here on every request is served by the node that slept.
    stage.kill("shop-2");
    load.served_more(60, 20);
    let told = load.stop();
    assert!(told.reads.honest.is_empty(), "a read failed while a host lived: {:?}", told.reads);
    stage.is_as_told(&told);
}

#[test]
fn a_node_that_wakes_to_find_its_name_taken_ends() {
    let mut stage = Stage::replicated(&["front-2", "identity-2"], short_lease);
    let load = stage.load();
    let epoch = stage.cluster.node("shop-1").epoch();
    stage.cluster.node("shop-1").pause();
    let mut twin = stage.cluster.node("shop-1").twin();
    twin.restart();
    assert!(twin.process().has_line("waiting for its lease to end"), "the first one only slept");
    assert!(twin.epoch() > epoch);
    load.everybody_answered();
    load.served_more(30, 10);
    stage.cluster.node("shop-1").resume();
    assert_eq!(stage.cluster.node("shop-1").exit_code(), Some(SUPERSEDED));
    // The twin goes on, alone.
    stage.kill("shop-2");
    load.served_more(60, 20);
    let told = load.stop();
    assert!(told.reads.honest.is_empty(), "a read failed while a host lived: {:?}", told.reads);
    stage.is_as_told(&told);
    twin.stop();
}

#[test]
fn a_gateway_that_wakes_after_its_lease_has_ended_serves_what_waited_and_takes_nobody_for_lost() {
    // No time limit ends while it sleeps.
    let patient = |c| short_lease(c).set("ask.timeout_ms", 20_000).set("gateway.request_timeout_ms", 30_000);
    let mut stage = Stage::replicated(&["front-2", "identity-2"], patient);
    let load = stage.load();
    stage.cluster.node("front-1").pause();
    for node in ["shop-1", "shop-2", "identity-1"] {
        stage.cluster.node(node).process().wait_for_line(LOST);
    }
    stage.cluster.node("front-1").resume();
    load.everybody_answered();
    load.served_more(60, 20);
    let told = load.stop();
    told.all_was_served();
    stage.is_as_told(&told);
    assert!(!stage.cluster.node("front-1").process().has_line(LOST), "it was asleep, not they");
}
