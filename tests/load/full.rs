//! More orders than there is room for while no node hosts catalog: the gateway refuses the excess, and no order that
//! was accepted is lost.

use serde_json::json;

use super::clients::{orders_of, stock_of};
use crate::support::{Cluster, Redis, Scratch, eventually};

const STOCK: u64 = 1_000;
/// Orders that are tried: more than there is room for.
const TRIED: usize = 40;

#[test]
fn when_no_more_can_be_stored_the_edge_refuses_and_what_was_taken_is_done_later() {
    let (redis, scratch) = (Redis::start(), Scratch::new("full"));
    let topology = "[nodes.shop]\nhosts = [\"gateway\", \"users\", \"auth\", \"orders\", \"cache\"]\n\
                    [nodes.stock]\nhosts = [\"catalog\"]\n";
    let topology = scratch.write("full.toml", topology).display().to_string();
    let mut cluster = Cluster::of(&topology)
        .over(&redis)
        .set("durable.partitions", 1)
        .set("durable.partition_messages", 2)
        .set("durable.outbox_messages", 4)
        .set("durable.backoff_most_ms", 200)
        .set("orders.wait_ms", 0)
        .start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 100, STOCK);
    cluster.node("stock").stop();
    let order = |number: usize| {
        let lines = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
        admin.with("Idempotency-Key", &format!("order-{number}")).send("POST", "/orders", Some(lines))
    };
    let mut taken = 0;
    let refused = (0..TRIED).map(order).find(|answer| {
        taken += usize::from(answer.status == 201);
        answer.status != 201
    });
    let refused = refused.expect("there is not room for all").problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some(), "{}", refused.text);
    assert!(refused.text.contains("Nothing was changed"), "{}", refused.text);
    // The log says which bound it was.
    cluster.node("shop").process().wait_for_line("durable.outbox_messages = 4");
    cluster.node("stock").restart();
    let settled = || {
        let orders = orders_of(&admin);
        (orders.len() >= taken && orders.iter().all(|order| order["status"] == "confirmed")).then_some(orders)
    };
    let orders = eventually("every order that was taken to be confirmed", settled);
    assert_eq!(orders.len(), taken, "and none that was refused");
    assert_eq!(stock_of(&admin, &product), STOCK - taken as u64);
    cluster.stop();
}
