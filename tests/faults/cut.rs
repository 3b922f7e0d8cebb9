//! A network link that is cut without a word: neither end is told that the other is gone.

use crate::support::{Cluster, Namespace, Redis};

use super::stage::{Stage, short_lease};

#[test]
fn a_host_behind_a_link_that_is_cut_and_mended_comes_back_by_itself() {
    let Some(namespace) = Namespace::new() else { return };
    let redis = Redis::start_at(namespace.address());
    let cluster = Cluster::of("config/split.toml").inside("shop", &namespace, &redis).over(&redis);
    let mut stage = Stage::of(redis, short_lease(cluster));
    let load = stage.load();
    let epochs = stage.epochs();
    let lines = stage.cluster.node("shop").process().lines().len();
    namespace.cut();
    // Its connection stands, as far as its own machine knows; the node notices since its pings do not come back.
    stage.cluster.node("shop").process().wait_for_line_after(lines, "the wire does not work");
    let lost = stage.cluster.node("front").process().wait_for_line("a node was lost");
    assert!(lost.contains("shop"), "{lost}");
    namespace.mend();
    load.served_more(60, 20);
    let told = load.stop();
    stage.is_as_told(&told);
    stage.nobody_is_deaf();
    assert_eq!(stage.epochs(), epochs);
}
