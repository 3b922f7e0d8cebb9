//! Reads that wait, and many at a time.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn reads_that_wait_do_not_hold_each_other_up() {
    let Some(log) = log().await else { return };
    let begun = Instant::now();
    let waits = (0..8).map(|n| entries(&log, n, Position::default(), Duration::from_millis(300)));
    let stored = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store(&log, 9, "quick").await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    };
    let (waited, ()) = tokio::join!(join_all(waits), stored);
    assert!(waited.iter().all(Vec::is_empty));
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_read_that_waits_is_answered_when_something_comes() {
    let Some(log) = log().await else { return };
    let begun = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store(&log, 3, "a").await.unwrap();
    };
    let (read, ()) = tokio::join!(entries(&log, 3, Position::default(), LONG), later);
    assert_eq!((read.len(), &read[0].batch[..]), (1, &b"a"[..]));
    assert!(begun.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_read_that_is_dropped_leaves_nothing_behind() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = connect(&settings(&server.url())).await;
    for n in 0..4 {
        let read = entries(&log, n, Position::default(), LONG);
        assert!(tokio::time::timeout(Duration::from_millis(30), read).await.is_err());
        store(&log, n, &format!("text {n}")).await.unwrap();
        assert_eq!(texts(&log, n).await, [format!("text {n}")]);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(server.connections().await <= 2, "one for commands, one for reading");
    drop(log);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.connections().await, 0);
}

#[tokio::test]
async fn more_readers_than_connections_all_get_what_is_there() {
    let Ok(url) = std::env::var("ESSAIM_TEST_REDIS") else { return };
    let mut settings = settings(&url);
    settings.durable.readers = 1;
    let log = connect(&settings).await;
    for n in 1..6 {
        store(&log, n, "here").await.unwrap();
    }
    let reads = (0..6).map(|n| entries(&log, n, Position::default(), Duration::from_millis(100)));
    let read = join_all(reads).await;
    assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 1]);
}

#[tokio::test]
async fn hosts_that_tend_at_the_same_moment_agree() {
    let Some(log) = log().await else { return };
    log.register("shop", 8, &[]).await.unwrap();
    let names: Vec<_> = (0..8).map(|n| format!("node-{n}:1")).collect();
    let mut owned: Vec<Vec<OwnedPartition>> = vec![Vec::new(); names.len()];
    for _ in 0..names.len() {
        let tends = names.iter().zip(&owned).map(|(name, owned)| {
            let given_up = owned.iter().filter(|o| o.wanted).map(|o| o.number).collect();
            let heartbeat = HostHeartbeat { given_up, ..heartbeat(name) };
            let log = &log;
            async move { log.heartbeat(&heartbeat).await.unwrap() }
        });
        owned = join_all(tends).await;
    }
    let mut all: Vec<_> = owned.iter().flatten().map(|o| (o.number, o.wanted)).collect();
    all.sort_unstable();
    assert_eq!(all, (0..8).map(|n| (n, false)).collect::<Vec<_>>());
    assert!(owned.iter().all(|o| o.len() == 1), "{owned:?}");
}
