//! Readiness at a first start and during an outage of something that the node depends on: `/readyz` names it and why,
//! the log has one line when it begins and one when it ends, and `/livez` stays as it is.

use crate::support::{Api, Cluster, ClusterNode, Redis, essaim, eventually};

/// What a node writes when an outage begins and when it ends.
const LINES: [&str; 4] =
    ["the wire does not work", "the log does not work", "the wire works again", "the log works again"];

/// The reasons that a node gives at its admin listener once it answers with this status and gives some.
fn reasons(admin: &Api, status: u16) -> Vec<String> {
    eventually("a reason", || {
        let answer = admin.get("/readyz");
        let reasons =
            answer.body["reasons"].as_array()?.iter().map(|reason| reason.as_str().unwrap_or_default().into());
        (answer.status == status).then(|| reasons.collect())
    })
}

/// The node is ready and gives no reason why not.
fn is_well(admin: &Api) {
    eventually("a node that is well", || {
        let answer = admin.get("/readyz");
        (answer.status == 200 && answer.body["reasons"].is_null()).then_some(())
    });
}

fn times(node: &mut ClusterNode, from: usize, text: &str) -> usize {
    node.process().lines()[from..].iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_node_without_its_redis_says_so_until_it_is_back() {
    let mut redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let (api, url) = (cluster.api(), redis.url());
    // A node that stays ready during an outage of what all nodes share.
    cluster.node("shop").stop();
    cluster.node("shop").set("node.ready_in_outage", true);
    cluster.node("shop").restart();
    let expected = |node: &ClusterNode| if node.name() == "shop" { 200 } else { 503 };
    let from: Vec<_> = cluster.nodes().map(|node| node.process().lines().len()).collect();
    cluster.nodes().for_each(|node| is_well(&node.admin()));
    redis.kill();
    for node in cluster.nodes() {
        let admin = node.admin();
        eventually("both outages, with their causes", || {
            let reasons = reasons(&admin, expected(node));
            let of =
                |what: &str| reasons.iter().any(|r| r.starts_with(what) && r.contains(&url) && r.contains("refused"));
            (of("the wire does not work: ") && of("the log does not work: ")).then_some(())
        });
        admin.get("/livez").is(200);
        let status = admin.get("/status").is(200);
        let outage = &status["outages"][0];
        assert_eq!((&outage["dependency"], &outage["shared"]), (&"the log".into(), &true.into()), "{}", status.text);
    }
    assert_eq!(api.get("/readyz").status, 503);
    api.get("/livez").is(200);
    redis.restart();
    cluster.nodes().for_each(|node| is_well(&node.admin()));
    eventually("a gateway that is ready", || (api.get("/readyz").status == 200).then_some(()));
    for (node, from) in cluster.nodes().zip(from) {
        let counted = LINES.map(|line| (line, times(node, from, line)));
        assert_eq!(counted, LINES.map(|line| (line, 1)), "`{}` tells each once", node.name());
    }
    cluster.stop();
}

#[test]
fn a_gateway_is_ready_once_the_first_admin_can_log_in() {
    let redis = Redis::start();
    for cluster in [Cluster::single(), Cluster::of("config/split.toml").over(&redis)] {
        // Starting waits for the gateways' `/readyz` and for nothing else.
        let mut cluster = cluster.start();
        cluster.admin().get("/users").is(200);
        cluster.nodes().for_each(|node| is_well(&node.admin()));
        cluster.stop();
    }
}

#[test]
fn every_node_tells_how_every_other_one_is() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let (api, admin) = (cluster.api(), cluster.admin());
    let report = |status: &crate::support::Answer, node: &str| {
        let members = status["members"].as_array().expect("members are listed").iter();
        members.clone().find(|member| member["node"] == node).expect("the node is a member")["report"].clone()
    };
    for node in cluster.nodes() {
        let (status, own) = (node.admin().get("/status").is(200), node.name().to_string());
        for (other, capability) in [("identity", "users"), ("shop", "orders")] {
            if other != own {
                let report = report(&status, other);
                let shown = &report["capabilities"][capability];
                assert_eq!((&shown["panics"], &shown["durable"]["dead"]), (&0.into(), &0.into()), "{report}");
                assert!(
                    shown["database"]["place"].as_str().is_some_and(|place| place.contains(capability)),
                    "{report}"
                );
            }
        }
    }
    // Reasons and places of other nodes, too, are shown to admins alone.
    let stranger = report(&api.get("/status").is(200), "shop");
    assert!(
        stranger["capabilities"]["orders"]["state"] == "running" && stranger.get("reasons").is_none(),
        "{stranger}"
    );
    assert!(stranger["capabilities"]["orders"].get("database").is_none(), "{stranger}");
    let told = eventually("a status that is not the stranger's", || {
        let told = report(&admin.get("/status").is(200), "shop");
        told.get("reasons").is_some().then_some(told)
    });
    assert!(told["capabilities"]["orders"]["database"]["place"].is_string(), "{told}");
    // One that does not answer is named, with why, and keeps nobody waiting for the others.
    cluster.node("shop").pause();
    let url = cluster.node("front").admin().base().to_string();
    let shown = eventually("the node that does not answer", || {
        let output = essaim().args(["status", "--url", &url]).output().expect("essaim runs");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        shown.contains("gives no report").then_some(shown)
    });
    assert!(shown.contains("shop") && shown.contains("users.sqlite3"), "{shown}");
    cluster.node("shop").resume();
}

#[test]
fn a_node_that_has_not_joined_is_alive_and_answers_nobody_yet() {
    let mut redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let shop = cluster.node("shop");
    shop.stop();
    // It waits for a server that takes its connection and says nothing.
    shop.set("wire.response_timeout_ms", 60_000);
    redis.pause();
    shop.start();
    let admin = shop.admin();
    eventually("a node that lives", || {
        let answer = admin.try_send("GET", "/livez", None).ok()?;
        (answer.status == 200).then_some(())
    });
    let why = "the node is starting: it has not joined the others yet";
    assert_eq!(reasons(&admin, 503), [why]);
    assert_eq!(admin.get("/status").is(503)["error"], why);
    assert_eq!(admin.post("/durable/ledger", serde_json::json!({})).is(503)["error"], why);
    redis.resume();
    shop.wait_until_ready();
    is_well(&admin);
    admin.get("/status").is(200);
    cluster.stop();
}
