//! What is particular to the log over Redis: lost connections, a server that is full, restarted or forgetful.
//!
//! Where `ESSAIM_TEST_REDIS` names a server; tests that harm theirs start one of their own beside it (`redis-server`).

mod bench;
mod concurrency;
mod conformance;
mod failures;
mod foreign;
mod forgetful;
mod forgotten;
mod full;
mod removing;
mod replicas;
mod retiring;
pub(crate) mod server;
mod tallies;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use essaim_base::Env;
use essaim_base::task::Tasks;
use essaim_config::Settings;
use essaim_protocol::log::{
    Acknowledge, Acknowledged, Append, AppendError, Appended, Entry, HostHeartbeat, Log, OwnedPartition, Partition,
    Position, Reading, Registry, Subscription, Tally, WhenFull,
};
use tokio::time::Instant;

use self::server::Server;
use super::{Cluster, RedisLog};

/// Longer than anything should take.
const LONG: Duration = Duration::from_secs(10);

fn settings(url: &str) -> Settings {
    let mut settings = Settings::default();
    settings.bridge.url = url.into();
    settings.bridge.namespace = format!("test-{}", Env::system().id());
    // How long nodes tell a server what it has forgotten.
    settings.members.silent_ms = 100;
    settings
}

/// A log in a namespace of its own on the server that is named, if one is.
async fn log() -> Option<RedisLog> {
    let url = std::env::var("ESSAIM_TEST_REDIS").ok()?;
    Some(connect(&settings(&url)).await)
}

/// The log of a node of these settings.
async fn connect(settings: &Settings) -> RedisLog {
    let cluster = Cluster::of(settings).await.unwrap();
    RedisLog::connect(settings, cluster, Env::system(), &Tasks::without_node()).await.unwrap()
}

/// Arguments of a server that loses nothing that it has taken.
const AOF: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// A log in a namespace of its own on a server of the test's own.
async fn on(server: &Server) -> RedisLog {
    connect(&settings(&server.url())).await
}

/// Another node's log in the namespace of the first.
async fn beside(server: &Server, log: &RedisLog) -> RedisLog {
    let mut settings = settings(&server.url());
    settings.bridge.namespace = log.keys.registry().trim_end_matches(":log:registry").into();
    connect(&settings).await
}

fn partition(number: u32) -> Partition {
    Partition { capability: "shop".into(), number }
}

fn append(number: u32, count: u32, text: &str) -> Append {
    Append { to: partition(number), count, batch: Bytes::copy_from_slice(text.as_bytes()), urgent: false }
}

/// Appends one entry of one message to a partition, at any version of the registry; its offset.
async fn store(log: &RedisLog, number: u32, text: &str) -> Result<u64, AppendError> {
    let version = log.registry().await.map_err(|e| AppendError::NotStored(e.to_string()))?.version;
    match log.append(version, u64::MAX, &[append(number, 1, text)]).await?[..] {
        [Appended::Stored { first }] => Ok(first),
        ref other => panic!("{other:?}"),
    }
}

/// As [`store`], again and again until it is stored, as senders do.
async fn store_at_last(log: &RedisLog, number: u32, text: &str) -> u64 {
    let until = Instant::now() + LONG;
    loop {
        match store(log, number, text).await {
            Ok(first) => return first,
            Err(error) if Instant::now() > until => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The entries of a partition after a position.
async fn entries(log: &RedisLog, number: u32, after: Position, patience: Duration) -> Vec<Entry> {
    let reading = Reading { partition: partition(number), after, most: 1_000 };
    log.read(&[reading], patience).await.unwrap().pop().map(|(_, entries)| entries).unwrap_or_default()
}

/// The batches of a partition.
async fn texts(log: &RedisLog, number: u32) -> Vec<String> {
    let entries = entries(log, number, Position::default(), Duration::from_millis(1)).await;
    entries.into_iter().map(|e| String::from_utf8(e.batch.to_vec()).unwrap()).collect()
}

fn heartbeat(host: &str) -> HostHeartbeat {
    HostHeartbeat {
        capability: Arc::from("shop"),
        host: host.into(),
        handles: ["shop.sell.v1".to_string()].into(),
        leaving: false,
        given_up: Vec::new(),
        unhandled: Vec::new(),
        stale_epochs: Vec::new(),
        lease: LONG,
    }
}

async fn tend_at_last(log: &RedisLog, host: &str) -> Vec<OwnedPartition> {
    let until = Instant::now() + LONG;
    loop {
        match log.heartbeat(&heartbeat(host)).await {
            Ok(owned) => return owned,
            Err(error) if Instant::now() > until => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn done(number: u32, epoch: u64, positions: Vec<Position>) -> Acknowledge {
    let tally = Tally { handled: positions.len() as u64, ..Tally::default() };
    Acknowledge {
        partition: partition(number),
        epoch,
        positions,
        foreign: Vec::new(),
        tally,
        dead: Vec::new(),
        parked: 0,
    }
}

/// Removes an entry and tells what is left.
async fn acknowledge(log: &RedisLog, number: u32, epoch: u64, positions: Vec<Position>) -> Acknowledged {
    log.acknowledge(&[done(number, epoch, positions)]).await.unwrap()[0]
}
