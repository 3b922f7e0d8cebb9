//! Claims: one live node has a name, and one the capabilities on SQLite.

use crate::support::{Cluster, Process, Redis, Scratch, essaim};

/// The exit code of a node whose name or capability another live node has.
const TAKEN: i32 = 72;

#[test]
fn a_second_host_of_a_sqlite_capability_is_refused_when_it_starts() {
    let (redis, scratch) = (Redis::start(), Scratch::new("second"));
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let topology = format!("[bridge]\nurl = \"{}\"\n[nodes.other]\nhosts = [\"catalog\"]\n", redis.url());
    let file = scratch.write("other.toml", &topology);
    let mut command = essaim();
    command.args(["node", "other", "--config"]).arg(file).arg("--data-dir").arg(scratch.join("data"));
    let mut other = Process::start("other", &mut command);
    assert_eq!(other.exit_code(), Some(TAKEN), "{:#?}", other.lines());
    let told = other.lines();
    assert!(told.iter().any(|l| l.starts_with("essaim: ") && l.contains("catalog") && l.contains("shop")), "{told:#?}");
    cluster.api().get("/products").is(200);
    cluster.nodes().for_each(|n| assert!(n.process().is_running()));
}
