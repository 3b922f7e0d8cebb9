//! Environments that share one Redis server and nothing else.

use serde_json::json;

use super::stage::hears_only_its_own;
use crate::support::{Cluster, Redis, Scratch};

/// `config/split.toml` with other names.
const OTHER_NAMES: &str = r#"
[nodes.door]
hosts = ["gateway", "cache"]
[nodes.people]
hosts = ["users", "auth"]
[nodes.store]
hosts = ["catalog", "orders"]
"#;

/// Asserts that each environment has the customers, the products and the nodes of its own, and no others.
fn are_apart(first: &mut Cluster, second: &mut Cluster) {
    let (one, other) = (first.admin(), second.admin());
    let tea = one.product("TEA", 450, 5);
    let coffee = other.product("COFFEE", 800, 5);
    one.order(&tea, 1).is(201);
    other.order(&coffee, 1).is(201);
    // A node that heard both would ask the one or the other.
    for _ in 0..8 {
        for (api, sku) in [(&one, "TEA"), (&other, "COFFEE")] {
            let products = api.get("/products").is(200);
            let skus: Vec<_> = products["items"].as_array().into_iter().flatten().map(|p| &p["sku"]).collect();
            assert_eq!(skus, [sku]);
        }
    }
    for number in 0..8 {
        let email = format!("customer-{number}@example.com");
        first.api().register(&email, "a long enough password", "One").is(201);
        let unknown = second.api().post("/auth/login", json!({ "email": email, "password": "a long enough password" }));
        assert_eq!(unknown.status, 401, "a customer of the other environment is known: {}", unknown.text);
        second.api().register(&email, "another long password", "Other").is(201);
    }
    for cluster in [first, second] {
        hears_only_its_own(cluster);
        for node in cluster.nodes() {
            let (running, lines) = (node.process().is_running(), node.process().lines());
            assert!(running, "`{}` ended: {lines:#?}", node.name());
        }
    }
}

#[test]
fn environments_with_the_same_names_on_two_databases_of_one_server_hear_nothing_of_each_other() {
    let redis = Redis::start();
    let mut first = Cluster::of("config/split.toml").over(&redis).start();
    let mut second = Cluster::of("config/split.toml").over_database(&redis, 1).start();
    are_apart(&mut first, &mut second);
    first.stop();
    second.stop();
}

#[test]
fn environments_with_other_names_on_two_databases_of_one_server_hear_nothing_of_each_other() {
    let (redis, scratch) = (Redis::start(), Scratch::new("apart"));
    let topology = scratch.write("other.toml", OTHER_NAMES);
    let mut first = Cluster::of("config/split.toml").over(&redis).start();
    let mut second = Cluster::of(&topology.display().to_string()).over_database(&redis, 1).start();
    are_apart(&mut first, &mut second);
    first.stop();
    second.stop();
}
