//! What operators cannot send, and what they are told then.

use serde_json::json;

use super::{TOKEN, operator, three_nodes};
use crate::support::*;

const ORDER: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn what_is_no_message_is_refused_with_the_reason_and_nothing_is_audited() {
    let redis = Redis::start();
    let mut cluster = three_nodes(&redis).set("wire.max_message_bytes", 65_536).start();
    let front = cluster.node("front");
    let refused = |name: &str, json: &str, code: i32, why: &str| {
        let said = operator(front, &["send", name, json]);
        assert!(said.code == Some(code) && said.error.contains(why), "{name} {json}: {:?} {}", said.code, said.error);
        assert_eq!(said.out, "", "{name}");
    };
    let order = json!({ "order_id": ORDER }).to_string();
    refused("orders.plase.v1", "{}", 2, "did you mean `orders.place.v1`?");
    refused("orders.place.v2", "{}", 2, "did you mean `orders.place.v1`?");
    refused("nothing", "{}", 2, "`essaim messages` lists what there is");
    refused("orders.confirmed.v1", &order, 2, "no capability takes a message `orders.confirmed.v1`");
    refused("users.get.v1", r#"{"id": "#, 2, "it is no JSON: EOF");
    refused("users.list.v1", r#"{"limit": "all"}"#, 2, "`limit`: invalid type: string");
    refused(
        "orders.place.v1",
        r#"{"order_id": "1", "lines": [{"product_id": "1"}]}"#,
        2,
        "`lines[0]`: missing field `quantity`",
    );
    refused("users.get.v1", r#"{"id": "1", "idd": "1"}"#, 2, "it has no field `idd`");
    refused("console.end_session.v1", "{}", 2, "is sent by `console` alone");
    refused("orders.settled.v1", &order, 2, "is a broadcast");
    refused("essaim.status.v1", "{}", 2, "is the runtime's own");
    refused("orders.essaim-durable.v1", "{}", 2, "is the runtime's own");
    refused("orders.tick", "{}", 2, "is the runtime's own");
    let long = json!({ "email": "x".repeat(70_000) }).to_string();
    refused("users.find_by_email.v1", &long, 2, "bytes of JSON are too many: at most 64512");
    let scratch = Scratch::new("long");
    let path = scratch.path().join("long.json");
    std::fs::write(&path, "x".repeat((512 << 10) + 1)).expect("it is written");
    refused("users.find_by_email.v1", &format!("@{}", path.display()), 2, "has at most 524288");
    refused("users.find_by_email.v1", "@/nowhere/at/all", 2, "cannot be read");
    by_the_api(front);
    let audited = front.process().lines().into_iter().filter(|line| line.contains("sends the")).count();
    assert_eq!(audited, 0, "nothing was sent");
    cluster.stop();
}

/// What the command line does not let through.
fn by_the_api(node: &ClusterNode) {
    let admin = node.admin().bearing(TOKEN);
    let refused = |path: &str, question: serde_json::Value, why: &str| {
        let told = admin.post(path, question);
        assert!(told.status == 400 && told["error"].as_str().is_some_and(|told| told.contains(why)), "{}", told.text);
    };
    let limit = |ms: u64| json!({ "name": "users.has_admin.v1", "json": "{}", "timeout_ms": ms });
    refused("/messages/send", limit(0), "timeout_ms must be from 1 to 30000");
    refused("/messages/send", limit(30_001), "timeout_ms must be from 1 to 30000");
    let without = admin.post("/messages/send", json!({ "name": "users.has_admin.v1" }));
    assert!(without.status == 400 && without.text.contains("missing field `json`"), "{}", without.text);
    let event = json!({ "name": "users.deleted.v1", "json": "{\"user_id\": \"1\"}", "capability": "orders" });
    for path in ["/messages/check", "/messages/send"] {
        refused(path, event.clone(), "an event, which its publisher alone tells: it is of `users`, not of `orders`");
        refused(
            path,
            json!({ "name": "users.get.v1", "json": " ".repeat((512 << 10) + 1) }),
            "bytes of JSON are too many",
        );
        assert_eq!(admin.post(path, json!({ "name": "users.get.v1", "json": " ".repeat(3 << 20) })).status, 413);
    }
    let event = json!({ "name": "users.deleted.v1", "json": "{\"user_id\": \"1\"}", "capability": "users" });
    let checked = admin.post("/messages/check", event).is(200);
    assert_eq!((&checked["key"], &checked["handled_by"]), (&json!("1"), &json!(["auth", "orders"])));
    assert_eq!(checked["on_behalf_of"], json!(null), "the token says nothing of who that is");
}

#[test]
fn a_capability_that_nobody_hosts_is_told_from_a_message_that_there_is_not() {
    let redis = Redis::start();
    let mut cluster = three_nodes(&redis).start();
    let get = json!({ "id": ORDER }).to_string();
    assert_eq!(operator(cluster.node("front"), &["send", "orders.get.v1", &get]).code, Some(65));
    cluster.node("shop").stop();
    eventually("nobody to host it", || {
        let said = operator(cluster.node("front"), &["send", "orders.get.v1", &get]);
        assert_eq!(said.code, Some(69), "{}", said.error);
        said.error.contains("no node that answers hosts `orders`").then_some(())
    });
    let said = operator(cluster.node("front"), &["send", "users.gett.v1", &get]);
    assert!(said.code == Some(2) && said.error.contains("did you mean `users.get.v1`?"), "{}", said.error);
    cluster.node("shop").restart();
    assert_eq!(operator(cluster.node("front"), &["send", "orders.get.v1", &get]).code, Some(65));
    cluster.stop();
}
