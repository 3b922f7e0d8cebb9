//! Readiness while something that a node depends on does not work: `/readyz` says what and why, the log says it once when it
//! begins and once when it ends, and `/livez` does not care.

use crate::support::{Api, Cluster, ClusterNode, Redis, eventually};

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
    // One that is not taken out for what all share.
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
