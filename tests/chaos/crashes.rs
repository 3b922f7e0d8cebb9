//! A process that dies before and after each step on the way of an order, and starts again.

use std::collections::BTreeMap;

use super::check::{is_as_told, ledgers_balance};
use super::leavers::Leaver;
use super::shoppers::{Known, Shoppers};
use crate::support::{Api, Cluster, ClusterBuilder, Redis, eventually};

const STOCK: u64 = 100_000;
pub const SHOPPERS: usize = 3;
/// Acknowledgements after a crash: enough that every shopper has gone on.
const AFTERWARDS: usize = 6;

/// Every point on the way from a transaction over relay and log to the acknowledgement.
const POINTS: &[&str] = &[
    "ask.before-commit",
    "ask.after-commit",
    "relay.before-append",
    "sender.before-append",
    "sender.after-append",
    "relay.after-append",
    "relay.after-forget",
    "worker.after-read",
    "apply.before-commit",
    "apply.after-commit",
    "worker.before-acknowledge",
    "worker.after-acknowledge",
    "takeover.after-fence",
];

/// Points that a delayed message passes, such as the one that forgets a customer again.
const PUT_OFF: &[&str] = &["settle.before-commit", "settle.after-commit"];

#[test]
fn in_one_process_a_crash_at_any_step_loses_and_doubles_nothing() {
    crash_everywhere(Cluster::single(), "main");
}

#[test]
fn over_redis_a_crash_at_any_step_loses_and_doubles_nothing() {
    let redis = Redis::durable();
    crash_everywhere(Cluster::of("config/split.toml").over(&redis), "shop");
}

#[test]
fn a_crash_while_messages_are_taken_along_to_redis_loses_and_doubles_nothing() {
    let redis = Redis::durable();
    let mut shop = Shop::start(Cluster::single(), "main");
    let shoppers = Shoppers::start(SHOPPERS, "mover", &shop.admin, &shop.product);
    shoppers.acknowledged_more(AFTERWARDS);
    // Messages that it has read and not applied are still in the embedded log.
    shop.dies_at("worker.after-read@4", || {});
    shop.cluster.node("main").set("bridge.url", redis.url());
    shop.dies_at("moving.after-append", || {});
    shop.goes_on(shoppers);
    shop.cluster.stop();
}

/// The node that hosts catalog and orders dies at one point after the other.
fn crash_everywhere(cluster: ClusterBuilder, node: &str) {
    let mut shop = Shop::start(cluster, node);
    for point in POINTS {
        // Not the first time, so that other messages are under way, at other stages.
        let time = if point.starts_with("takeover") { 1 } else { 4 };
        shop.crash(&format!("{point}@{time}"), || {});
    }
    for point in PUT_OFF {
        let leaver = Leaver::with_an_order(&shop.cluster.api(), &shop.admin, point);
        shop.crash(point, || {
            leaver.tries_to_leave();
        });
        leaver.is_forgotten();
    }
    shop.cluster.stop();
}

/// A cluster that sells one product, and its customers' record of their orders.
pub struct Shop {
    pub cluster: Cluster,
    /// The node that dies, or whose task panics.
    pub node: String,
    pub admin: Api,
    pub product: String,
    known: BTreeMap<String, Known>,
}

impl Shop {
    pub fn start(cluster: ClusterBuilder, node: &str) -> Self {
        let cluster = cluster
            .set("gateway.rate_limit_per_second", 0)
            // No load balancer is to notice that a gateway leaves.
            .set("drain.announce_ms", 0)
            .set("durable.backoff_first_ms", 20)
            .set("durable.backoff_most_ms", 500)
            .set("orders.wait_ms", 50)
            // Late enough that the message is delayed on a busy machine, too, and soon enough that the test can wait
            // for it.
            .set("orders.forget_again_ms", 3_000)
            .start();
        let admin = cluster.admin();
        let product = admin.product("TEA", 450, STOCK);
        Self { cluster, node: node.into(), admin, product, known: BTreeMap::new() }
    }

    /// While customers are at work the node dies at that point, which their requests or `meanwhile` reach, and starts
    /// again. Then the databases must agree with what the customers were told.
    #[track_caller]
    fn crash(&mut self, point: &str, meanwhile: impl Fn()) {
        let shoppers = Shoppers::start(SHOPPERS, point, &self.admin, &self.product);
        self.dies_at(point, meanwhile);
        self.goes_on(shoppers);
    }

    /// Starts the node anew, and waits until it has died at that point.
    #[track_caller]
    fn dies_at(&mut self, point: &str, meanwhile: impl Fn()) {
        let node = self.cluster.node(&self.node);
        if node.is_running() {
            node.stop();
        }
        node.crash_at(point);
        node.start();
        eventually(&format!("the crash at {point}"), || {
            meanwhile();
            (!node.is_running()).then_some(())
        });
        let name = point.split('@').next().expect("a point has a name");
        assert!(node.process().has_line(&format!("crashing at {name}")), "it ended otherwise");
    }

    /// Starts the node that has died, has its customers go on, and asserts that all they were told is true.
    #[track_caller]
    pub fn goes_on(&mut self, shoppers: Shoppers) {
        self.cluster.node(&self.node).restart();
        self.has_gone_on(shoppers);
    }

    /// Has the customers go on, and asserts that all they were told is true.
    #[track_caller]
    pub fn has_gone_on(&mut self, shoppers: Shoppers) {
        shoppers.acknowledged_more(AFTERWARDS);
        self.known.extend(shoppers.stop());
        is_as_told(&self.admin, &self.product, STOCK, &self.known);
        ledgers_balance(&self.cluster.node(&self.node).admin());
    }
}
