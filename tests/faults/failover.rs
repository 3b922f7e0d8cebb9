//! A primary of Redis that is lost, and a replica that a sentinel promotes: messages acknowledged before are applied
//! after it.

use super::forgotten::{APART, DATA, difference, ledger, placed, status_of, wait_until_confirmed, waiting};
use super::stage::wait_until_served;
use crate::support::{Api, Cluster, ClusterBuilder, Postgres, Redis, Scratch, Sentinel, eventually};

/// Orders that are acknowledged while no replica follows.
const ORDERS: usize = 1_000;
/// How many customers place them.
const CUSTOMERS: usize = 4;

/// A primary, its replica and a sentinel.
struct Servers {
    primary: Redis,
    replica: Redis,
    sentinel: Sentinel,
    /// The replica of the former replica, once that is the primary.
    follower: Option<Redis>,
}

impl Servers {
    fn start() -> Self {
        let primary = Redis::durable();
        let replica = primary.replica();
        let sentinel = Sentinel::over(&primary);
        Self { primary, replica, sentinel, follower: None }
    }

    /// The primary ends at once, the replica takes its place, and another one follows that.
    fn fail_over(&mut self) {
        self.primary.kill();
        self.sentinel.wait_until_promoted(&self.replica);
        self.follower = Some(self.replica.replica());
    }
}

/// Places many orders; their ids.
fn placed_by_many(admin: &Api, product: &str) -> Vec<String> {
    std::thread::scope(|scope| {
        let customer = |_| scope.spawn(|| (0..ORDERS / CUSTOMERS).map(|_| placed(admin, product)).collect::<Vec<_>>());
        let customers: Vec<_> = (0..CUSTOMERS).map(customer).collect();
        customers.into_iter().flat_map(|customer| customer.join().expect("each order is acknowledged")).collect()
    })
}

/// Outcome of orders that were acknowledged right before a failover to a replica that lags.
struct After {
    /// Orders that are never confirmed.
    lost: usize,
    /// Messages that the ledger of `catalog` misses.
    missing: i64,
    /// Exit code and output of `essaim ledger --at-rest`.
    ledger: (Option<i32>, String),
}

/// A thousand orders are acknowledged while nobody works on them and no replica follows; then the primary is lost.
fn after_a_failover(durability: &str, more: impl FnOnce(ClusterBuilder) -> ClusterBuilder) -> After {
    let (mut servers, scratch) = (Servers::start(), Scratch::new("failover"));
    let topology = scratch.write("apart.toml", APART);
    let cluster = Cluster::of(&topology.display().to_string()).set("bridge.url", servers.sentinel.url());
    let cluster = cluster.set("store.durability", durability).set("orders.wait_ms", 0);
    let mut cluster = more(cluster.set("gateway.rate_limit_per_second", 0)).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 2_000);
    let before: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &before);

    cluster.node("stock").kill();
    servers.primary.cut_replicas();
    let orders = placed_by_many(&admin, &tea);
    if durability != "replicated" {
        let all = || (waiting(&servers.primary, "catalog") == ORDERS as u64).then_some(());
        eventually("what was ordered to be in the log", all);
    }
    servers.fail_over();
    cluster.node("stock").restart();
    wait_until_served(&admin);
    let after: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &after);
    if durability == "replicated" {
        wait_until_confirmed(&admin, &orders);
    }
    let said = ledger(cluster.node("front"));
    let lost = orders.iter().filter(|order| status_of(&admin, order) != "confirmed").count();
    let left = 2_000 - 20 - (ORDERS - lost);
    assert_eq!(admin.get(&format!("/products/{tea}")).is(200)["stock"], left, "each is sold once");
    assert_eq!(difference(cluster.node("front"), "orders"), 0);
    let missing = -difference(cluster.node("front"), "catalog");
    cluster.stop();
    After { lost, missing, ledger: said }
}

#[test]
fn nodes_go_on_with_the_replica_that_a_sentinel_has_promoted() {
    let mut servers = Servers::start();
    let mut cluster = Cluster::of("config/split.toml").set("bridge.url", servers.sentinel.url()).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000);
    let before: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &before);
    servers.fail_over();
    wait_until_served(&admin);
    let after: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &after);
    assert_eq!(admin.get(&format!("/products/{tea}")).is(200)["stock"], 980);
    let (code, said) = ledger(cluster.node("front"));
    assert_eq!(code, Some(0), "the replica had all: {said}");
    cluster.stop();
}

#[test]
fn replicated_on_sqlite_loses_no_acknowledged_order_in_a_failover() {
    let after = after_a_failover("replicated", |cluster| cluster);
    assert_eq!((after.lost, after.missing, after.ledger.0), (0, 0, Some(0)), "{}", after.ledger.1);
}

#[test]
fn replicated_on_postgres_loses_no_acknowledged_order_in_a_failover() {
    let database = Postgres::shared().database();
    let after = after_a_failover("replicated", |cluster| cluster.on(&database));
    assert_eq!((after.lost, after.missing, after.ledger.0), (0, 0, Some(0)), "{}", after.ledger.1);
}

#[test]
fn what_machine_loses_in_a_failover_is_missing_in_the_ledger() {
    let After { lost, missing, ledger } = after_a_failover("machine", |cluster| cluster);
    println!("of {ORDERS} acknowledged orders {lost} are lost");
    let code = if lost > 0 { DATA } else { 0 };
    assert_eq!((missing, ledger.0), (lost as i64, Some(code)), "{}", ledger.1);
}
