//! One fault after the other, in an order that a seed decides.

use super::stage::{Stage, short_lease};

/// Chance that a seed can repeat (SplitMix64).
struct Dice(u64);

impl Dice {
    /// A number below that one.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// What can happen to a node or to Redis.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    Sleep,
    Drain,
    CutConnections,
    RestartRedis,
}

const FAULTS: &[Fault] = &[Fault::Kill, Fault::Sleep, Fault::Drain, Fault::CutConnections, Fault::RestartRedis];
const HOSTS: &[&str] = &["identity-1", "identity-2", "shop-1", "shop-2"];

/// A seed under which every fault happens, and to every host.
const SEED: u64 = 16;
const ROUNDS: usize = 8;

#[test]
fn faults_in_any_order_cost_no_read_and_no_order() {
    // A read has time for Redis and its host to come back, on a busy machine too.
    let patient = |c| short_lease(c).set("ask.timeout_ms", 8_000);
    let mut stage = Stage::replicated(&["front-2"], patient);
    let (load, mut dice) = (stage.load(), Dice(SEED));
    for _ in 0..ROUNDS {
        let (fault, host) = (FAULTS[dice.below(FAULTS.len())], HOSTS[dice.below(HOSTS.len())]);
        println!("{fault:?} {host}");
        let node = stage.cluster.node(host);
        match fault {
            Fault::Kill => node.kill(),
            Fault::Sleep => node.pause(),
            Fault::Drain => node.stop(),
            Fault::CutConnections => assert!(stage.redis.cut_connections() > 0),
            Fault::RestartRedis => stage.redis.restart(),
        }
        load.served_more(40, 5);
        let node = stage.cluster.node(host);
        match fault {
            Fault::Kill | Fault::Drain => node.restart(),
            Fault::Sleep => node.resume(),
            Fault::CutConnections | Fault::RestartRedis => {}
        }
        stage.all_hear_all();
    }
    load.everybody_answered();
    let told = load.stop();
    assert!(told.reads.honest.is_empty(), "a read failed while a host lived: {:?}", told.reads);
    stage.is_as_told(&told);
    stage.nobody_is_deaf();
}
