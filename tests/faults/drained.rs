//! Hosts and gateways that leave in order and come back: nobody is refused anything.

use super::stage::Stage;

#[test]
fn hosts_that_are_restarted_in_turn_cost_nobody_anything() {
    let mut stage = Stage::replicated(&["front-2"], |c| c);
    let load = stage.load();
    for host in ["shop-1", "identity-1", "shop-2", "identity-2"] {
        stage.cluster.node(host).stop();
        load.served_more(60, 20);
        stage.cluster.node(host).restart();
        stage.all_hear_all();
        load.served_more(60, 20);
    }
    let told = load.stop();
    told.all_was_served();
    stage.is_as_told(&told);
}

#[test]
fn gateways_that_are_restarted_in_turn_cost_nobody_anything_who_goes_when_told() {
    // Long enough that a customer who has just seen that a gateway is ready is served by it, on a busy machine too.
    let mut stage = Stage::replicated(&["identity-2", "shop-2"], |c| c.set("drain.announce_ms", 2_000));
    let load = stage.load();
    for gateway in ["front-1", "front-2"] {
        stage.cluster.node(gateway).stop();
        load.served_more(60, 20);
        stage.cluster.node(gateway).restart();
        load.served_more(60, 20);
    }
    let told = load.stop();
    told.all_was_served();
    stage.is_as_told(&told);
}
