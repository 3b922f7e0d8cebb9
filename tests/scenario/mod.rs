//! One story of the platform, told alike by one process, by several over Redis, and by replicas on PostgreSQL.
//!
//! Every answer goes into a transcript in which identities and times are replaced; all shapes of deployment must tell
//! the transcript in `tests/golden/scenario.json`, word for word.
//!
//! # Layout
//!
//! - [`story`]: register, log in, sell, order, oversell, hide, cancel.
//! - [`transcript`]: the answers, made comparable.

mod story;
mod transcript;

use crate::support::{Cluster, ClusterBuilder, Postgres, Redis};
use transcript::Transcript;

/// Where the answers are written down.
const GOLDEN: &str = "tests/golden/scenario.json";

#[test]
fn one_process_tells_the_story() {
    tell(Cluster::single());
}

#[test]
fn one_process_that_sends_every_message_through_the_wire_codec_tells_the_same_story() {
    let parity = [("enabled", "true"), ("delay_ms", "3"), ("duplicate_percent", "30"), ("seed", "7")];
    let cluster = parity.iter().fold(Cluster::single(), |c, (key, value)| c.set(&format!("parity.{key}"), value));
    tell(cluster);
}

#[test]
fn three_nodes_over_redis_tell_the_same_story() {
    let redis = Redis::start();
    tell(Cluster::of("config/split.toml").over(&redis));
}

#[test]
fn replicas_over_redis_and_postgresql_tell_the_same_story() {
    let (redis, database) = (Redis::start(), Postgres::shared().database());
    let mut cluster = Cluster::of("config/replicated.toml").over(&redis);
    for capability in ["users", "auth", "catalog", "orders"] {
        // One database for all: each capability has a schema of its own in it.
        cluster = cluster.set(&format!("capabilities.{capability}.database"), database.url());
    }
    tell(cluster);
}

fn tell(cluster: ClusterBuilder) {
    // Every order is confirmed or rejected when it is answered, on a busy machine too.
    let cluster = cluster.set("orders.wait_ms", 20_000).set("ask.timeout_ms", 30_000);
    let cluster = cluster.set("gateway.request_timeout_ms", 40_000).start();
    let mut transcript = Transcript::new();
    story::play(&cluster, &mut transcript);
    transcript.compare(GOLDEN);
    cluster.stop();
}
