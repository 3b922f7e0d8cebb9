//! A handler that blocks its thread in the midst of its transaction, for longer than the lease of its partition, while
//! customers are at work: its node stays a member, and all that customers were told is true.

use super::crashes::{SHOPPERS, Shop};
use super::shoppers::Shoppers;
use crate::support::{Cluster, ClusterBuilder, Postgres, Redis, eventually};

/// Points before and after the commit of a handler's writes.
const POINTS: &[&str] = &["ask.before-commit@4", "ask.after-commit@4", "apply.before-commit@4", "apply.after-commit@4"];

#[test]
fn in_one_process_a_handler_that_blocks_its_thread_loses_and_doubles_nothing() {
    block_everywhere(Cluster::single(), "main");
}

#[test]
fn over_redis_a_handler_that_blocks_its_thread_loses_and_doubles_nothing() {
    let (redis, database) = (Redis::durable(), Postgres::shared().database());
    block_everywhere(Cluster::of("config/split.toml").over(&redis).on(&database), "shop");
}

/// While customers are at work, a handler of the node blocks its thread at one point after the other.
fn block_everywhere(cluster: ClusterBuilder, node: &str) {
    let mut shop = Shop::start(cluster.set("members.heartbeat_ms", 300).set("members.lease_ms", 3_000), node);
    for point in POINTS {
        let shoppers = Shoppers::start(SHOPPERS, point, &shop.admin, &shop.product);
        let node = shop.cluster.node(node);
        node.stop();
        node.block_at(point);
        node.start();
        node.process().wait_for_line("a handler blocks its arbiter");
        eventually("its operators to be answered", || {
            let status = node.admin().try_send("GET", "/status", None).ok()?;
            assert!(node.is_running(), "it ended since a handler blocked at {point}");
            (status["blocked_arbiters"].as_u64() >= Some(1)).then_some(())
        });
        shop.has_gone_on(shoppers);
        assert!(shop.cluster.node(&shop.node).is_running(), "{point}");
    }
    shop.cluster.stop();
}
