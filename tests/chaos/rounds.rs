//! One fault after the other, chosen by a seed.

use super::check::{is_as_told, ledgers_balance};
use super::shoppers::Shoppers;
use crate::support::{Cluster, ClusterBuilder, Postgres, Redis, Scratch};

const STOCK: u64 = 1_000_000;
const SHOPPERS: usize = 6;
/// A seed under which every fault happens.
const SEED: u64 = 11;
const ROUNDS: usize = 8;
/// Acknowledgements between two steps: enough that some are at every stage of their way.
const BETWEEN: usize = 12;

/// Chance that a seed can repeat (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Sleep,
    Drain,
    CutConnections,
    RestartRedis,
}

fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn in_one_process_nothing_is_lost_or_doubled() {
    let cluster = quick(Cluster::single()).start();
    chaos(cluster, None, &["main"], &[Fault::Kill, Fault::Kill, Fault::Drain, Fault::Sleep]);
}

#[test]
fn over_redis_nothing_is_lost_or_doubled() {
    let (redis, database, scratch) = (Redis::durable(), Postgres::shared().database(), Scratch::new("chaos"));
    let topology = "[nodes.front]\nhosts = [\"gateway\", \"users\", \"auth\"]\n\
                    [nodes.store-1]\nhosts = [\"catalog\", \"orders\"]\n[nodes.store-2]\nhosts = [\"catalog\", \"orders\"]\n";
    let topology = scratch.write("chaos.toml", topology).display().to_string();
    let cluster = quick(Cluster::of(&topology).over(&redis).on(&database))
        .set("members.heartbeat_ms", 300)
        .set("members.lease_ms", 3_000)
        .start();
    let faults = [Fault::Kill, Fault::Sleep, Fault::Drain, Fault::CutConnections, Fault::RestartRedis];
    chaos(cluster, Some(redis), &["store-1", "store-2", "front"], &faults);
}

/// Settings with short backoffs.
pub fn quick(cluster: ClusterBuilder) -> ClusterBuilder {
    cluster
        .set("gateway.rate_limit_per_second", 0)
        .set("durable.backoff_first_ms", 20)
        .set("durable.backoff_most_ms", 500)
        .set("durable.attempts", 1_000)
        .set("orders.wait_ms", 100)
}

fn chaos(mut cluster: Cluster, mut redis: Option<Redis>, nodes: &[&str], faults: &[Fault]) {
    let seed = from_environment("ESSAIM_CHAOS_SEED", SEED);
    let rounds = from_environment("ESSAIM_CHAOS_ROUNDS", ROUNDS);
    println!("ESSAIM_CHAOS_SEED={seed} ESSAIM_CHAOS_ROUNDS={rounds}");
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let shoppers = Shoppers::start(SHOPPERS, "shopper", &admin, &product);
    let mut dice = Dice(seed);
    for _ in 0..rounds {
        shoppers.acknowledged_more(BETWEEN);
        let (fault, node) = (faults[dice.below(faults.len())], nodes[dice.below(nodes.len())]);
        println!("{fault:?} {node}");
        // While a node is away that alone hosts a capability, customers are not served.
        let others_serve = nodes.len() > 1 && node != "front";
        match fault {
            Fault::Kill => cluster.node(node).kill(),
            Fault::Drain => cluster.node(node).stop(),
            Fault::Sleep => cluster.node(node).pause(),
            Fault::CutConnections => drop(redis.as_ref().map(Redis::cut_connections)),
            Fault::RestartRedis => redis.iter_mut().for_each(Redis::restart),
        }
        if others_serve {
            shoppers.acknowledged_more(BETWEEN);
        }
        match fault {
            Fault::Kill | Fault::Drain => cluster.node(node).restart(),
            Fault::Sleep => cluster.node(node).resume(),
            Fault::CutConnections | Fault::RestartRedis => {}
        }
    }
    shoppers.acknowledged_more(BETWEEN);
    let known = shoppers.stop();
    println!("{} orders", known.len());
    is_as_told(&admin, &product, STOCK, &known);
    ledgers_balance(&cluster.node(nodes[0]).admin());
    cluster.stop();
}
