//! The platform from outside: its OpenAPI document, its traces, its figures, its first start.

use serde_json::{Value, json};

use crate::support::{
    ADMIN_EMAIL, Answer, Api, Cluster, Process, Redis, Scratch, Signal, essaim, eventually, free_port,
};

/// The routes that clients rely on.
const ROUTES: &[(&str, &str)] = &[
    ("post", "/users"),
    ("get", "/users"),
    ("get", "/users/me"),
    ("patch", "/users/me"),
    ("delete", "/users/me"),
    ("post", "/auth/login"),
    ("post", "/auth/refresh"),
    ("post", "/auth/logout"),
    ("get", "/.well-known/jwks.json"),
    ("get", "/products"),
    ("post", "/products"),
    ("get", "/products/{id}"),
    ("patch", "/products/{id}"),
    ("put", "/products/{id}/stock"),
    ("post", "/orders"),
    ("get", "/orders"),
    ("get", "/orders/{id}"),
    ("post", "/orders/{id}/cancel"),
    ("get", "/livez"),
    ("get", "/readyz"),
    ("get", "/status"),
];

#[test]
fn the_document_tells_of_every_route_and_every_route_it_tells_of_is_served() {
    let cluster = Cluster::single().start();
    let api = cluster.api();
    let document = api.get("/openapi.json").is(200);
    assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")), "{}", document["openapi"]);
    for (method, path) in ROUTES {
        assert!(document["paths"][path][method].is_object(), "{method} {path} is not in the document");
    }
    for (path, operations) in document["paths"].as_object().expect("paths are an object") {
        for method in operations.as_object().expect("operations are an object").keys() {
            let answer = api.try_send(&method.to_uppercase(), &path.replace("{id}", "x"), body_for(method));
            let answer = answer.expect("it is answered");
            let unknown = answer.status == 405 || answer["detail"] == "Nothing has this path.";
            assert!(!unknown, "{method} {path} is in the document and not served: {}", answer.text);
        }
    }
}

fn body_for(method: &str) -> Option<Value> {
    (!matches!(method, "get" | "delete")).then(|| json!({}))
}

#[test]
fn the_document_can_be_browsed_without_internet() {
    let cluster = Cluster::single().start();
    let api = cluster.api();
    let page = api.get("/docs/").is(200).text;
    let links = page.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    let links: Vec<_> = links.collect();
    assert!(links.len() >= 3, "{page}");
    for link in links {
        assert!(!link.contains("//"), "{link} is elsewhere");
        api.get(&format!("/docs/{}", link.trim_start_matches("./"))).is(200);
    }
}

#[test]
fn a_trace_joins_what_two_processes_do_for_one_request() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).set("log.filter", "debug").start();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = cluster.api().with("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let refused = traced.get("/products/nothing").problem(404, "not-found");
    assert_eq!(refused["trace_id"], trace);
    cluster.node("front").process().wait_for_line(trace);
    cluster.node("shop").process().wait_for_line(trace);
    cluster.stop();
}

#[test]
fn every_node_tells_of_itself_at_its_admin_listener() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).set("capabilities.orders.instances", 3).start();
    for node in cluster.nodes() {
        let admin = node.admin();
        admin.get("/livez").is(200);
        admin.get("/readyz").is(200);
        assert_eq!(admin.get("/status").is(200)["node"], node.name());
    }
    let shop = cluster.node("shop").admin().get("/status").is(200);
    let orders = &shop["capabilities"]["orders"];
    assert_eq!((&orders["instances"], &orders["up"], &orders["restarts"]), (&json!(3), &json!(3), &json!(0)));
    assert!(orders["admitted"].is_number() && orders["limit"].is_number(), "{orders}");
    cluster.stop();
}

#[test]
fn a_gateway_shows_the_whole_cluster() {
    let redis = Redis::start();
    let cluster = Cluster::of("config/split.toml").over(&redis).start();
    let shows = |status: &Answer, name: &str| status["members"].to_string().contains(&format!("\"{name}\""));
    eventually("every node to be shown", || {
        let status = cluster.api().get("/status").is(200);
        ["identity", "shop", "catalog", "users"].iter().all(|name| shows(&status, name)).then_some(())
    });
    cluster.stop();
}

#[test]
fn a_deleted_user_can_no_longer_refresh_and_leaves_orders_that_are_nobodys() {
    let cluster = Cluster::single().start();
    let (api, admin) = (cluster.api(), cluster.admin());
    let product = admin.product("TEA", 450, 5);
    let password = "a long enough password";
    api.register("ana@example.com", password, "Ana");
    let tokens = api.login("ana@example.com", password);
    let ana = api.bearing(tokens["access_token"].as_str().expect("a token is a text"));
    ana.order(&product, 2).is(201);
    ana.delete("/users/me").is(204);
    // Her access token is valid for a while yet.
    eventually("her orders to be forgotten", || {
        ana.get("/orders").is(200)["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    api.post("/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] })).is(401);
    api.post("/auth/login", json!({ "email": "ana@example.com", "password": password })).is(401);
    cluster.stop();
}

#[test]
fn the_first_start_shows_a_password_once_and_sells_a_demonstration() {
    let (scratch, port) = (Scratch::new("first"), free_port());
    let start = || {
        let mut command = essaim();
        command.args(["run", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(scratch.path());
        Process::start("essaim run", &mut command)
    };
    let mut first = start();
    let line = first.wait_for_line("FIRST ADMIN");
    let password = line.split("the password ").nth(1).and_then(|rest| rest.split(';').next()).expect("it is shown");
    let api = Api::at(port);
    eventually("the gateway", || (api.try_send("GET", "/readyz", None).ok()?.status == 200).then_some(()));
    let products = api.get("/products").is(200)["items"].as_array().map(Vec::len);
    assert!(products.is_some_and(|count| count > 0), "{products:?}");
    api.logged_in(ADMIN_EMAIL, password).get("/users").is(200);
    first.signal(Signal::Term);
    assert_eq!(first.exit_code(), Some(0));
    let shown = first.lines().iter().filter(|l| l.contains(password)).count();
    assert_eq!(shown, 1, "once, and in no line of the log");

    let mut second = start();
    second.wait_for_line("ready: every capability");
    eventually("the gateway", || (api.try_send("GET", "/readyz", None).ok()?.status == 200).then_some(()));
    api.logged_in(ADMIN_EMAIL, password).get("/users").is(200);
    assert_eq!(api.get("/products").is(200)["items"].as_array().map(Vec::len), products, "demonstrated once");
    second.signal(Signal::Term);
    assert_eq!(second.exit_code(), Some(0));
    assert!(!second.has_line(password), "the password was shown again");
}
