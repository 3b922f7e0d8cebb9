//! How fast it is; run by hand: `cargo test --release -p essaim-bridge-redis -- --ignored --nocapture how_fast`.

use std::sync::atomic::{AtomicU64, Ordering};

use essaim_config::Durability;
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use super::*;

const BODY: usize = 200;

/// So many callers store one message each, again and again; what waits is gathered into one append.
async fn gathered(log: &Arc<RedisLog>, callers: usize, each: usize, version: u64) -> f64 {
    let (sender, mut receiver) = mpsc::channel::<oneshot::Sender<()>>(callers);
    let appends = Arc::new(AtomicU64::new(0));
    let gatherer = async {
        let mut waiting = Vec::new();
        while receiver.recv_many(&mut waiting, callers).await > 0 {
            // One entry for each of 8 partitions.
            let batch = |n: u32, count: usize| Append {
                to: partition(n),
                count: count as u32,
                batch: vec![7; count * BODY].into(),
                urgent: false,
            };
            let all: Vec<_> =
                waiting.chunks(waiting.len().div_ceil(8)).zip(0..).map(|(c, n)| batch(n, c.len())).collect();
            log.append(version, u64::MAX, &all).await.unwrap();
            appends.fetch_add(1, Ordering::Relaxed);
            waiting.drain(..).for_each(|w| w.send(()).unwrap());
        }
    };
    let begun = Instant::now();
    let calls = (0..callers).map(|_| {
        let sender = sender.clone();
        async move {
            for _ in 0..each {
                let (done, stored) = oneshot::channel();
                sender.send(done).await.unwrap();
                stored.await.unwrap();
            }
        }
    });
    let calls: Vec<_> = calls.collect();
    drop(sender);
    tokio::join!(join_all(calls), gatherer);
    let rate = (callers * each) as f64 / begun.elapsed().as_secs_f64();
    println!("{callers} callers: {rate:.0} messages/s in {} appends", appends.load(Ordering::Relaxed));
    rate
}

#[tokio::test]
#[ignore = "it measures"]
async fn how_fast() {
    let Some(log) = log().await else { return };
    let log = Arc::new(log);
    log.register("shop", 8, &[]).await.unwrap();
    let version = log.registry().await.unwrap().version;
    let owned = log.heartbeat(&heartbeat("a:1")).await.unwrap();
    gathered(&log, 1, 2_000, version).await;
    gathered(&log, 256, 400, version).await;

    for (tasks, count) in [(1, 1), (256, 1), (1, 64), (16, 64)] {
        let rounds = if tasks * count > 256 { 100 } else { 200 };
        let begun = Instant::now();
        let one = || async {
            for n in 0..rounds {
                let batch = vec![7; count as usize * BODY].into();
                let append = Append { to: partition(n % 8), count, batch, urgent: false };
                log.append(version, u64::MAX, &[append]).await.unwrap();
            }
        };
        join_all((0..tasks).map(|_| one())).await;
        let rate = f64::from(tasks * count * rounds) / begun.elapsed().as_secs_f64();
        println!("{tasks} tasks, {count} messages in each append: {rate:.0} messages/s");
    }

    let (mut after, mut messages, mut read) = ([Position::default(); 8], 0, 0);
    let begun = Instant::now();
    loop {
        let readings: Vec<_> =
            (0..8).map(|n| Reading { partition: partition(n), after: after[n as usize], most: 64 }).collect();
        let page = log.read(&readings, Duration::from_millis(1)).await.unwrap();
        if page.is_empty() {
            break;
        }
        let acknowledges = page.into_iter().map(|(partition, entries)| {
            after[partition.number as usize] = entries.last().unwrap().position;
            messages += entries.iter().map(|e| u64::from(e.count)).sum::<u64>();
            read += entries.len();
            done(partition.number, owned[partition.number as usize].epoch, entries.iter().map(|e| e.position).collect())
        });
        let acknowledges: Vec<_> = acknowledges.collect();
        log.acknowledge(&acknowledges).await.unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "read and acknowledged: {:.0} messages/s in {:.0} entries/s",
        messages as f64 / seconds,
        read as f64 / seconds
    );
    assert!(log.counts("shop").await.unwrap().iter().all(|c| c.waiting == 0));
}

/// What it costs that a replica on the same machine has each message before it counts as stored, and before it is read. Run
/// with `what_a_replica_costs`.
#[tokio::test]
#[ignore = "it measures"]
async fn what_a_replica_costs() {
    let Some(primary) = Server::start(AOF).await else { return };
    let _replica = primary.replica().await;
    for round in 0..3 {
        for durability in [Durability::Machine, Durability::Replicated] {
            let mut settings = settings(&primary.url());
            settings.store.durability = durability;
            let log = Arc::new(connect(&settings).await);
            log.register("shop", 8, &[]).await.unwrap();
            store_at_last(&log, 0, "a").await;
            let version = log.registry().await.unwrap().version;
            println!("{durability:?}, round {round}");
            let begun = Instant::now();
            for _ in 0..1_000 {
                entries(&log, 0, Position::default(), LONG).await;
            }
            println!("a read: {:.0} µs", begun.elapsed().as_secs_f64() * 1e3);
            gathered(&log, 1, 1_000, version).await;
            gathered(&log, 256, 200, version).await;
        }
    }
}
