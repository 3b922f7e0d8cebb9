//! A task of the runtime that panics while customers are at work: it starts again and nothing is lost, or its node ends
//! with the exit code for it.

use serde_json::Value;

use super::crashes::{SHOPPERS, Shop};
use super::shoppers::Shoppers;
use crate::support::{Cluster, ClusterBuilder, ClusterNode, Postgres, Redis, eventually};

/// Tasks that start again, in every node that keeps messages.
const RESTARTED: &[&str] =
    &["sender@4", "reader@4", "relay@4", "worker@8", "consumer@4", "keeper@4", "timer@1", "watchdog@1"];

/// Tasks of a node that is alone, and of one among others.
const ALONE: &[&str] = &["log-writer@8"];
const AMONG_OTHERS: &[&str] = &["heartbeat@2", "ping@2", "broadcasts@2", "health@1", "return@1", "wire@1", "log@1"];

/// Points in the midst of such a task's work.
const MIDST: &[&str] = &[
    "takeover.after-fence@2",
    "relay.before-append@4",
    "sender.before-append@4",
    "sender.after-append@4",
    "relay.after-append@4",
    "relay.after-forget@4",
    "worker.after-read@4",
    "worker.before-acknowledge@4",
    "worker.after-acknowledge@4",
];

/// The exit code of a node that ends because a task of it has panicked.
const TASK: i32 = 79;

#[test]
fn in_one_process_a_task_that_panics_starts_again_and_nothing_is_lost() {
    panic_everywhere(Cluster::single(), "main", ALONE);
}

#[test]
fn over_redis_a_task_that_panics_starts_again_and_nothing_is_lost() {
    let (redis, database) = (Redis::durable(), Postgres::shared().database());
    panic_everywhere(Cluster::of("config/split.toml").over(&redis).on(&database), "shop", AMONG_OTHERS);
}

#[test]
fn in_one_process_a_task_that_nothing_could_rebuild_ends_the_node() {
    end_by(Cluster::single(), "main", &["start@2", "http@1", "admin@1", "instance@40"]);
}

#[test]
fn over_redis_a_task_that_nothing_could_rebuild_ends_the_node() {
    let (redis, database) = (Redis::durable(), Postgres::shared().database());
    end_by(Cluster::of("config/split.toml").over(&redis).on(&database), "shop", &["inbox@20", "lane@20"]);
}

#[test]
fn a_node_is_not_ready_until_its_task_is_back() {
    let cluster = Cluster::single().set("supervision.backoff_first_ms", 8_000);
    let mut cluster = cluster.start();
    let node = cluster.node("main");
    node.stop();
    node.panic_at("task.sender@1");
    node.start();
    let told = eventually("the node to tell of its task", || {
        let answer = node.admin().try_send("GET", "/readyz", None).ok().filter(|answer| answer.status == 503)?;
        let reasons = answer["reasons"].as_array()?;
        reasons.iter().find(|reason| reason.as_str().is_some_and(|reason| reason.contains("sender"))).cloned()
    });
    assert_eq!(told, "the task `sender` of `node` has panicked: in sender, as ESSAIM_PANIC_AT says");
    // The task may panic before the gateway listens.
    let of_gateway = eventually("the gateway to answer", || node.api().try_send("GET", "/readyz", None).ok());
    assert_eq!(of_gateway.status, 503);
    eventually("the node to be ready", || {
        let answer = node.admin().try_send("GET", "/readyz", None).ok()?;
        (answer.status == 200).then_some(())
    });
    assert_eq!(tasks_that_came_back(node), ["sender of node"]);
    cluster.stop();
}

/// While customers are at work, one task after the other panics in the node that hosts catalog and orders.
fn panic_everywhere(cluster: ClusterBuilder, node: &str, own: &[&str]) {
    let mut shop = Shop::start(cluster.set("members.heartbeat_ms", 300), node);
    let tasks = RESTARTED.iter().chain(own).map(|task| format!("task.{task}"));
    for point in tasks.chain(MIDST.iter().map(|point| point.to_string())) {
        let shoppers = Shoppers::start(SHOPPERS, &point, &shop.admin, &shop.product);
        let node = shop.cluster.node(node);
        node.stop();
        node.panic_at(&point);
        node.start();
        eventually(&format!("the task that panics at {point} to be back"), || {
            assert!(node.is_running(), "it ended by a panic at {point}");
            (!tasks_that_came_back(node).is_empty()).then_some(())
        });
        shop.has_gone_on(shoppers);
        assert_eq!(tasks_that_came_back(shop.cluster.node(&shop.node)).len(), 1, "{point}");
    }
    shop.cluster.stop();
}

/// While customers are at work, the node ends by the panic of one task after the other, and is started again.
fn end_by(cluster: ClusterBuilder, node: &str, tasks: &[&str]) {
    let mut shop = Shop::start(cluster, node);
    for task in tasks {
        let shoppers = Shoppers::start(SHOPPERS, task, &shop.admin, &shop.product);
        let node = shop.cluster.node(node);
        node.stop();
        node.panic_at(&format!("task.{task}"));
        node.start();
        assert_eq!(node.exit_code(), Some(TASK), "{task}");
        let name = task.split('@').next().expect("a task has a name");
        assert!(node.process().has_line(&format!("the task `{name}` of")), "{task} is not named");
        shop.goes_on(shoppers);
    }
    shop.cluster.stop();
}

/// The tasks of a node that have panicked and run again; none if the node does not answer.
fn tasks_that_came_back(node: &ClusterNode) -> Vec<String> {
    let status = node.admin().try_send("GET", "/status", None).ok();
    let tasks = status.as_ref().and_then(|status| status["tasks"].as_array()).cloned().unwrap_or_default();
    let is_back = |task: &&Value| task["restarts"].as_u64() >= Some(1) && task["state"] != "panicked";
    let name = |task: &Value| format!("{} of {}", task["name"], task["owner"]).replace('"', "");
    tasks.iter().filter(is_back).map(name).collect()
}
