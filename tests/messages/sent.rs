//! Messages that operators send: by the command line and by the console, over three nodes.

use serde_json::{Value, json};

use super::{TOKEN, operator, operator_who_types, three_nodes};
use crate::support::*;

const ORDER: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const SECRET: &str = "correct horse battery staple";

#[test]
fn an_ask_is_answered_and_a_command_applied_wherever_they_are_sent() {
    let redis = Redis::start();
    let mut cluster = three_nodes(&redis).start();
    let found =
        operator(cluster.node("front"), &["send", "users.find_by_email.v1", r#"{"email": "ADMIN@example.com"}"#]);
    assert_eq!((found.code, &found.json()["email"]), (Some(0), &json!(ADMIN_EMAIL)), "{}", found.error);
    assert!(found.error.contains("ok after "), "{}", found.error);
    // In the node that handles it, from stdin.
    let typed = operator_who_types(cluster.node("identity"), &["send", "users.has_admin.v1", "-", "--json"], "{}");
    assert_eq!((&typed.json()["outcome"], &typed.json()["answer"]), (&json!("ok"), &json!({ "json": true })));
    rejections_and_files(&mut cluster);
    let sent =
        operator(cluster.node("identity"), &["send", "catalog.release.v1", &json!({ "order_id": ORDER }).to_string()]);
    let id = sent.out.trim().to_string();
    assert!(sent.code == Some(0) && id.len() == 36, "{} {}", sent.out, sent.error);
    let trace =
        sent.error.split('`').nth(1).and_then(|command| command.rsplit(' ').next()).expect("its trace").to_string();
    let applied = eventually("the command to be applied", || {
        let shown = operator(cluster.node("front"), &["trace", &trace, "--json"]).json();
        shown.to_string().contains(&id).then_some(shown).filter(|shown| shown.to_string().contains(r#""outcome":"ok""#))
    });
    assert!(applied.to_string().contains("catalog") && applied.to_string().contains(ORDER), "{applied}");
    eventually("a ledger that balances", || {
        (operator(cluster.node("front"), &["ledger", "--at-rest"]).code == Some(0)).then_some(())
    });
    cluster.stop();
}

/// A rejection is the actor's own words; a file is read as it is.
fn rejections_and_files(cluster: &mut Cluster) {
    let rejected = operator(cluster.node("front"), &["send", "orders.get.v1", &json!({ "id": ORDER }).to_string()]);
    assert_eq!((rejected.code, rejected.json()), (Some(65), json!("unauthenticated")), "{}", rejected.error);
    let scratch = Scratch::new("message");
    let path = scratch.path().join("message.json");
    std::fs::write(&path, r#"{"ids": ["nobody"]}"#).expect("it is written");
    let said = operator(cluster.node("shop"), &["send", "users.existing.v1", &format!("@{}", path.display())]);
    assert_eq!((said.code, said.json()), (Some(0), json!([])), "{}", said.error);
}

#[test]
fn the_console_sends_on_behalf_of_who_is_logged_in_and_the_audit_tells_no_payload() {
    let redis = Redis::start();
    let mut cluster = three_nodes(&redis).set("trace.payload_bytes", 1_000).start();
    let console = logged_in(&cluster.node("front").console());
    let send = |name: &str, message: Value| {
        let json = message.to_string();
        console.post("/api/messages/send", json!({ "name": name, "json": json })).is(200).body
    };
    // Orders have nothing to say to nobody.
    let orders = send("orders.list.v1", json!({ "limit": 5 }));
    assert_eq!((&orders["outcome"], &orders["answer"]["json"]["items"]), (&json!("ok"), &json!([])), "{orders}");
    let stock = send("catalog.set_stock.v1", json!({ "id": ORDER, "stock": 3 }));
    assert_eq!((&stock["outcome"], &stock["answer"]["json"]), (&json!("rejected"), &json!("not_found")), "{stock}");
    let stored = send("catalog.release.v1", json!({ "order_id": ORDER }));
    assert!(stored["outcome"] == "stored" && stored["id"].as_str().is_some_and(|id| id.len() == 36), "{stored}");
    let login = send("auth.login.v1", json!({ "email": "a@b.c", "password": SECRET, "address": "192.0.2.7" }));
    assert_eq!((&login["outcome"], &login["answer"]["json"]), (&json!("rejected"), &json!("bad_credentials")));
    let trace = login["trace"].as_str().expect("its trace");
    let seen = eventually("the record of the login", || {
        let seen = console.get(&format!("/api/traces/{trace}")).is(200);
        seen.text.contains("192.0.2.7").then_some(seen)
    });
    assert!(!seen.text.contains(SECRET) && seen.text.contains("(hidden)"), "{}", seen.text);
    let expected = [
        "sends the ask auth.login.v1".to_string(),
        format!("sends the command catalog.release.v1 with the key {ORDER}"),
        format!("sends the ask catalog.set_stock.v1 with the key {ORDER}"),
        "sends the ask orders.list.v1".into(),
    ];
    let audit = console.post("/api/audit/list", json!({ "who": ADMIN_EMAIL })).is(200);
    assert!(!audit.text.contains(SECRET), "{}", audit.text);
    let acts: Vec<_> = audit["acts"].as_array().expect("a list").iter().map(|act| act["act"].clone()).collect();
    assert_eq!(acts.len(), 5, "{}", audit.text);
    assert_eq!(acts[..4], expected.each_ref().map(|act| json!(act)));
    for node in cluster.nodes() {
        let lines = node.process().lines().join("\n");
        assert!(!lines.contains(SECRET), "{}", node.name());
    }
    cluster.stop();
}

#[test]
fn who_sends_has_to_be_known_and_what_cannot_be_kept_is_not_sent() {
    let redis = Redis::start();
    let mut cluster = three_nodes(&redis).start();
    let front = cluster.node("front");
    let question = json!({ "name": "users.has_admin.v1", "json": "{}" });
    let told = front.admin().post("/messages/send", question.clone());
    let why = told["error"].as_str().unwrap_or_default();
    assert!(told.status == 403 && why.contains("node.operator_token"), "{}", told.text);
    front.admin().bearing(TOKEN).post("/messages/send", question.clone()).is(200);
    let line = front.process().wait_for_line("sends the ask users.has_admin.v1");
    assert!(line.contains("127.0.0.1"), "{line}");
    front.console().post("/api/messages/send", question).is(401);
    let console = logged_in(&front.console());
    front.spoil_audit();
    let get = json!({ "namespace": "n", "key": "k" }).to_string();
    let told = console.post("/api/messages/send", json!({ "name": "cache.get.v1", "json": get }));
    let why = told["error"].as_str().unwrap_or_default();
    assert!(told.status == 503 && why.contains("nothing was done"), "{}", told.text);
    cluster.stop();
}

fn logged_in(console: &Api) -> Api {
    let answer = console.post("/api/login", json!({ "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD })).is(200);
    let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
    console.with("cookie", cookie)
}
