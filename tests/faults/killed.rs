//! kill -9 of hosts and gateways.

use crate::support::{Cluster, GATEWAY_KILLED, Redis};

use super::stage::{Stage, kill, wait_until_served};

#[test]
fn a_node_that_was_killed_is_missed_at_once_and_takes_its_name_again() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let api = cluster.api();
    api.get("/products").is(200);
    kill(cluster.node("shop"), &redis);
    // The first ask after the end finds no receiver, and so is certain not to have run.
    let missed = api.get("/products").problem(503, "unavailable");
    assert!(missed.header("retry-after").is_some(), "{:?}", missed.headers);
    api.get("/livez").is(200);
    cluster.node("shop").restart();
    wait_until_served(&api);
    cluster.stop();
}

#[test]
fn replicas_that_are_killed_one_after_the_other_cost_no_read_and_no_order() {
    let mut stage = Stage::replicated(&["front-2", "identity-2"], |c| c);
    let load = stage.load();
    for host in ["shop-1", "shop-2"] {
        let epoch = stage.cluster.node(host).epoch();
        // The node is killed with asks in it: those that it has taken when it stops are lost with it.
        stage.cluster.node(host).pause();
        load.served_more(5, 0);
        stage.kill(host);
        load.everybody_answered();
        load.served_more(60, 20);
        let node = stage.cluster.node(host);
        node.restart();
        assert!(node.epoch() > epoch, "a name is taken over with a higher epoch");
        assert!(!node.process().has_line("waiting for its lease to end"), "nobody listens at the old inbox");
        // Else the next node that is killed could be the only one that the others know.
        stage.all_hear_all();
        load.served_more(60, 20);
    }
    let told = load.stop();
    assert!(told.reads.honest.is_empty(), "a read failed while a host lived: {:?}", told.reads);
    stage.is_as_told(&told);
}

#[test]
fn a_gateway_that_is_killed_costs_nothing_but_what_was_with_it() {
    let mut stage = Stage::replicated(&["identity-2", "shop-2"], |c| c);
    let load = stage.load();
    for gateway in ["front-1", "front-2"] {
        let node = stage.cluster.node(gateway);
        load.excuse(node.gateway_port().expect("it is a gateway"));
        node.kill();
        load.everybody_answered();
        load.served_more(60, 20);
        stage.cluster.node(gateway).restart();
    }
    let told = load.stop();
    // What is sent again may find that the first request, whose gateway is gone, is still under way.
    let expected = [GATEWAY_KILLED, "idempotency-key-in-use"];
    let all = told.reads.honest.keys().chain(told.orders.honest.keys());
    let others: Vec<_> = all.filter(|problem| !expected.contains(&problem.as_str())).collect();
    assert_eq!(others, Vec::<&String>::new());
    // Orders that were with the killed gateway were sent again to the other one; none was made twice.
    stage.is_as_told(&told);
}
