//! Who has changed what: known by the other end of a socket or by a token, on the disk before it is done, and shown of all nodes.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::*;

const TOKENS: [(&str, &str); 2] = [("ann", "sesame"), ("bob", "thyme")];

/// One node with two operators.
fn with_operators(cluster: ClusterBuilder) -> ClusterBuilder {
    TOKENS.iter().fold(cluster, |cluster, (name, token)| cluster.set(&format!("node.operators.{name}"), token))
}

/// What a command of operators says at the socket of a node.
fn at_socket(node: &ClusterNode, arguments: &[&str]) -> Output {
    let data = node.data();
    let name = format!("node.name={}", node.name());
    essaim().args(arguments).args(["--set", &name]).arg("--data-dir").arg(data).output().expect("essaim runs")
}

/// The acts that `essaim audit` shows at a node's socket.
#[track_caller]
fn acts(node: &ClusterNode, conditions: &[&str]) -> Vec<Value> {
    let said = at_socket(node, &[&["audit", "--json"], conditions].concat());
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
    let lines = String::from_utf8(said.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// Who did what, and how it ended.
fn told(act: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    (text(&act["who"]), text(&act["act"]), text(&act["end"]["kind"]))
}

fn words(who: &str, act: &str, end: &str) -> (String, String, String) {
    (who.into(), act.into(), end.into())
}

#[test]
fn at_the_socket_the_user_and_the_process_are_known_whatever_a_request_says() {
    let mut cluster = Cluster::single().start();
    let main = cluster.node("main");
    let dropped = at_socket(main, &["dead", "drop", "no-such-letter", "--yes"]);
    assert_eq!(dropped.status.code(), Some(65), "{}", String::from_utf8_lossy(&dropped.stderr));
    let found = acts(main, &[]);
    let user = String::from_utf8(std::process::Command::new("id").arg("-un").output().expect("id runs").stdout);
    let user = user.expect("text").trim().to_string();
    assert_eq!(
        found.iter().map(told).collect::<Vec<_>>(),
        [words(&user, "drops dead letters no-such-letter", "nothing")]
    );
    assert_eq!((&found[0]["via"], &found[0]["node"]), (&json!("socket"), &json!("main")));
    let origin = found[0]["origin"].as_str().expect("where").to_string();
    assert!(origin.contains("uid ") && origin.contains(", process "), "{origin}");
    let line = main.process().wait_for_line("an operator changes something");
    assert!(line.contains("socket") && line.contains(&user), "{line}");
    let page = String::from_utf8(at_socket(main, &["audit"]).stdout).expect("text");
    assert!(page.contains("WHO") && page.contains("drops dead letters no-such-letter"), "{page}");
    cluster.stop();
}

#[test]
fn tokens_tell_two_operators_apart_and_a_name_without_one_is_refused_and_no_act() {
    let mut cluster = with_operators(Cluster::single()).start();
    let main = cluster.node("main");
    let drop = |api: &Api, id: &str| api.post("/durable/dead/drop", json!({ "ids": [id] }));
    for (name, token) in TOKENS {
        drop(&main.admin().bearing(token), &format!("of-{name}")).is(200);
    }
    for forged in ["ann", "", "sesame2", "bob:thyme"] {
        let refused = drop(&main.admin().bearing(forged), "forged").is(403);
        assert!(refused["error"].as_str().is_some_and(|why| why.contains("node.operators")), "{}", refused.text);
    }
    for header in ["x-essaim-operator", "from", "x-forwarded-user"] {
        drop(&main.admin().with(header, "ann"), "forged").is(403);
    }
    drop(&main.admin(), "forged").is(403);
    // What is not personal and changes nothing is told on this machine.
    main.admin().post("/durable/dead/list", json!({})).is(200);
    main.admin().get("/status").is(200);
    main.admin().post("/audit/list", json!({})).is(403);
    let found: Vec<_> = acts(main, &[]).iter().map(told).collect();
    let expected = TOKENS.map(|(name, _)| words(name, &format!("drops dead letters of-{name}"), "nothing"));
    assert_eq!(found, expected, "and nothing that was refused");
    let of_bob: Vec<_> = acts(main, &["--who", "bob"]).iter().map(told).collect();
    assert_eq!(of_bob, expected[1..]);
    assert_eq!(acts(main, &["--what", "OF-ANN", "--since", "1h"]).len(), 1);
    assert_eq!(acts(main, &["--last", "1"]).iter().map(told).collect::<Vec<_>>(), expected[1..]);
    let shown = main.admin().bearing("thyme").post("/config", json!({})).is(200);
    assert!(!shown.text.contains("sesame") && shown.text.contains("node.operators.ann"), "{}", shown.text);
    cluster.stop();
}

#[test]
fn where_other_machines_reach_the_listener_nobody_unknown_is_answered() {
    let mut cluster = Cluster::single().start();
    let main = cluster.node("main");
    main.stop();
    let port = main.admin().port();
    main.set("node.admin_listen", format!("0.0.0.0:{port}"));
    main.restart();
    main.process().wait_for_line("operators are refused at node.admin_listen");
    for path in ["/durable/dead/list", "/durable/dead/drop", "/audit/list"] {
        let question = if path.ends_with("drop") { json!({ "ids": ["1"] }) } else { json!({}) };
        let refused = main.admin().post(path, question).is(403);
        assert!(refused["error"].as_str().is_some_and(|why| why.contains("node.operators")), "{}", refused.text);
    }
    for probe in ["/livez", "/readyz", "/status", "/metrics"] {
        assert_eq!(main.admin().get(probe).status, 200, "{probe}");
    }
    assert!(acts(main, &[]).is_empty());
    cluster.stop();
}

#[test]
fn each_kind_of_act_is_kept_once_with_how_it_ended_and_nothing_of_what_is_in_it() {
    const SECRET: &str = "hunter22";
    let mut cluster = with_operators(Cluster::single()).start();
    let main = cluster.node("main");
    let ann = main.admin().bearing("sesame");
    let login = json!({ "email": "a@b.c", "password": SECRET, "address": "192.0.2.7" }).to_string();
    let edited = json!({ "pin": SECRET }).to_string();
    for (path, question, status) in [
        ("/durable/dead/replay", json!({ "ids": ["1"] }), 200),
        ("/durable/dead/drop", json!({ "ids": ["2"], "capability": "orders" }), 200),
        ("/durable/dead/rehearse", json!({ "id": "3", "capability": "orders" }), 400),
        ("/durable/parked/retry", json!({ "ids": ["4"] }), 200),
        ("/durable/subscriptions/drop", json!({ "event": "no.such.v1", "capability": "orders" }), 200),
        ("/durable/schedules/fire", json!({ "capability": "orders", "name": "never" }), 400),
        ("/messages/send", json!({ "name": "auth.login.v1", "json": login }), 200),
        // What is refused before anything is done is no act, nor is a rehearsal of a retirement, nor a check.
        ("/durable/dead/replay", json!({ "ids": ["5"], "capability": "orders", "payload": edited }), 200),
        ("/durable/dead/replay", json!({ "ids": ["5", "6"], "payload": edited }), 400),
        ("/durable/dead/rehearse", json!({ "id": "5", "capability": "orders", "payload": edited }), 400),
        ("/durable/dead/drop", json!({ "ids": vec!["7"; 501] }), 400),
        ("/durable/parked/retry", json!({ "ids": vec!["7"; 501] }), 400),
        ("/durable/retire", json!({ "capability": "orders" }), 200),
        ("/durable/retire", json!({ "capability": "ghost" }), 200),
        ("/messages/send", json!({ "name": "no.such.v1", "json": "{}" }), 400),
        ("/messages/check", json!({ "name": "auth.login.v1", "json": login }), 200),
    ] {
        let answer = ann.post(path, question.clone());
        assert_eq!(answer.status, status, "{path} {question}: {}", answer.text);
    }
    let found = acts(main, &[]);
    let expected = [
        ("replays dead letters 1", "nothing"),
        ("drops dead letters 2 of orders", "nothing"),
        ("rehearses the dead letter 3 of orders", "nothing"),
        ("retries parked messages 4", "nothing"),
        ("ends the subscription of orders to no.such.v1", "nothing"),
        ("fires the schedule never of orders", "nothing"),
        ("sends the ask auth.login.v1", "nothing"),
    ];
    assert_eq!(found.iter().map(told).collect::<Vec<_>>(), expected.map(|(act, end)| words("ann", act, end)));
    assert!(found[6]["end"]["detail"].as_str().is_some_and(|end| end.starts_with("rejected, trace ")), "{}", found[6]);
    assert!(!json!(found).to_string().contains(SECRET));
    main.stop();
    let file = std::fs::read(main.data().join("main.audit.sqlite3")).expect("the audit");
    assert!(!String::from_utf8_lossy(&file).contains(SECRET), "the file has what was sent");
    cluster.stop();
}

#[test]
fn an_act_is_kept_before_it_is_done_whenever_its_node_dies() {
    let mut cluster = with_operators(Cluster::single()).start();
    let main = cluster.node("main");
    let drop = |node: &ClusterNode, id: &str| {
        let question = json!({ "ids": [id] });
        node.admin().bearing("thyme").try_send("POST", "/durable/dead/drop", Some(question))
    };
    drop(main, "1").expect("an answer");
    main.kill();
    for (point, id) in [("audit.before-act", "2"), ("audit.after-act", "3")] {
        main.crash_at(point);
        main.restart();
        assert!(drop(main, id).is_err(), "{point}");
        main.process().wait();
    }
    main.restart();
    let found: Vec<_> = acts(main, &[]).iter().map(told).collect();
    let expected = [("1", "nothing"), ("2", ""), ("3", "")];
    assert_eq!(found, expected.map(|(id, end)| words("bob", &format!("drops dead letters {id}"), end)));
    let page = String::from_utf8(at_socket(main, &["audit"]).stdout).expect("text");
    assert!(page.contains("not known"), "{page}");
    cluster.stop();
}

#[test]
fn on_a_full_disk_nothing_is_changed_and_the_node_says_why() {
    let redis = Redis::start();
    // The node that is asked keeps nothing else on its disk.
    let mut cluster = with_operators(Cluster::of("config/split.toml").over(&redis).without("front")).start();
    let Some(disk) = Disk::over(&cluster.node("front").data(), 16) else { return };
    let front = cluster.node("front");
    front.start();
    front.wait_until_ready();
    let ann = front.admin().bearing("sesame");
    let put = |value: &[u8]| {
        let json = json!({ "namespace": "n", "key": "k", "value": value, "ttl_ms": null }).to_string();
        ann.post("/messages/send", json!({ "name": "cache.put.v1", "json": json }))
    };
    let get = json!({ "namespace": "n", "key": "k" }).to_string();
    let get = || ann.post("/messages/send", json!({ "name": "cache.get.v1", "json": get })).is(200)["answer"].clone();
    assert_eq!(put(&[1, 2]).is(200)["outcome"], "ok");
    let before = get();
    disk.fill();
    let refused = put(&[3, 4]).is(503);
    let why = refused["error"].as_str().unwrap_or_default();
    assert!(why.contains("nothing was done") && why.contains("is full: free some space"), "{why}");
    front.process().wait_for_line("the audit does not work");
    let status = front.admin().get("/status").is(200);
    assert_eq!(status["outages"][0]["dependency"], "the audit", "{}", status["outages"]);
    assert_eq!(status["reasons"], json!([]), "only operators depend on it");
    disk.free();
    assert_eq!(get(), before);
    put(&[3, 4]).is(200);
    assert_ne!(get(), before);
    front.process().wait_for_line("the audit works again");
    assert_eq!(front.admin().get("/status").is(200)["outages"], json!([]));
    assert_eq!(acts(front, &["--what", "cache.put"]).len(), 2);
    cluster.stop();
}

#[test]
fn any_node_shows_the_acts_of_all_and_of_the_console() {
    let redis = Redis::start();
    let mut cluster = with_operators(Cluster::of("config/split.toml").over(&redis)).start();
    for (node, id) in [("shop", "1"), ("identity", "2"), ("shop", "3")] {
        let ann = cluster.node(node).admin().bearing("sesame");
        ann.post("/durable/dead/drop", json!({ "ids": [id] })).is(200);
    }
    let console = cluster.node("front").console();
    let login = console.post("/api/login", json!({ "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD })).is(200);
    let cookie = login.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_string();
    console.with("cookie", &cookie).post("/api/durable/dead/drop", json!({ "ids": ["4"] })).is(200);
    let found = acts(cluster.node("identity"), &["--what", "drops"]);
    let places: Vec<_> = found.iter().map(|act| (told(act), act["node"].as_str().unwrap_or_default())).collect();
    let of = |who: &str, id: &str| words(who, &format!("drops dead letters {id}"), "nothing");
    let expected = [
        (of("ann", "1"), "shop"),
        (of("ann", "2"), "identity"),
        (of("ann", "3"), "shop"),
        (of(ADMIN_EMAIL, "4"), "front"),
    ];
    assert_eq!(places, expected);
    assert_eq!(found[3]["via"], "login");
    let page = console.with("cookie", &cookie).post("/api/audit/list", json!({ "most": 2 })).is(200);
    let next = page["next"].clone();
    assert_eq!(page["acts"].as_array().map(Vec::len), Some(2), "{}", page.text);
    let rest = console.with("cookie", &cookie).post("/api/audit/list", json!({ "most": 100, "before": next })).is(200);
    assert!(rest["acts"].as_array().is_some_and(|acts| acts.len() >= 2) && rest["next"].is_null(), "{}", rest.text);
    cluster.stop();
}

#[test]
fn a_node_that_is_gone_is_named_since_what_it_keeps_is_not_known() {
    let (redis, scratch) = (Redis::start(), Scratch::new("spare"));
    let split = std::fs::read_to_string(repository().join("config/split.toml")).expect("it is there");
    let file = scratch.write("spare.toml", &(split + "[nodes.spare]\nhosts = [\"cache\"]\n")).display().to_string();
    // Of the nodes of the topology one was never there.
    let mut cluster = with_operators(Cluster::of(&file).over(&redis).without("spare")).start();
    for (node, id) in [("shop", "1"), ("front", "2")] {
        let ann = cluster.node(node).admin().bearing("sesame");
        ann.post("/durable/dead/drop", json!({ "ids": [id] })).is(200);
    }
    cluster.node("shop").stop();
    let audit = |node: &ClusterNode| {
        let said = at_socket(node, &["audit"]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (said.status.code(), text(&said.stdout), text(&said.stderr))
    };
    let front = cluster.node("front");
    let (code, page, told) = eventually("the node to be gone", || {
        Some(audit(front)).filter(|(_, _, told)| told.contains("node `shop` did not answer: it has left"))
    });
    assert!(told.contains("node `spare` did not answer: it is not heard"), "{told}");
    assert!(told.contains("not every node answered") && !told.contains("node `front`"), "{told}");
    assert!(page.contains("drops dead letters 2") && !page.contains("drops dead letters 1"), "{page}");
    assert_eq!(code, Some(69), "{told}");
    cluster.node("shop").restart();
    cluster.node("spare").start();
    let front = cluster.node("front");
    let page = eventually("all to be there", || Some(audit(front)).filter(|(code, ..)| *code == Some(0)));
    assert!(page.1.contains("drops dead letters 1"), "{page:?}");
    cluster.stop();
}
