//! Attempts that are on their way for longer than their customer has an account.

use serde_json::json;

use crate::support::{Cluster, ClusterBuilder, Postgres, Redis, eventually};

const PASSWORD: &str = "a long enough password";
const STOCK: u64 = 10;

#[test]
fn on_sqlite_a_late_attempt_of_a_deleted_customer_places_no_second_order() {
    a_late_attempt(Cluster::single());
}

#[test]
fn on_postgres_a_late_attempt_of_a_deleted_customer_places_no_second_order() {
    let (redis, database) = (Redis::start(), Postgres::shared().database());
    a_late_attempt(Cluster::of("config/replicated.toml").over(&redis).on(&database));
}

fn a_late_attempt(cluster: ClusterBuilder) {
    let cluster = cluster.start();
    let (admin, api) = (cluster.admin(), cluster.api());
    let product = admin.product("TEA", 450, STOCK);
    api.register("ana@example.com", PASSWORD, "Ana");
    let ana = api.logged_in("ana@example.com", PASSWORD).with("Idempotency-Key", "late");
    let attempt = || ana.post("/orders", json!({ "lines": [{ "product_id": product, "quantity": 2 }] }));
    let path = format!("/orders/{}", attempt().is(201).id());
    eventually("the order to be confirmed", || (ana.get(&path)["status"] == "confirmed").then_some(()));
    ana.delete("/users/me").is(204);
    eventually("the order to be nobody's", || (ana.get(&path).status == 404).then_some(()));
    // The access token is valid for a while yet.
    attempt().problem(422, "idempotency-key-reused");
    assert_eq!(ana.get("/orders").is(200)["items"], json!([]));
    assert_eq!(admin.get(&format!("/products/{product}"))["stock"], STOCK - 2);
    cluster.stop();
}
