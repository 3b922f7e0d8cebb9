//! A database or a Redis that does not answer: the scrape does, soon, and says what is missing.

use std::time::{Duration, Instant};

use super::scrape::{Form, Scrape};
use crate::support::{Api, Cluster, Postgres, Redis, eventually};

/// A scrape waits for a second for each source; the rest is for a busy machine. Prometheus gives up after 10 s.
const LIMIT: Duration = Duration::from_secs(8);

/// Scrapes until that part of a capability is missing, or is not; every scrape is answered within the limit.
#[track_caller]
fn until_missing(node: &Api, capability: &str, part: &str, missing: bool) -> Scrape {
    eventually(&format!("`missing` of the {part} of {capability} to be {missing}"), || {
        let begun = Instant::now();
        let scrape = Scrape::of(node, Form::Open);
        assert!(begun.elapsed() < LIMIT, "a scrape took {:?}", begun.elapsed());
        let labels = [("capability", capability), ("part", part)];
        (scrape.value("essaim_scrape_missing", &labels) == f64::from(u8::from(missing))).then_some(scrape)
    })
}

#[test]
fn a_database_that_is_silent_is_missing_and_the_rest_is_told() {
    let mut postgres = Postgres::start();
    let database = postgres.database();
    let mut cluster = Cluster::single().on(&database).start();
    let node = cluster.node("main").admin();
    until_missing(&node, "orders", "database", false);
    postgres.pause();
    let scrape = until_missing(&node, "orders", "database", true);
    let of = [("capability", "orders")];
    assert_eq!(scrape.all("essaim_ledger_messages_total", &of).count(), 0, "half a ledger is none");
    assert_eq!(scrape.all("essaim_outbox_waiting_messages", &of).count(), 0);
    assert!(scrape.all("essaim_durable_waiting_messages", &of).count() > 0, "the log answers");
    assert!(scrape.value("essaim_mailbox_limit_messages", &of) > 0.0);
    postgres.resume();
    let scrape = until_missing(&node, "orders", "database", false);
    assert!(scrape.all("essaim_ledger_messages_total", &of).count() > 0);
    cluster.stop();
}

#[test]
fn a_redis_that_is_silent_is_missing_and_an_outage_and_the_rest_is_told() {
    let mut redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let node = cluster.node("shop").admin();
    until_missing(&node, "orders", "log", false);
    redis.pause();
    let scrape = until_missing(&node, "orders", "log", true);
    let of = [("capability", "orders")];
    assert_eq!(scrape.all("essaim_durable_waiting_messages", &of).count(), 0);
    assert!(scrape.all("essaim_durable_parked_messages", &of).count() > 0, "the database answers");
    eventually("the outage to be told", || {
        let scrape = Scrape::of(&node, Form::Classic);
        (scrape.sum("essaim_outage", &[("dependency", "log")]) == 1.0 && scrape.value("essaim_ready", &[]) == 0.0)
            .then_some(())
    });
    redis.resume();
    until_missing(&node, "orders", "log", false);
    eventually("the outage to end", || {
        let scrape = Scrape::of(&node, Form::Classic);
        (scrape.all("essaim_outage", &[]).count() == 0).then_some(())
    });
    cluster.stop();
}

#[test]
fn asks_to_a_capability_whose_nodes_have_left_are_counted_where_they_are_asked() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let front = cluster.node("front").admin();
    let asks = [("capability", "catalog"), ("message", "catalog.list.v1")];
    let asked = |outcome: &str, node: &Api| {
        Scrape::of(node, Form::Open).sum("essaim_messages_total", &[asks[0], asks[1], ("outcome", outcome)])
    };
    cluster.api().get("/products").is(200);
    let shop = cluster.node("shop").admin();
    assert_eq!((asked("ok", &shop), asked("not_delivered", &front)), (1.0, 0.0));
    cluster.node("shop").stop();
    let refusals = (0..3).filter(|_| cluster.api().get("/products").status == 503).count();
    assert_eq!((asked("not_delivered", &front), refusals), (3.0, 3));
    assert_eq!(asked("ok", &front), 0.0, "those are counted by their handlers");
    cluster.stop();
}
