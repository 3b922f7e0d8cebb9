//! Which messages there are, in nodes that host different capabilities.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::operator;
use crate::support::*;

#[test]
fn every_message_of_each_node_is_listed_with_its_form_at_any_node() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let front = cluster.node("front");
    let found = operator(front, &["messages", "--json"]).json();
    let messages = found["messages"].as_array().expect("a list");
    assert_eq!(found["away"], json!([]));
    let names: BTreeSet<&str> = messages.iter().filter_map(|message| message["name"].as_str()).collect();
    let declared = crate::structure::wire_names();
    // Nobody subscribes to these.
    let heard_by_nobody = ["orders.cancelled.v1", "orders.confirmed.v1", "orders.rejected.v1"];
    let expected = declared.iter().map(String::as_str).filter(|name| !heard_by_nobody.contains(name)).collect();
    assert_eq!(names, expected);
    for message in messages {
        assert!(message["schema"]["type"] == "object" && message["schema"]["description"].is_string(), "{message}");
        assert_eq!(message["reply"].is_object(), message["kind"] == "ask", "{message}");
    }
    let of = |name: &str| messages.iter().find(|message| message["name"] == name).expect("it is listed");
    let place = of("orders.place.v1");
    assert_eq!(
        (&place["kind"], &place["idempotent"], &place["nodes"]),
        (&json!("ask"), &json!(true), &json!(["shop"]))
    );
    assert_eq!(of("auth.login.v1")["secrets"], json!(["password", "refresh_token", "access_token"]));
    let deleted = of("users.deleted.v1");
    assert_eq!(deleted["handled_by"], json!(["auth", "orders"]));
    assert_eq!((&deleted["nodes"], &deleted["key_field"]), (&json!(["identity", "shop"]), &json!("user_id")));
    assert_eq!(of("console.end_session.v1")["internal"], true);
    readable_and_refused(cluster.node("shop"));
    counted_and_away(&mut cluster);
    cluster.stop();
}

fn readable_and_refused(node: &ClusterNode) {
    let table = operator(node, &["messages"]).out;
    let line = table.lines().find(|line| line.starts_with("catalog.stock_reserved.v1")).expect("its line");
    for part in ["event", "order_id", "orders", "shop"] {
        assert!(line.contains(part), "{line}");
    }
    let page = operator(node, &["messages", "orders.place.v1"]).out;
    for part in [
        "orders.place.v1  (ask, idempotent)",
        "    quantity ",
        "whole number",
        "1 to `MAX_LINES` lines",
        "rejects with",
    ] {
        assert!(page.contains(part), "`{part}` in {page}");
    }
    assert!(!page.contains("orders.cancel.v1"), "{page}");
    for (wrong, what) in [("order.place.v1", "the message `order.place.v1`"), ("nobody", "a capability `nobody`")] {
        let said = operator(node, &["messages", wrong]);
        assert!(said.code == Some(65) && said.error.contains(what), "{:?}: {}", said.code, said.error);
    }
}

fn counted_and_away(cluster: &mut Cluster) {
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    admin.order(&product, 2).is(201);
    let ok = |found: &Value| found["messages"][0]["outcomes"]["ok"].as_u64();
    eventually("the order to be counted", || {
        let found =
            cluster.node("front").admin().post("/messages/list", json!({ "capability": "orders" })).is(200).body;
        let place = found["messages"].as_array()?.iter().find(|message| message["name"] == "orders.place.v1")?.clone();
        (ok(&json!({ "messages": [place] })) == Some(1)).then_some(())
    });
    cluster.node("identity").pause();
    let said = operator(cluster.node("front"), &["messages", "users"]);
    assert!(said.code == Some(69) && said.error.contains("node `identity` did not answer"), "{}", said.error);
    cluster.node("identity").resume();
}
