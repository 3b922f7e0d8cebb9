//! Nodes and Redis that go away and come back: what a client is told meanwhile, and that nothing stays broken.

use serde_json::json;

use crate::support::{Answer, Api, Cluster, Process, Redis, Scratch, essaim, eventually};

/// The exit code of a node whose name or capability another live node has.
const TAKEN: i32 = 72;

/// Waits until the products can be listed.
#[track_caller]
fn wait_until_served(api: &Api) {
    let served = |answer: Answer| (answer.status == 200).then_some(());
    eventually("the products to be served", || served(api.try_send("GET", "/products", None).ok()?));
}

/// Ends a node at once and waits until Redis has seen it too.
fn kill(cluster: &mut Cluster, node: &str, redis: &Redis) {
    cluster.node(node).kill();
    let inbox = format!(":inbox:{node}:");
    eventually("redis to see the end", || (!redis.channels().iter().any(|c| c.contains(&inbox))).then_some(()));
}

#[test]
fn a_node_that_was_killed_is_missed_at_once_and_takes_its_name_again() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let api = cluster.api();
    api.get("/products").is(200);
    kill(&mut cluster, "shop", &redis);
    // The first ask after the end finds no receiver, and so is certain not to have run.
    let missed = api.get("/products").problem(503, "unavailable");
    assert!(missed.header("retry-after").is_some(), "{:?}", missed.headers);
    api.get("/livez").is(200);
    cluster.node("shop").restart();
    wait_until_served(&api);
    cluster.stop();
}

#[test]
fn a_node_that_answers_nothing_leaves_the_outcome_unknown() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).set("ask.timeout_ms", 600).start();
    let api = cluster.api();
    cluster.node("shop").pause();
    api.get("/products").problem(504, "outcome-unknown");
    cluster.node("shop").resume();
    wait_until_served(&api);
    cluster.stop();
}

#[test]
fn nodes_find_each_other_again_after_redis_was_gone() {
    let mut redis = Redis::start();
    let cluster = Cluster::of("config/split.toml").over(&redis).start();
    let (api, admin) = (cluster.api(), cluster.admin());
    let tea = admin.product("TEA", 450, 5);
    redis.kill();
    let lost = api.get("/products");
    assert!(matches!(lost.status, 503 | 504), "{}", lost.text);
    redis.restart();
    wait_until_served(&api);
    redis.cut_connections();
    wait_until_served(&api);
    assert_eq!(api.get(&format!("/products/{tea}")).is(200)["stock"], 5);
    cluster.stop();
}

#[test]
fn a_replica_that_is_killed_is_not_missed() {
    let (redis, database) = (Redis::start(), crate::support::Postgres::shared().database());
    let mut cluster = Cluster::of("config/replicated.toml").over(&redis).without("front-2").without("identity-2");
    for capability in ["users", "auth", "catalog", "orders"] {
        cluster = cluster.set(&format!("capabilities.{capability}.database"), database.url());
    }
    let mut cluster = cluster.start();
    let admin = cluster.admin();
    let tea = admin.product("TEA", 450, 100);
    for round in 0..20 {
        if round == 5 {
            kill(&mut cluster, "shop-1", &redis);
        }
        let order = json!({ "lines": [{ "product_id": tea, "quantity": 1 }] });
        admin.with("Idempotency-Key", &round.to_string()).post("/orders", order).is(201);
    }
    assert_eq!(admin.get(&format!("/products/{tea}")).is(200)["stock"], 80);
    cluster.node("shop-2").stop();
}

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
