//! A wall clock that jumps, forwards and back, by seconds, hours and days, while customers are at work.

use std::sync::Arc;

use super::check::{is_as_told, ledgers_balance};
use super::shoppers::Shoppers;
use crate::support::{Clock, Cluster, ClusterBuilder, Postgres, Redis, essaim};

const STOCK: u64 = 1_000_000;
const SHOPPERS: usize = 4;
/// Acknowledgements between two jumps.
const BETWEEN: usize = 12;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Offsets of the clock from the machine's, in seconds, one after the other.
const SHOWS: &[i64] = &[5, -5, 3 * HOUR, 3 * HOUR + 20, 2 * DAY, 2 * DAY - HOUR, HOUR, -2 * DAY, 0];

#[test]
fn in_one_process_a_jumping_clock_loses_and_doubles_nothing() {
    jump(Cluster::single(), "main");
}

#[test]
fn over_redis_a_jumping_clock_loses_and_doubles_nothing() {
    let (redis, database) = (Redis::durable(), Postgres::shared().database());
    jump(Cluster::of("config/replicated.toml").over(&redis).on(&database), "shop-1");
}

fn jump(cluster: ClusterBuilder, node: &str) {
    let clock = Arc::new(Clock::new());
    let mut cluster = cluster
        .by(&clock)
        .set("gateway.rate_limit_per_second", 0)
        .set("durable.backoff_first_ms", 20)
        .set("durable.backoff_most_ms", 500)
        .set("orders.wait_ms", 100)
        // Long lives, so that nothing expires by a jump.
        .set("auth.access_token_seconds", 30 * DAY)
        .set("orders.pending_timeout_ms", 30 * DAY * 1_000)
        .start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let shoppers = Shoppers::start(SHOPPERS, "traveller", &admin, &product);
    for seconds in SHOWS {
        shoppers.acknowledged_more(BETWEEN);
        println!("the clock shows {seconds:+} s");
        clock.shows(*seconds);
    }
    shoppers.acknowledged_more(BETWEEN);
    let known = shoppers.stop();
    // Messages that were under way when the clock went back come from the future: an operator has to replay them.
    let node = cluster.node(node).admin();
    let address = node.base().trim_start_matches("http://").to_string();
    for capability in ["orders", "catalog"] {
        let replay = ["dead", "replay", "--capability", capability, "--reason", "too_new", "--yes", "--url", &address];
        let output = essaim().args(replay).output().expect("essaim runs");
        println!("{}", String::from_utf8_lossy(&output.stdout));
    }
    is_as_told(&admin, &product, STOCK, &known);
    ledgers_balance(&node);
    cluster.stop();
}
