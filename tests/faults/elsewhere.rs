//! A server that answers but is not the one that its name leads to any more, and one that can be no bridge.
//!
//! Connections that were made before stay where they are: only the server's answers show that it is the wrong one, and
//! only the longest life of a connection ends it.

use std::collections::BTreeSet;

use super::bridge::{CONNECTED, WIRE_LOST};
use super::forgotten::{ledger, placed, wait_until_confirmed};
use super::stage::{Stage, wait_until_served};
use crate::support::{
    Api, Cluster, ClusterBuilder, ClusterNode, Name, Pair, Postgres, Redis, Scratch, essaim, eventually,
};

/// The reasons for which a node is not ready; `None` if it is.
fn unready(node: &ClusterNode) -> Option<String> {
    let answer = node.admin().try_send("GET", "/readyz", None).ok()?;
    (answer.status != 200).then_some(answer.text)
}

#[test]
fn nodes_leave_a_redis_that_was_demoted_for_the_one_that_its_name_leads_to() {
    let mut pair = Pair::start();
    let mut cluster = Cluster::of("config/split.toml").set("bridge.url", pair.url()).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000);
    let before: Vec<_> = (0..5).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &before);
    let epochs: Vec<_> = cluster.running().map(|node| (node.name().to_string(), node.epoch())).collect();

    pair.swap();
    for node in cluster.running() {
        let says = || unready(node).filter(|text| text.contains("replica"));
        eventually(&format!("`{}` to say that it is with a replica", node.name()), says);
    }
    pair.name_follows();
    for node in cluster.running() {
        node.process().wait_for_line(CONNECTED);
        eventually(&format!("`{}` to be ready again", node.name()), || unready(node).is_none().then_some(()));
    }
    wait_until_served(&cluster.api());
    let after: Vec<_> = (0..5).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &after);
    assert_eq!(admin.get(&format!("/products/{tea}")).is(200)["stock"], 990);
    eventually("nobody to listen at the old server", || pair.replica.channels().is_empty().then_some(()));
    let (code, said) = ledger(cluster.node("front"));
    assert_eq!(code, Some(0), "{said}");
    for (node, epoch) in epochs {
        let node = cluster.node(&node);
        assert_eq!(node.epoch(), epoch);
        // One line each for the wire and for the log.
        let lines = node.process().lines();
        let told = lines.iter().filter(|line| line.contains(" WARN ") && line.contains("is a replica")).count();
        assert!((1..=2).contains(&told), "`{}` says it {told} times: {lines:#?}", node.name());
    }
    cluster.stop();
}

#[test]
fn a_redis_that_others_lead_now_is_left_when_the_connections_have_had_their_longest_life() {
    // Both are primaries: no answer of the old one shows that the name leads elsewhere.
    let pair = Pair::start();
    let mut cluster =
        Cluster::of("config/split.toml").set("bridge.url", pair.url()).set("bridge.connection_life_ms", 1_000).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000);
    let before: Vec<_> = (0..5).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &before);
    pair.replica.lead();
    pair.name.leads_to(pair.replica.port());
    // What a node still sends there is lost with it: both lead. The connection that asks is one.
    eventually("nobody to be at the old server", || (pair.primary.connections().len() <= 1).then_some(()));
    wait_until_served(&cluster.api());
    let after: Vec<_> = (0..5).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &after);
    let listens = |inbox: &str| pair.replica.channels().iter().any(|channel| channel.contains(inbox));
    for node in ["front", "identity", "shop"] {
        assert!(listens(&format!(":inbox:{node}:")), "{:?}", pair.replica.channels());
    }
    for node in cluster.running() {
        assert!(unready(node).is_none());
    }
    cluster.stop();
}

#[test]
fn connections_that_are_made_anew_at_their_longest_life_cost_nobody_anything() {
    let redis = Redis::durable();
    let (name, database) = (Name::of(redis.port()), Postgres::shared().database());
    let cluster: ClusterBuilder = Cluster::of("config/replicated.toml").without("identity-2").on(&database);
    let url = format!("redis://127.0.0.1:{}", name.port());
    let mut stage = Stage::of(redis, cluster.set("bridge.url", url).set("bridge.connection_life_ms", 300));
    let epochs = stage.epochs();
    let load = stage.load();
    let made = name.connections_made();
    eventually("many connections to be made", || {
        load.served_more(20, 10);
        (name.connections_made() > made + 100).then_some(())
    });
    let told = load.stop();
    told.all_was_served();
    stage.is_as_told(&told);
    stage.nobody_is_deaf();
    assert_eq!(stage.epochs(), epochs);
    for node in stage.cluster.running() {
        assert!(!node.process().has_line(WIRE_LOST), "`{}` was without a connection", node.name());
    }
    stage.cluster.stop();
}

#[test]
fn a_redis_cluster_is_refused_and_named() {
    let redis = Redis::in_cluster_mode();
    let scratch = Scratch::new("cluster");
    let arguments = ["node", "shop", "--config", "config/split.toml", "--set"];
    let mut node = essaim();
    node.args(arguments).arg(format!("bridge.url={}", redis.url())).arg("--data-dir").arg(scratch.path());
    let ended = node.output().expect("essaim runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("cluster mode is not supported"), "{said}");
}

#[test]
fn nodes_end_when_their_name_leads_to_a_redis_cluster() {
    let (redis, refused) = (Redis::start(), Redis::in_cluster_mode());
    let name = Name::of(redis.port());
    let url = format!("redis://127.0.0.1:{}", name.port());
    let mut cluster = Cluster::of("config/split.toml").set("bridge.url", url).start();
    name.leads_to(refused.port());
    name.cut();
    let codes: BTreeSet<_> = cluster.nodes().map(|node| node.exit_code()).collect();
    assert_eq!(codes, BTreeSet::from([Some(78)]));
}

#[test]
fn a_redis_that_loads_its_data_is_waited_for() {
    let mut redis = Redis::durable();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    redis.fill();
    cluster.node("shop").stop();
    redis.restart_loading();
    for node in ["front", "identity"] {
        let says = || unready(cluster.node(node)).filter(|text| text.contains("loading"));
        eventually(&format!("`{node}` to say what it waits for"), says);
    }
    cluster.node("shop").start();
    cluster.node("shop").process().wait_for_line("is loading its data");
    redis.is_loaded();
    for node in ["front", "identity", "shop"] {
        cluster.node(node).wait_until_ready();
    }
    wait_until_served(&cluster.api());
    cluster.stop();
}

/// One process whose data is behind a name, in a database of a server.
fn behind(name: &Name, server: &Postgres) -> ClusterBuilder {
    let url = server.database().url_through(name);
    ["users", "auth", "catalog", "orders"].iter().fold(Cluster::single(), |cluster, capability| {
        cluster.set(&format!("capabilities.{capability}.database"), &url)
    })
}

fn stock(admin: &Api, product: &str) -> u64 {
    admin.get(&format!("/products/{product}")).is(200)["stock"].as_u64().expect("it is a number")
}

#[test]
fn nodes_leave_a_postgres_that_was_demoted_for_the_one_that_its_name_leads_to() {
    let mut first = Postgres::start();
    let (second, name) = (first.standby(), Name::of(first.port()));
    let mut cluster = behind(&name, &first).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000);
    let before: Vec<_> = (0..5).map(|_| placed(&admin, &tea)).collect();
    wait_until_confirmed(&admin, &before);

    // It ends once its standby has all, and is a standby when it is back, before its name leads elsewhere.
    first.stop();
    second.promote();
    first.go_on_as_standby();
    let refused =
        eventually("an order to be refused", || Some(admin.order(&tea, 1)).filter(|answer| answer.status != 504));
    assert!(refused.problem(503, "unavailable").header("retry-after").is_some());
    name.leads_to(second.port());
    let order = eventually("an order to be placed", || {
        let answer = admin.order(&tea, 1);
        assert!(matches!(answer.status, 200 | 201 | 503), "{} {}", answer.status, answer.text);
        (answer.status < 300).then(|| answer.id())
    });
    wait_until_confirmed(&admin, &[order]);
    assert_eq!(stock(&admin, &tea), 994);
    let (code, said) = ledger(cluster.node("main"));
    assert_eq!(code, Some(0), "{said}");
    cluster.stop();
}

#[test]
fn connections_that_lead_to_a_standby_are_left_when_a_write_is_refused() {
    let first = Postgres::start();
    let name = Name::of(first.port());
    let cluster = behind(&name, &first).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000);
    placed(&admin, &tea);
    let made = name.connections_made();
    // As on a standby, on connections that stay.
    first.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    first.sql("postgres", "SELECT pg_reload_conf()");
    eventually("an order to be refused", || (admin.order(&tea, 1).status == 503).then_some(()));
    first.sql("postgres", "ALTER SYSTEM RESET default_transaction_read_only");
    first.sql("postgres", "SELECT pg_reload_conf()");
    eventually("an order to be placed", || (admin.order(&tea, 1).status < 300).then_some(()));
    assert!(name.connections_made() > made, "no connection of before is in use");
    cluster.stop();
}

#[test]
fn connections_to_postgres_that_are_made_anew_at_their_longest_life_cost_nobody_anything() {
    let server = Postgres::shared();
    let name = Name::of(server.port());
    let cluster = behind(&name, server).set("store.connection_life_ms", 200).start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 1_000_000);
    let (made, mut orders) = (name.connections_made(), Vec::new());
    while name.connections_made() < made + 50 {
        orders.push(placed(&admin, &tea));
        stock(&admin, &tea);
    }
    wait_until_confirmed(&admin, &orders);
    cluster.stop();
}
