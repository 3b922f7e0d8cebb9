//! The stock that is shown while it changes: never older than a change that was answered before the request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use super::clients::{Shift, crowd, stock_of};
use crate::support::{Api, Cluster, ClusterBuilder, Redis, eventually};

const STOCK: u64 = 1_000;
const BUYERS: usize = 8;
const ORDERS: u64 = 40;
const READERS: usize = 4;

#[test]
fn in_one_process_no_reader_sees_a_stock_from_before_an_answered_order() {
    let cluster = for_many(Cluster::single());
    look_while_it_changes(&cluster.admin());
    cluster.stop();
}

#[test]
fn in_several_processes_no_reader_sees_a_stock_from_before_an_answered_order() {
    let redis = Redis::start();
    let cluster = for_many(Cluster::of("config/split.toml").over(&redis));
    look_while_it_changes(&cluster.admin());
    cluster.stop();
}

fn for_many(cluster: ClusterBuilder) -> Cluster {
    cluster
        .set("gateway.rate_limit_per_second", 0)
        .set("log.filter", "info,essaim::access=off")
        .set("orders.wait_ms", 3_500)
        .start()
}

fn look_while_it_changes(admin: &Api) {
    let product = admin.product("TEA", 450, STOCK);
    let (answered, over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    let sold = answered.load(Ordering::Acquire);
                    let shown = stock_of(admin, &product);
                    assert!(shown <= STOCK - sold, "{shown} were shown when {sold} of {STOCK} had been sold");
                }
            });
        }
        let _end = Shift(&over);
        crowd(BUYERS, |_| {
            for _ in 0..ORDERS {
                // The answer waits for the stock: of a confirmed order it has been taken.
                assert_eq!(admin.order(&product, 1).is(201)["status"], "confirmed");
                answered.fetch_add(1, Ordering::AcqRel);
            }
        });
    });
    assert_eq!(stock_of(admin, &product), STOCK - answered.into_inner());
    for stock in [7, 3, 9] {
        admin.put(&format!("/products/{product}/stock"), json!({ "stock": stock })).is(200);
        assert_eq!((stock_of(admin, &product), stock_of(admin, &product)), (stock, stock));
    }
    let order = admin.order(&product, 1).is(201).id();
    assert_eq!(stock_of(admin, &product), 8);
    admin.post(&format!("/orders/{order}/cancel"), json!({})).is(200);
    // It is given back by a command.
    eventually("the stock to be back", || (stock_of(admin, &product) == 9).then_some(()));
}
