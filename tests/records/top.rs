//! `essaim top`: what it shows of real nodes.

use super::trace::{said_at, text_at};
use crate::support::*;

#[test]
fn one_table_shows_the_messages_of_all_nodes_after_requests_were_made() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let admin = cluster.admin();
    admin.product("TEA", 450, 5);
    let front = cluster.node("front");
    let table = text_at(front, &["top", "--once"]);
    let row = |capability: &str| {
        let line = table.lines().find(|line| line.starts_with(capability));
        line.unwrap_or_else(|| panic!("{capability}: {table}")).split_whitespace().collect::<Vec<_>>()
    };
    assert!(table.starts_with("CAPABILITY"), "nothing is wrong: {table}");
    for (capability, node) in [("catalog", "shop"), ("auth", "identity"), ("gateway", "front")] {
        assert_eq!(row(capability)[1], node, "{table}");
    }
    let catalog = row("catalog");
    let rate: f64 = catalog[4].parse().expect("a rate");
    assert!(rate > 0.0 && catalog[5] == "0.0", "{table}");
    assert!(table.contains(" ms") || table.contains(" µs"), "handlers ran: {table}");
    let filtered = text_at(front, &["top", "--once", "--filter", "catalog", "--sort", "rate"]);
    assert_eq!(filtered.lines().count(), 2, "{filtered}");
    let wrong = said_at(front, &["top", "--sort", "colour"]);
    assert_eq!(wrong.status.code(), Some(2));
    cluster.stop();
}
