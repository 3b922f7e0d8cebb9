//! Messages that replicas have before they count as stored, and a replica that takes the place of its primary.

use essaim_config::Durability;

use super::*;

/// A log whose messages one replica must have.
async fn replicated(server: &Server) -> RedisLog {
    let mut settings = settings(&server.url());
    settings.store.durability = Durability::Replicated;
    settings.durable.replicas_timeout_ms = 500;
    let log = connect(&settings).await;
    log.register("shop", 1, &[]).await.unwrap();
    log
}

#[tokio::test]
async fn what_no_replica_has_is_not_said_to_be_stored_and_nothing_comes_after_it() {
    let Some(primary) = Server::start(AOF).await else { return };
    let replica = primary.replica().await;
    let log = replicated(&primary).await;
    assert_eq!(log.weaker_than_configured().await, None);
    assert_eq!(store_at_last(&log, 0, "a").await, 0);
    replica.follows(None).await;
    primary.followed_by(0).await;
    let weaker = log.weaker_than_configured().await.unwrap_or_default();
    assert!(weaker.contains("0 of durable.replicas = 1"), "{weaker}");
    let said = store(&log, 0, "b").await.unwrap_err();
    assert!(matches!(&said, AppendError::Unknown(why) if why.contains("may be lost")), "{said}");
    for _ in 0..2 {
        let said = store(&log, 0, "c").await.unwrap_err();
        assert!(matches!(&said, AppendError::NotStored(why) if why.contains("stored before")), "{said}");
    }
    assert_eq!(texts(&beside(&primary, &log).await, 0).await, ["a", "b"], "of what is sent again there is one copy");
    assert_eq!(texts(&beside(&replica, &log).await, 0).await, ["a"]);
    replica.follows(Some(&primary)).await;
    store_at_last(&log, 0, "d").await;
    assert_eq!(texts(&log, 0).await, ["a", "b", "d"]);
}

#[tokio::test]
async fn what_was_never_confirmed_is_not_missing_after_a_failover() {
    let Some(primary) = Server::start(AOF).await else { return };
    let replica = primary.replica().await;
    let log = replicated(&primary).await;
    store_at_last(&log, 0, "a").await;
    log.heartbeat(&heartbeat("a:1")).await.unwrap();
    replica.follows(None).await;
    assert!(matches!(store(&log, 0, "b").await, Err(AppendError::Unknown(_))));
    log.check().await.unwrap();
    assert_eq!(log.known.of(&partition(0)).appended, 1, "nobody was told that the second is stored");
}

#[tokio::test]
async fn what_comes_after_a_failover_is_behind_what_was_read_before() {
    let Some(mut server) = Server::start(AOF).await else { return };
    let log = on(&server).await;
    log.register("shop", 1, &[]).await.unwrap();
    store(&log, 0, "a").await.unwrap();
    // The clock of the lost primary was ahead, and its replica has not seen the last entry.
    let stream = log.keys.stream(&partition(0));
    let () = server.command(&format!("XADD {stream} 9999999999999-0 c 1 f 1 b b")).await;
    let last = entries(&log, 0, Position::default(), Duration::ZERO).await.pop().unwrap().position;
    assert_eq!(last, Position(9_999_999_999_999, 0));
    let _: u64 = server.command(&format!("XDEL {stream} 9999999999999-0")).await;
    let top = entries(&log, 0, Position::default(), Duration::ZERO).await.pop().unwrap().position;
    let () = server.command(&format!("XSETID {stream} {}-{}", top.0, top.1)).await;
    // Another process is there.
    server.start_again(AOF).await;
    assert!(log.link.wait(LONG).await);
    let first = store_at_last(&log, 0, "c").await;
    assert_eq!(first, 2, "offsets go on");
    let found = entries(&log, 0, last, LONG).await;
    assert_eq!(found.iter().map(|e| &e.batch[..]).collect::<Vec<_>>(), [b"c"]);
}

#[tokio::test]
async fn what_no_replica_has_is_read_once_one_has_it() {
    let Some(primary) = Server::start(AOF).await else { return };
    let replica = primary.replica().await;
    let sender = replicated(&primary).await;
    store_at_last(&sender, 0, "a").await;
    let mut settings = settings(&primary.url());
    settings.bridge.namespace = sender.keys.registry().trim_end_matches(":log:registry").into();
    settings.store.durability = Durability::Replicated;
    settings.durable.replicas_timeout_ms = 100;
    let owner = connect(&settings).await;
    // As one whose reads have no connection left.
    settings.durable.readers = 0;
    let crowded = connect(&settings).await;
    assert_eq!(texts(&owner, 0).await, ["a"]);
    replica.follows(None).await;
    primary.followed_by(0).await;
    assert!(matches!(store(&sender, 0, "b").await, Err(AppendError::Unknown(_))));
    for log in [&owner, &crowded] {
        let reading = Reading { partition: partition(0), after: Position::default(), most: 9 };
        let said = log.read(&[reading], Duration::from_millis(100)).await.unwrap_err().to_string();
        assert!(said.contains("0 of durable.replicas = 1"), "{said}");
        assert!(log.known.of(&partition(0)).appended < 2, "it may be lost unhandled, and sent again");
    }
    replica.follows(Some(&primary)).await;
    primary.followed_by(1).await;
    store_at_last(&sender, 0, "c").await;
    for log in [&owner, &crowded] {
        let mut read = texts(log, 0).await;
        assert_eq!(log.known.of(&partition(0)).appended, read.len() as u64);
        // One that the replica did not have in time is stored once more.
        read.dedup();
        assert_eq!(read, ["a", "b", "c"]);
    }
}
