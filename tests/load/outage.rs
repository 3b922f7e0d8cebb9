//! A PostgreSQL server that goes away under load and comes back, and one that is late.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::clients::{Shift, crowd, held_by, order_until_answered, orders_of, stock_of};
use crate::support::{ADMIN_EMAIL, ADMIN_PASSWORD, Answer, Cluster, PATIENCE, Postgres, eventually};

const CUSTOMERS: usize = 8;
const STOCK: u64 = 1_000_000;
/// Orders that are acknowledged before the server goes away, and between its absences.
const BETWEEN: usize = 20;

/// Answers of the customers so far.
#[derive(Default)]
struct Told {
    acknowledged: AtomicUsize,
    over: AtomicBool,
}

#[test]
fn no_acknowledged_order_is_lost_when_postgres_goes_away_under_load() {
    let mut server = Postgres::start();
    let database = server.database();
    let mut cluster = Cluster::single().set("gateway.rate_limit_per_second", 0);
    for capability in ["users", "auth", "catalog", "orders"] {
        cluster = cluster.set(&format!("capabilities.{capability}.database"), database.url());
    }
    let cluster = cluster.start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 100, STOCK);

    let told = Told::default();
    let answers = std::thread::scope(|scope| {
        let shift = Shift(&told.over);
        let customers = scope.spawn(|| {
            crowd(CUSTOMERS, |customer| {
                let api = admin.within(PATIENCE);
                let mut answers = Vec::new();
                while !told.over.load(Ordering::SeqCst) {
                    let key = format!("{customer}-{}", answers.len());
                    answers.push(order_until_answered(&api, &key, &product, 1));
                    told.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                answers
            })
        });
        let more_are_acknowledged = || {
            let enough = told.acknowledged.load(Ordering::SeqCst) + BETWEEN;
            eventually("more orders", || (told.acknowledged.load(Ordering::SeqCst) >= enough).then_some(()));
        };
        let is_missed = || {
            let asked = || admin.try_send("GET", "/products", None).ok();
            eventually("the server to be missed", || asked().filter(|answer| answer.status >= 500));
        };
        more_are_acknowledged();
        server.stop();
        is_missed();
        server.go_on();
        more_are_acknowledged();
        server.kill();
        is_missed();
        server.go_on();
        more_are_acknowledged();
        drop(shift);
        customers.join().expect("no customer panics")
    });

    let orders: BTreeMap<String, String> =
        orders_of(&admin).into_iter().map(|o| (text(&o, "id"), text(&o, "status"))).collect();
    let (mut acknowledged, mut refused) = (0, BTreeMap::new());
    for placed in answers.into_iter().flatten() {
        placed.before.iter().for_each(|answer| *refused.entry(honest(answer)).or_insert(0) += 1);
        assert!(matches!(placed.answer.status, 200 | 201), "{}", placed.answer.text);
        assert_eq!(orders.get(&placed.answer.id()).map(String::as_str), Some("confirmed"));
        acknowledged += 1;
    }
    println!("{acknowledged} orders were acknowledged; meanwhile: {refused:?}");
    assert_eq!(orders.len(), acknowledged, "each key has one order");
    assert_eq!(stock_of(&admin, &product) + held_by(&admin), STOCK);
    cluster.stop();
}

#[test]
fn a_capability_whose_server_is_late_comes_up_by_itself_and_keeps_nobody_waiting() {
    let mut server = Postgres::start();
    let database = server.database();
    server.stop();
    let cluster = Cluster::single().set("capabilities.catalog.database", database.url());
    let mut cluster = cluster.set("supervision.backoff_most_ms", 500).without("main").start();
    let node = cluster.node("main");
    node.start();
    node.process().wait_for_line("the first admin was made");
    // Requests that do not need the server are served.
    let api = node.api();
    let admin = eventually("the first administrator", || {
        let credentials = json!({ "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD });
        let tokens = api.try_send("POST", "/auth/login", Some(credentials)).ok().filter(|a| a.status == 200)?;
        Some(api.bearing(tokens["access_token"].as_str()?))
    });
    assert_eq!(orders_of(&admin).len(), 0);
    let refused = api.get("/products").problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    api.get("/livez").is(200);
    let readiness = node.admin().get("/readyz").is(503);
    assert!(
        readiness.text.contains("`catalog` has not started") && readiness.text.contains("start it"),
        "{readiness:?}"
    );

    server.go_on();
    node.wait_until_ready();
    let product = admin.product("TEA", 100, 1);
    admin.order(&product, 1).is(201);
    cluster.stop();
}

/// The kind of an honest error: nothing happened, or the outcome is unknown.
fn honest(answer: &Answer) -> String {
    let kind = answer["type"].as_str().unwrap_or_default().trim_start_matches("urn:essaim:problem:");
    let known = match answer.status {
        503 => kind == "unavailable" && answer.header("retry-after").is_some(),
        504 => kind == "outcome-unknown",
        _ => false,
    };
    assert!(known, "{} {}", answer.status, answer.text);
    kind.to_string()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().expect("it is a text").to_string()
}
