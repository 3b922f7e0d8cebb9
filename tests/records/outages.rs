//! A file of gathered records that does not work: nothing but the records suffers, and none of those that nodes still have is lost.

use super::store::{file_of, spans, wait_until_gathered};
use crate::load::locks::Session;
use crate::support::*;

const OUTAGE: &str = "the store of message records does not work";
const END: &str = "the store of message records works again";

/// Waits for the outage with its cause; the node is ready all along.
#[track_caller]
fn is_out(node: &mut ClusterNode, api: &Api, why: &str) {
    let admin = node.admin();
    eventually("the outage of the records", || {
        // There is something to store.
        api.get("/products").is(200);
        admin.get("/readyz").is(200);
        let status = admin.get("/status").is(200);
        let outage = status["outages"].get(0)?;
        assert_eq!(outage["dependency"], "the store of message records", "{outage}");
        assert_eq!(status["reasons"], serde_json::json!([]), "{outage}");
        outage["cause"].as_str().is_some_and(|cause| cause.contains(why)).then_some(())
    });
    node.process().wait_for_line(OUTAGE);
}

/// Waits for the end of the outage, which nobody has to ask for.
#[track_caller]
fn has_ended(node: &mut ClusterNode) {
    node.process().wait_for_line(END);
    assert_eq!(node.admin().get("/status").is(200)["outages"], serde_json::json!([]));
    for told in [OUTAGE, END] {
        assert_eq!(node.process().lines().iter().filter(|line| line.contains(told)).count(), 1, "{told}");
    }
}

/// The order's trace, once it has its last message.
fn whole(node: &ClusterNode, order: &str) -> Vec<(String, String)> {
    eventually("the order's trace", || {
        let trace = spans(node, order);
        trace.iter().any(|(_, name)| name == "catalog.stock_reserved.v1").then_some(trace)
    })
}

/// Nothing that was told of a trace is missing now.
#[track_caller]
fn is_told(node: &ClusterNode, order: &str, before: &[(String, String)]) {
    let now = spans(node, order);
    assert!(before.iter().all(|span| now.contains(span)), "{now:?} lacks some of {before:?}");
}

#[test]
fn on_a_full_disk_messages_go_on_and_what_was_recorded_meanwhile_is_stored_when_there_is_room() {
    let redis = Redis::start();
    // The node that stores keeps nothing else on its disk.
    let mut cluster = Cluster::of("config/split.toml")
        .over(&redis)
        .set("trace.store_node", "front")
        .set("trace.store_interval_ms", 100)
        .without("front")
        .start();
    let Some(disk) = Disk::over(&cluster.node("front").data(), 16) else { return };
    cluster.node("front").start();
    cluster.node("front").wait_until_ready();
    let (admin, api) = (cluster.admin(), cluster.api());
    let product = admin.product("TEA", 450, 5);
    let before = admin.order(&product, 1).is(201).id();
    let told_before = whole(cluster.node("front"), &before);
    wait_until_gathered(cluster.node("front"), &api);
    disk.fill();
    is_out(cluster.node("front"), &api, "is full: free some space");
    let meanwhile = admin.order(&product, 1).is(201).id();
    let told_meanwhile = whole(cluster.node("front"), &meanwhile);
    disk.free();
    has_ended(cluster.node("front"));
    wait_until_gathered(cluster.node("front"), &api);
    // What is told from now on of this node is what was stored.
    cluster.node("shop").kill();
    let front = cluster.node("front");
    is_told(front, &before, &told_before);
    is_told(front, &meanwhile, &told_meanwhile);
    cluster.node("shop").restart();
    cluster.stop();
}

#[test]
fn behind_a_lock_of_another_program_messages_go_on_and_what_was_recorded_meanwhile_is_stored_afterwards() {
    let mut cluster = Cluster::single().set("trace.store_interval_ms", 100).start();
    let (admin, api) = (cluster.admin(), cluster.api());
    let product = admin.product("TEA", 450, 5);
    let before = admin.order(&product, 1).is(201).id();
    let main = cluster.node("main");
    let told_before = whole(main, &before);
    wait_until_gathered(main, &api);
    let lock = Session::on_file(&file_of(main)).locked();
    is_out(main, &api, "is locked by another program: end whatever has it open");
    let meanwhile = admin.order(&product, 1).is(201).id();
    let told_meanwhile = whole(main, &meanwhile);
    lock.release();
    has_ended(main);
    wait_until_gathered(main, &api);
    // Nothing of it is in memory afterwards.
    main.kill();
    main.restart();
    is_told(main, &before, &told_before);
    is_told(main, &meanwhile, &told_meanwhile);
    cluster.stop();
}

#[test]
fn a_file_that_cannot_be_used_is_an_outage_of_the_records_alone() {
    let mut cluster = Cluster::single().set("trace.store_interval_ms", 100).start();
    let main = cluster.node("main");
    main.stop();
    let _ = std::fs::remove_file(main.data().join("trace.sqlite3-wal"));
    std::fs::write(file_of(main), "no database at all ".repeat(999)).expect("it is written");
    main.start();
    main.wait_until_ready();
    main.process().wait_for_line(OUTAGE);
    let admin = main.admin();
    admin.get("/readyz").is(200);
    let status = admin.get("/status").is(200);
    assert_eq!(status["outages"][0]["dependency"], "the store of message records", "{}", status["outages"]);
    std::fs::remove_file(file_of(main)).expect("it is there");
    main.process().wait_for_line(END);
    cluster.stop();
}
