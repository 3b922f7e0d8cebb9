//! A shop's day: Ana buys, Ben looks on, the administrator sells.

use serde_json::json;

use super::Transcript;
use crate::support::{ADMIN_EMAIL, ADMIN_PASSWORD, Api, Cluster, eventually};

const PASSWORD: &str = "a long enough password";

/// Plays the story against the cluster, each person at a gateway of their own where there are several.
pub fn play(cluster: &Cluster, told: &mut Transcript) {
    let gateways = cluster.apis();
    let (here, there) = (&gateways[0], &gateways[gateways.len() - 1]);
    let ana = accounts(here, told);
    let admin = there.logged_in(ADMIN_EMAIL, ADMIN_PASSWORD);
    let product = products(&admin, &ana, here, told);
    let order = orders(&ana, &product, told);
    strangers(there, &order, told);
    cancel(&ana, &product, &order, told);
    sessions(here, told);
    mistakes(here, &ana, told);
}

/// Ana registers and logs in.
fn accounts(api: &Api, told: &mut Transcript) -> Api {
    let registered = api.register("ana@example.com", PASSWORD, "Ana");
    assert_eq!((&registered["email"], &registered["role"]), (&json!("ana@example.com"), &json!("customer")));
    told.note("ana registers", &registered);
    let again = json!({ "email": "ANA@example.com", "password": PASSWORD, "name": "Another Ana" });
    told.note("her address is taken, whatever its case", &api.post("/users", again).is(409));
    let wrong = json!({ "email": "ana@example.com", "password": "not her password" });
    told.note("another password does not open her account", &api.post("/auth/login", wrong).is(401));
    let tokens = api.login("ana@example.com", PASSWORD);
    assert_eq!(tokens["token_type"], "Bearer");
    told.note("ana logs in", &tokens);
    let ana = api.bearing(tokens["access_token"].as_str().expect("a token is a text"));
    let me = ana.get("/users/me").is(200);
    assert_eq!(me["id"], registered["id"]);
    told.note("ana reads her profile", &me);
    told.note("ana changes her name", &ana.patch("/users/me", json!({ "name": "Ana Maria" })).is(200));
    told.note("ana may not list people", &ana.get("/users").problem(403, "forbidden"));
    ana
}

/// The administrator puts a product on sale; its id.
fn products(admin: &Api, ana: &Api, anybody: &Api, told: &mut Transcript) -> String {
    told.note("the shop is empty", &anybody.get("/products").is(200));
    let tea = json!({ "sku": "TEA-1", "name": "Tea", "price_cents": 450, "currency": "EUR", "stock": 3 });
    told.note("ana may not sell", &ana.post("/products", tea.clone()).problem(403, "forbidden"));
    told.note(
        "nobody in particular may not either",
        &anybody.post("/products", tea.clone()).problem(401, "unauthorized"),
    );
    let product = admin.post("/products", tea.clone()).is(201);
    told.note("the administrator sells tea", &product);
    told.note("its number is taken", &admin.post("/products", tea).is(409));
    let path = format!("/products/{}", product.id());
    told.note("anybody sees it", &anybody.get(&path).is(200));
    let dearer = admin.patch(&path, json!({ "price_cents": 500 })).is(200);
    assert_eq!(dearer["price_cents"], 500);
    told.note("it gets dearer", &dearer);
    let more = admin.put(&format!("{path}/stock"), json!({ "stock": 5 })).is(200);
    assert_eq!(more["stock"], 5);
    told.note("more of it arrives", &more);
    told.note("anybody sees the list", &anybody.get("/products").is(200));
    product.id()
}

/// Ana orders twice, and in vain once; the id of her first order.
fn orders(ana: &Api, product: &str, told: &mut Transcript) -> String {
    let order = ana.order(product, 2).is(201);
    assert_eq!((&order["status"], &order["total_cents"]), (&json!("confirmed"), &json!(1_000)));
    told.note("ana orders two", &order);
    assert_eq!(stock(ana, product), 3);
    let keyed = ana.with("Idempotency-Key", "once");
    let first = keyed.order(product, 1).is(201);
    told.note("ana orders one, under a key", &first);
    let repeated = keyed.order(product, 1);
    assert_eq!(repeated.id(), first.id(), "the same key and body are the same order");
    told.note("she repeats it", &repeated);
    told.note("she uses the key for something else", &keyed.order(product, 2).is(422));
    assert_eq!(stock(ana, product), 2, "what was repeated or refused took no stock");
    told.note("she orders more than there is", &ana.order(product, 3).is(409));
    assert_eq!(stock(ana, product), 2, "an order that was refused takes no stock");
    let listed = ana.get("/orders?limit=10").is(200);
    told.note("ana lists her orders", &listed);
    told.note("ana reads the first", &ana.get(&format!("/orders/{}", order.id())).is(200));
    order.id()
}

/// Ben cannot see Ana's order, let alone cancel it.
fn strangers(api: &Api, order: &str, told: &mut Transcript) {
    told.note("ben registers", &api.register("ben@example.com", PASSWORD, "Ben"));
    let ben = api.logged_in("ben@example.com", PASSWORD);
    let path = format!("/orders/{order}");
    told.note("ana's order does not exist for ben", &ben.get(&path).problem(404, "not-found"));
    told.note("nor can he cancel it", &ben.post(&format!("{path}/cancel"), json!({})).problem(404, "not-found"));
    let none = ben.get("/orders").is(200);
    assert_eq!(none["items"], json!([]));
    told.note("ben has no orders", &none);
    told.note("and nobody in particular may ask", &api.get(&path).problem(401, "unauthorized"));
}

/// Ana cancels, and the stock is back.
fn cancel(ana: &Api, product: &str, order: &str, told: &mut Transcript) {
    let path = format!("/orders/{order}/cancel");
    let cancelled = ana.post(&path, json!({})).is(200);
    assert_eq!(cancelled["status"], "cancelled");
    told.note("ana cancels her first order", &cancelled);
    let is_back = |stock: u64| (stock == 4).then_some(());
    eventually("the stock to be back", || is_back(stock(ana, product)));
    told.note("cancelling again changes nothing", &ana.post(&path, json!({})).is(200));
    assert_eq!(stock(ana, product), 4);
}

/// Refresh tokens rotate, and end with the session.
fn sessions(api: &Api, told: &mut Transcript) {
    let tokens = api.login("ana@example.com", PASSWORD);
    let refreshed = api.post("/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] })).is(200);
    assert_ne!(refreshed["refresh_token"], tokens["refresh_token"], "a refresh token is used once");
    told.note("ana's session goes on", &refreshed);
    let ana = api.bearing(refreshed["access_token"].as_str().expect("a token is a text"));
    let logout = ana.post("/auth/logout", json!({ "refresh_token": refreshed["refresh_token"] }));
    assert!(matches!(logout.status, 200 | 204), "{}", logout.text);
    told.note("ana logs out", &logout);
    let ended = api.post("/auth/refresh", json!({ "refresh_token": refreshed["refresh_token"] })).is(401);
    told.note("her session has ended", &ended);
}

/// Requests that cannot be understood are answered with a problem, too.
fn mistakes(api: &Api, ana: &Api, told: &mut Transcript) {
    told.note("there is no such place", &api.get("/nowhere").problem(404, "not-found"));
    told.note("there is no such product", &api.get("/products/nothing").is(404));
    told.note("an order of nothing", &ana.post("/orders", json!({ "lines": [] })).is(422));
    told.note("a field that nobody knows", &ana.post("/orders", json!({ "lines": [], "colour": "red" })));
    told.note("a token that is none", &api.bearing("nonsense").get("/users/me").problem(401, "invalid-token"));
    told.note("a page that is too long", &api.get("/products?limit=1000").problem(400, "bad-request"));
}

fn stock(api: &Api, product: &str) -> u64 {
    let product = api.get(&format!("/products/{product}")).is(200);
    product["stock"].as_u64().expect("a stock is a number")
}
