//! A node that starts while the one before it drains waits for its end, and says so.

use crate::support::{Cluster, ClusterNode, Redis, Scratch, Signal, eventually};

/// A drain that lasts longer than a lease, since it is announced for so long.
const ANNOUNCE_MS: u64 = 3_000;
const LEASE_MS: u64 = 1_500;

/// Begins the drain of a node, starts the next one of its name, and waits until that is ready.
#[track_caller]
fn succeeds(node: &mut ClusterNode, mut next: ClusterNode, words: &[&str]) {
    node.signal(Signal::Term);
    node.process().wait_for_line("draining");
    let admin = node.admin();
    eventually("the drain to begin", || (admin.get("/readyz").status == 503).then_some(()));
    next.start();
    let line = next.process().wait_for_line("drains; waiting for its end");
    assert!(words.iter().all(|word| line.contains(word)), "{line}");
    assert!(node.is_running(), "it has waited for one that was gone");
    assert_eq!(node.exit_code(), Some(0));
    next.wait_until_ready();
    let told = next.process().lines().iter().filter(|line| line.contains("waiting for its end")).count();
    assert_eq!(told, 1, "{:#?}", next.process().lines());
    next.stop();
}

#[test]
fn a_process_waits_for_the_files_of_the_one_before_it() {
    let mut cluster = Cluster::single().set("drain.announce_ms", ANNOUNCE_MS).start();
    let node = cluster.node("main");
    let next = node.successor(true);
    succeeds(node, next, &["process ", ".sqlite3"]);
}

#[test]
fn a_node_waits_for_its_name_and_its_addresses() {
    let redis = Redis::start();
    let cluster = Cluster::of("config/split.toml").over(&redis).set("drain.announce_ms", ANNOUNCE_MS);
    let mut cluster = cluster.set("members.lease_ms", LEASE_MS).set("members.silent_ms", 1_000).start();
    let node = cluster.node("front");
    let next = node.successor(false);
    succeeds(node, next, &["a node of the name `front` is still there"]);
}

#[test]
fn a_node_waits_for_a_capability_of_another_one() {
    let (redis, scratch) = (Redis::start(), Scratch::new("claims"));
    // What takes its time to drain is a gateway.
    let all = r#"hosts = ["gateway", "users", "auth", "catalog", "orders", "cache"]"#;
    let topology = format!("[nodes.old]\n{all}\n[nodes.new]\nhosts = [\"catalog\"]\n");
    let file = scratch.write("topology.toml", &topology).display().to_string();
    let cluster = Cluster::of(&file).over(&redis).without("new").set("drain.announce_ms", ANNOUNCE_MS);
    let mut cluster = cluster.set("members.lease_ms", LEASE_MS).set("members.silent_ms", 1_000).start();
    let next = cluster.node("new").successor(false);
    succeeds(cluster.node("old"), next, &["the node `old` still has `catalog`"]);
}

#[test]
fn a_file_of_a_process_that_does_not_drain_is_not_waited_for() {
    let mut cluster = Cluster::single().start();
    let mut next = cluster.node("main").successor(true);
    next.start();
    assert_eq!(next.exit_code(), Some(72));
    assert!(!next.process().has_line("waiting"), "{:#?}", next.process().lines());
}
