//! Labels are names that the binary knows, whatever clients and other nodes send.

use serde_json::json;

use super::scrape::{Form, Scrape};
use crate::golden::frames::{Ask, ask, converse, frame};
use crate::support::{Api, Cluster, Redis, Scratch, eventually};

/// A word in all that the clients send, in no label.
const MARK: &str = "zqxj";
/// The most series of a node that hosts everything.
const MOST_SERIES: usize = 3_000;

/// The series that nothing but the clients could have changed: the first message of a kind brings its histograms, and the
/// runtime's tasks come and go.
fn lasting(scrape: &Scrape) -> Vec<String> {
    let passing = ["essaim_message_", "essaim_task_", "essaim_outage"];
    scrape.series().into_iter().filter(|series| !passing.iter().any(|name| series.starts_with(name))).collect()
}

#[track_caller]
fn marks_nothing(scrape: &Scrape) {
    let marked: Vec<_> = scrape.series().into_iter().filter(|series| series.contains(MARK)).collect();
    assert_eq!(marked, [""; 0]);
}

/// Requests with ids, paths, names and traces of their own.
fn requests(api: &Api, admin: &Api, round: usize) {
    for number in 0..40 {
        let word = format!("{MARK}{round}x{number}");
        let trace = format!("00-{:032x}-{:016x}-01", (round + 1) * 1_000 + number, number + 1);
        let api = api.with("traceparent", &trace).with("X-Request-Id", &word);
        for path in ["products", "orders", word.as_str()] {
            let _ = api.try_send("GET", &format!("/{path}/{word}?{word}={word}"), None);
        }
        let _ = api.try_send(
            "POST",
            "/auth/login",
            Some(json!({ "email": format!("{word}@x.example"), "password": word })),
        );
        let _ = admin.try_send(
            "POST",
            "/products",
            Some(json!({ "sku": word, "name": word, "price_cents": 1, "currency": "EUR", "stock": 1 })),
        );
    }
}

#[test]
fn clients_with_many_keys_and_paths_make_no_series() {
    let mut cluster = Cluster::single().set("gateway.rate_limit_per_second", 0).start();
    let (api, admin) = (cluster.api(), cluster.admin());
    let node = cluster.node("main").admin();
    // Until each has worked once, databases and partitions are not all there.
    let complete = || {
        let scrape = Scrape::of(&node, Form::Open);
        let is_known = scrape.all("essaim_scrape_missing", &[]).all(|sample| sample.value == 0.0);
        let is_owned = scrape.all("essaim_durable_partition_owned", &[]).all(|sample| sample.value == 1.0);
        (is_known && is_owned && scrape.sum("essaim_ledger_appended_messages_total", &[]) > 0.0).then_some(scrape)
    };
    requests(&api, &admin, 0);
    let product = admin.product("TEA", 450, 5);
    admin.order(&product, 1).is(201);
    let before = eventually("all numbers", complete);
    requests(&api, &admin, 1);
    let after = eventually("all numbers again", complete);
    marks_nothing(&after);
    assert_eq!(lasting(&before), lasting(&after));
    assert!(after.samples.len() < MOST_SERIES, "{} series", after.samples.len());
    cluster.stop();
}

#[test]
fn messages_that_nobody_knows_make_no_series() {
    let (redis, scratch) = (Redis::start(), Scratch::new("unknown"));
    let topology = scratch.write("far.toml", "[nodes.far]\nhosts = [\"catalog\"]\n");
    let mut cluster = Cluster::of(&topology.display().to_string()).over(&redis).start();
    redis.wait_for_channel(":inbox:far:");
    let node = cluster.node("far").admin();
    let before = Scrape::of(&node, Form::Open);
    let unknown = |id: u64| {
        let name = if id.is_multiple_of(2) { format!("catalog.{MARK}{id}.v1") } else { format!("{MARK}{id}.list.v1") };
        frame(1, Ask { name: &name, ..ask(id, "", MARK) })
    };
    let frames: Vec<_> = (1..=60).map(unknown).collect();
    let answers = converse(&redis, "far", &frames, frames.len());
    assert_eq!(answers.len(), frames.len(), "each is refused");
    let after = Scrape::of(&node, Form::Open);
    marks_nothing(&after);
    let arrived = |scrape: &Scrape| scrape.sum("essaim_wire_frames_total", &[("direction", "received")]);
    assert!(arrived(&after) >= arrived(&before) + frames.len() as f64, "they have arrived");
    assert_eq!(
        after.values_of("essaim_messages_total", "message"),
        before.values_of("essaim_messages_total", "message")
    );
    cluster.stop();
}
