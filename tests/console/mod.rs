//! The console's server: who may see it, what it keeps of them, and what its pages are told. The pages themselves are tried in
//! a browser.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::*;

/// A client that is logged in.
#[track_caller]
fn logged_in(console: &Api) -> Api {
    let answer = console.post("/api/login", json!({ "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD })).is(200);
    let cookie = answer.header("set-cookie").expect("a cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    console.with("cookie", cookie.split(';').next().expect("a value"))
}

#[track_caller]
fn acts(console: &Api) -> Vec<(String, String)> {
    let page = console.post("/api/audit/list", json!({})).is(200);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    page["acts"].as_array().expect("a list").iter().map(|act| (text(&act["who"]), text(&act["act"]))).collect()
}

#[test]
fn only_administrators_see_it_and_what_they_change_is_kept_over_a_restart() {
    let mut cluster = Cluster::single().set("console.login", "always").start();
    let api = cluster.api();
    api.register("eve@example.org", "correct horse battery", "Eve").is(201);
    let main = cluster.node("main");
    let console = main.console();
    for path in ["/api/overview", "/api/traces/1", "/api/status"] {
        console.get(path).is(401);
    }
    assert_eq!(console.get("/api/me").is(200)["open"], json!(false));
    for path in ["/api/trace/records", "/api/logs/find", "/api/audit/list", "/api/durable/dead/drop"] {
        console.post(path, json!({})).is(401);
    }
    let login =
        |email: &str, password: &str| console.post("/api/login", json!({ "email": email, "password": password }));
    let wrong = login(ADMIN_EMAIL, "wrong");
    assert!(wrong.status == 401 && wrong.header("set-cookie").is_none(), "{}", wrong.text);
    let customer = login("eve@example.org", "correct horse battery");
    assert!(customer.status == 403 && customer.header("set-cookie").is_none(), "{}", customer.text);
    let admin = logged_in(&console);
    assert_eq!(admin.get("/api/me").is(200)["user"], ADMIN_EMAIL);
    admin.post("/api/durable/dead/drop", json!({ "ids": ["1"] })).is(200);
    let expected =
        [(ADMIN_EMAIL, "drops dead letters 1"), (ADMIN_EMAIL, "logs in")].map(|(who, act)| (who.into(), act.into()));
    assert_eq!(acts(&admin), expected);
    // Another browser's session goes on when this one's ends.
    let other = logged_in(&console);
    other.post("/api/logout", json!({})).is(200);
    other.get("/api/overview").is(401);
    main.stop();
    main.restart();
    assert_eq!(acts(&admin)[1..], expected, "the session and the acts outlive the node");
    other.get("/api/overview").is(401);
    let forged = admin.headers_changed("cookie", |cookie| format!("{cookie}x"));
    forged.get("/api/overview").is(401);
    cluster.stop();
}

#[test]
fn on_a_machine_of_ones_own_nobody_logs_in_and_no_other_site_gets_in() {
    let mut cluster = Cluster::single().start();
    let console = cluster.node("main").console();
    let me = console.get("/api/me").is(200);
    assert_eq!((&me["open"], &me["user"]), (&json!(true), &Value::Null));
    let list = |api: &Api| api.post("/api/durable/dead/list", json!({})).status;
    assert_eq!(list(&console), 200);
    // A page whose name was made to lead here, a proxy, and a page of another site.
    assert_eq!(list(&console.with("host", "evil.example")), 401);
    assert_eq!(list(&console.with("x-forwarded-for", "192.0.2.7")), 401);
    assert_eq!(list(&console.with("sec-fetch-site", "cross-site")), 403);
    assert_eq!(list(&Api::at(console.port())), 403, "without the header of its pages");
    for path in ["/", "/traces?filter=outcome!%3Dok", "/dead/1", "/assets/style.css"] {
        let page = console.get(path).is(200);
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        let tag = page.header("etag").expect("a tag").to_string();
        assert_eq!(console.with("if-none-match", &tag).get(path).status, 304, "{path}");
    }
    console.get("/assets/nothing.js").is(404);
    console.get("/api/nothing").is(404);
    cluster.stop();
}

#[test]
fn an_order_is_found_by_its_id_and_the_overview_shows_who_sends_to_whom_and_who_is_gone() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let console = logged_in(&cluster.node("front").console());
    console.get("/api/overview").is(200);
    let order = admin.order(&product, 2).is(201).id();
    let found = eventually("the order's trace", || {
        let found = console.get(&format!("/api/traces/{order}")).is(200);
        let names = found["traces"][0]["graph"]["nodes"].as_array()?.iter().map(|node| node["name"].clone());
        let names: Vec<_> = names.collect();
        let all = ["client", "gateway@front", "orders@shop", "catalog@shop"];
        all.iter().all(|name| names.contains(&json!(name))).then_some(found)
    });
    assert!(found["traces"][0]["mermaid"].as_str().is_some_and(|text| text.contains("POST /orders")));
    let spans = console.get(&format!("/api/traces/{order}/otlp")).is(200);
    assert!(spans["resourceSpans"].as_array().is_some_and(|nodes| nodes.len() >= 2), "{}", spans.text);
    let link = |overview: &Value, from: &str, to: &str| {
        let place = |place: &Value| place["capability"].as_str().unwrap_or_default().to_string();
        let mut links = overview["links"].as_array().expect("links").iter();
        links.any(|link| place(&link["from"]) == from && place(&link["to"]) == to)
    };
    let overview = eventually("the links", || {
        let overview = console.get("/api/overview").is(200).body;
        let all = [("client", "gateway"), ("gateway", "orders"), ("orders", "catalog"), ("catalog", "orders")];
        all.iter().all(|(from, to)| link(&overview, from, to)).then_some(overview)
    });
    let state = |overview: &Value, name: &str| {
        let nodes = overview["nodes"].as_array().expect("nodes");
        nodes
            .iter()
            .find(|node| node["name"] == name)
            .map(|node| node["state"].as_str().unwrap_or_default().to_string())
    };
    for node in ["front", "identity", "shop"] {
        assert_eq!(state(&overview, node).as_deref(), Some("ready"), "{overview}");
        assert!(overview["layout"]["nodes"][node]["width"].as_f64().is_some_and(|width| width > 0.0));
    }
    assert!(overview["layout"]["capabilities"]["shop"]["orders"]["x"].is_number());
    cluster.node("shop").kill();
    eventually("the node to be gone", || {
        let overview = console.get("/api/overview").is(200).body;
        matches!(state(&overview, "shop").as_deref(), Some("gone")).then_some(())
    });
    cluster.node("shop").restart();
    eventually("the node to be back", || {
        (state(&console.get("/api/overview").is(200).body, "shop").as_deref() == Some("ready")).then_some(())
    });
    cluster.stop();
}

#[test]
fn the_configuration_in_force_is_shown_with_its_sources_and_without_secrets() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).set("node.operator_token", "sesame").start();
    let console = logged_in(&cluster.node("front").console());
    let shown = console.post("/api/config", json!({})).is(200);
    assert!(!shown.text.contains("sesame") && !shown.text.contains(ADMIN_PASSWORD), "{}", shown.text);
    for node in ["front", "identity", "shop"] {
        let values = shown["nodes"][node].as_array().expect("its values");
        let of = |key: &str| values.iter().find(|value| value["key"] == key).expect("the value").clone();
        assert_eq!(of("bridge.url")["value"], redis.url());
        assert!(of("bridge.url")["source"].as_str().is_some_and(|source| source.contains("--set")), "{values:?}");
        assert_eq!(of("trace.store_node")["source"], "config/split.toml");
        assert_eq!(
            (&of("orders.wait_ms")["built_in"], &of("node.operator_token")["value"]),
            (&json!(true), &json!("hidden"))
        );
    }
    cluster.stop();
}

#[test]
fn what_cannot_be_kept_is_not_done_and_a_console_without_users_says_so() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let console = cluster.node("front").console();
    cluster.node("identity").kill();
    let refused = console.post("/api/login", json!({ "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD }));
    assert!(refused.status == 503 && refused["error"].as_str().is_some_and(|why| why.contains("cannot log in now")));
    cluster.node("identity").restart();
    let admin = eventually("a login", || {
        let answer = console.post("/api/login", json!({ "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD }));
        let cookie = answer.header("set-cookie")?.split(';').next()?.to_string();
        Some(console.with("cookie", &cookie))
    });
    admin.get("/api/me").is(200);
    cluster.node("front").spoil_audit();
    let login = json!({ "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD });
    for (path, body) in [("/api/durable/dead/drop", json!({ "ids": ["1"] })), ("/api/login", login)] {
        let refused = admin.post(path, body).is(503);
        let why = refused["error"].as_str().unwrap_or_default();
        assert!(why.contains("nothing was done") && refused.header("set-cookie").is_none(), "{path}: {}", refused.text);
    }
    cluster.stop();
}

/// A page that shows the topology as it changes: its connection, and the status with which it begins.
fn watching(console: &Api) -> (BufReader<TcpStream>, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", console.port())).expect("the console listens");
    let head = "GET /api/overview HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("the console reads");
    let (mut answer, mut status) = (BufReader::new(stream), String::new());
    answer.read_line(&mut status).expect("the console writes");
    (answer, status)
}

#[test]
fn so_many_pages_show_the_topology_at_a_time_and_one_more_when_one_is_closed() {
    let mut cluster = Cluster::single().start();
    let console = cluster.node("main").console();
    let mut pages = Vec::new();
    let refused = loop {
        let (page, status) = watching(&console);
        if !status.contains("200") {
            break status;
        }
        pages.push(page);
        assert!(pages.len() < 200, "nothing bounds them");
    };
    assert!(refused.contains("503"), "{refused}");
    console.get("/api/overview").is(200);
    pages.pop();
    eventually("room for one more", || watching(&console).1.contains("200").then_some(()));
    cluster.stop();
}
