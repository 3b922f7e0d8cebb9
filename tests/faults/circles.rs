//! A node that closes a cycle in the ask graph: it ends, is started again, and ends.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use essaim::{NodeError, Roster};

use crate::errors::{AskingProbeActor, RelayActor, TestNode, config};
use crate::support::{Redis, eventually};

/// How often the cyclic node dies in each part of the test.
const LIVES: u32 = 2;

#[test]
fn innocent_nodes_join_and_stay_while_one_with_a_cyclic_ask_graph_crash_loops() {
    let redis = Redis::start();
    let url = redis.url();
    let join = |name: &str, roster, hosts| TestNode::try_start(roster, hosts, config(name, Some(&url)));
    let relay = |name: &str| join(name, Roster::new().host::<RelayActor>(), &["relay"]);
    let _first = relay("first").expect("it is alone");
    let (over, lives) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let looping = join("looping", Roster::new().host::<AskingProbeActor>(), &["probe"]).err();
                // The panic of a scoped thread would wait for the others: the count stays behind instead.
                if matches!(&looping, Some(NodeError::Cycle(_))) {
                    lives.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let dies = |more| {
            let before = lives.load(Ordering::Relaxed);
            eventually("the cyclic node to die", || (lives.load(Ordering::Relaxed) >= before + more).then_some(()));
        };
        dies(1);
        // Each joins at another moment of the other's life.
        let replicas = ["a", "b", "c", "d"].map(|name| (name, relay(&format!("replica-{name}"))));
        dies(LIVES);
        let late = relay("late");
        over.store(true, Ordering::Relaxed);
        for (name, joined) in replicas {
            assert!(joined.is_ok(), "`{name}` is not the one that closes the cycle: {:?}", joined.err());
        }
        assert!(late.is_ok(), "it is not the one that closes the cycle: {:?}", late.err());
    });
}
