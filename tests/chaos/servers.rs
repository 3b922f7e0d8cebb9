//! A Redis that others write into, that is made to forget, that is full, or that is demoted behind its name.

use std::collections::BTreeMap;

use super::check::{is_as_told, ledgers_balance, logs_have_counted};
use super::rounds::quick;
use super::shoppers::{Known, Shoppers};
use crate::support::{Api, Cluster, Pair, Postgres, Redis, Scratch};

const STOCK: u64 = 1_000_000;
const SHOPPERS: usize = 6;
const ROUNDS: usize = 8;
/// Acknowledgements between two steps.
const BETWEEN: usize = 12;

const TOPOLOGY: &str = "[nodes.front]\nhosts = [\"gateway\", \"users\", \"auth\"]\n\
                        [nodes.store-1]\nhosts = [\"catalog\", \"orders\"]\n\
                        [nodes.store-2]\nhosts = [\"catalog\", \"orders\"]\n";

/// Both stores on PostgreSQL, so that they share the work; the node to be asked for the ledger.
fn on_postgres(redis: &Redis) -> (Cluster, &'static str) {
    let (database, scratch) = (Postgres::shared().database(), Scratch::new("stores"));
    let topology = scratch.write("stores.toml", TOPOLOGY).display().to_string();
    (quick(Cluster::of(&topology).over(redis).on(&database)).start(), "store-1")
}

/// Each capability on SQLite in one node; the node to be asked for the ledger.
fn on_sqlite(redis: &Redis) -> (Cluster, &'static str) {
    (quick(Cluster::of("config/split.toml").over(redis)).start(), "shop")
}

#[test]
fn on_postgres_a_redis_that_others_write_into_loses_and_doubles_nothing() {
    others_write(on_postgres);
}

#[test]
fn on_sqlite_a_redis_that_others_write_into_loses_and_doubles_nothing() {
    others_write(on_sqlite);
}

#[test]
fn on_postgres_a_redis_whose_keys_are_deleted_one_by_one_and_all_together_serves_what_comes_after() {
    keys_are_deleted(on_postgres);
}

#[test]
fn on_sqlite_a_redis_whose_keys_are_deleted_one_by_one_and_all_together_serves_what_comes_after() {
    keys_are_deleted(on_sqlite);
}

fn others_write(start: fn(&Redis) -> (Cluster, &'static str)) {
    let redis = Redis::durable();
    let (cluster, node) = start(&redis);
    let mut shop = Shop::open(cluster, node);
    let shoppers = shop.shoppers("foreign");
    for round in 0..ROUNDS {
        shoppers.acknowledged_more(BETWEEN);
        for stream in ["orders:0", "orders:3", "catalog:1", "catalog:5"] {
            let _: String = redis.command(&format!("XADD essaim:log:{stream} * junk {round}"));
        }
    }
    shoppers.acknowledged_more(BETWEEN);
    shop.is_as_told(shoppers);
    shop.cluster.stop();
}

fn keys_are_deleted(start: fn(&Redis) -> (Cluster, &'static str)) {
    let redis = Redis::durable();
    let (cluster, node) = start(&redis);
    let mut shop = Shop::open(cluster, node);
    let shoppers = shop.shoppers("before");
    shoppers.acknowledged_more(BETWEEN);
    shop.is_as_told(shoppers);
    // The keys of all partitions are alike, so one is enough.
    let alike = |key: &String| key.rsplit(':').any(|part| matches!(part, "1" | "2" | "3" | "4" | "5" | "6" | "7"));
    let mut keys: Vec<String> = redis.keys("essaim").into_iter().filter(|key| !alike(key)).collect();
    println!("{keys:?}");
    keys.push("*".into());
    for key in keys {
        println!("without {key}");
        let () = match key.as_str() {
            "*" => redis.command("FLUSHALL"),
            key => drop(redis.command::<u64>(&format!("DEL {key}"))),
        };
        let shoppers = shop.shoppers(&format!("without-{key}"));
        shoppers.acknowledged_more(BETWEEN);
        // Orders may all be acknowledged before the next heartbeat.
        logs_have_counted(&shop.cluster.node(node).admin());
        shop.is_as_told(shoppers);
    }
    shop.cluster.stop();
}

#[test]
fn a_redis_that_is_full_again_and_again_loses_and_doubles_nothing() {
    let (redis, database, scratch) = (Redis::durable(), Postgres::shared().database(), Scratch::new("full"));
    let topology = scratch.write("full.toml", TOPOLOGY).display().to_string();
    let cluster = quick(Cluster::of(&topology).over(&redis).on(&database)).start();
    let mut shop = Shop::open(cluster, "store-1");
    let shoppers = shop.shoppers("full");
    for round in 0..ROUNDS {
        shoppers.acknowledged_more(BETWEEN);
        redis.command::<()>("CONFIG SET maxmemory 1");
        shoppers.acknowledged_more(BETWEEN / 2);
        if round % 2 == 1 {
            shop.cluster.node("store-2").kill();
            shop.cluster.node("store-2").restart();
        }
        redis.command::<()>("CONFIG SET maxmemory 0");
    }
    shoppers.acknowledged_more(BETWEEN);
    shop.is_as_told(shoppers);
    shop.cluster.stop();
}

#[test]
fn a_redis_that_is_demoted_behind_its_name_again_and_again_loses_and_doubles_nothing() {
    let (mut pair, database, scratch) = (Pair::start(), Postgres::shared().database(), Scratch::new("demoted"));
    let topology = scratch.write("demoted.toml", TOPOLOGY).display().to_string();
    let cluster = quick(Cluster::of(&topology).set("bridge.url", pair.url()).on(&database));
    // What the old primary takes after the new one has been promoted is on no replica.
    let mut shop = Shop::open(cluster.set("store.durability", "replicated").start(), "store-1");
    let shoppers = shop.shoppers("demoted");
    for _ in 0..ROUNDS {
        shoppers.acknowledged_more(BETWEEN);
        pair.swap();
        pair.name_follows();
    }
    shoppers.acknowledged_more(BETWEEN);
    shop.is_as_told(shoppers);
    shop.cluster.stop();
}

/// A cluster that sells one product, and its customers' record of their orders.
struct Shop {
    cluster: Cluster,
    /// Which node is asked for the ledger.
    node: &'static str,
    admin: Api,
    product: String,
    known: BTreeMap<String, Known>,
}

impl Shop {
    fn open(cluster: Cluster, node: &'static str) -> Self {
        let admin = cluster.admin();
        let product = admin.product("TEA", 450, STOCK);
        Self { cluster, node, admin, product, known: BTreeMap::new() }
    }

    fn shoppers(&self, tag: &str) -> Shoppers {
        Shoppers::start(SHOPPERS, tag, &self.admin, &self.product)
    }

    /// Waits until nothing is under way, and asserts that all that customers were told is true.
    #[track_caller]
    fn is_as_told(&mut self, shoppers: Shoppers) {
        self.known.extend(shoppers.stop());
        println!("{} orders", self.known.len());
        is_as_told(&self.admin, &self.product, STOCK, &self.known);
        ledgers_balance(&self.cluster.node(self.node).admin());
    }
}
