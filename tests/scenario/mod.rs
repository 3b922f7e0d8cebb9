//! One story of the platform, told alike by one process, by several over Redis, and by replicas on PostgreSQL.
//!
//! Every answer goes into a transcript in which identities and times are replaced; all shapes of deployment must tell
//! the transcript in `tests/golden/scenario.json`, word for word.
//!
//! # Layout
//!
//! - [`story`]: register, log in, sell, order, oversell, hide, cancel.
//! - [`transcript`]: what was answered, made comparable.

mod story;
mod transcript;

use crate::support::{Cluster, Postgres, Redis};
use transcript::Transcript;

/// Where the answers are written down.
const GOLDEN: &str = "tests/golden/scenario.json";

#[test]
fn one_process_tells_the_story() {
    let cluster = Cluster::single().start();
    tell(cluster);
}

#[test]
fn one_process_that_sends_every_message_through_the_wire_codec_tells_the_same_story() {
    let parity = [("enabled", "true"), ("delay_ms", "3"), ("duplicate_percent", "30"), ("seed", "7")];
    let cluster = parity.iter().fold(Cluster::single(), |c, (key, value)| c.set(&format!("parity.{key}"), value));
    tell(cluster.start());
}

#[test]
fn three_nodes_over_redis_tell_the_same_story() {
    let redis = Redis::start();
    let cluster = Cluster::of("config/split.toml").over(&redis).start();
    tell(cluster);
}

#[test]
fn replicas_over_redis_and_postgresql_tell_the_same_story() {
    let (redis, database) = (Redis::start(), Postgres::shared().database());
    let mut cluster = Cluster::of("config/replicated.toml").over(&redis);
    for capability in ["users", "auth", "catalog", "orders"] {
        // One database for all: each capability has a schema of its own in it.
        cluster = cluster.set(&format!("capabilities.{capability}.database"), database.url());
    }
    tell(cluster.start());
}

fn tell(cluster: Cluster) {
    let mut transcript = Transcript::new();
    story::play(&cluster, &mut transcript);
    transcript.compare(GOLDEN);
    cluster.stop();
}
