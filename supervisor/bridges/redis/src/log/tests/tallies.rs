//! The fate of messages of a capability without a database: counts that the log alone keeps, over a server that forgets.

use super::*;

/// The counts of the one partition, once nodes do not tell any more what they know.
async fn counted(log: &RedisLog) -> (u64, u64, u64) {
    let until = Instant::now() + LONG;
    // Nothing is stored before.
    while log.append(log.registry().await.unwrap().version, u64::MAX, &[]).await.is_err() {
        assert!(Instant::now() < until, "nodes tell for ever");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let counts = log.counts("shop").await.unwrap().remove(0);
    (counts.appended, counts.tally.handled, counts.waiting)
}

/// Has nodes look what the server has forgotten, in this order.
async fn tell(nodes: &[&RedisLog]) {
    for log in nodes {
        assert!(log.link.wait(LONG).await);
        log.check().await.unwrap();
    }
}

/// A log that works on the one partition, and another one that sends to it; three messages are there.
async fn owner_and_sender(server: &Server) -> (RedisLog, RedisLog, u64) {
    let owner = on(server).await;
    owner.register("shop", 1, &[]).await.unwrap();
    let sender = beside(server, &owner).await;
    let epoch = tend_at_last(&owner, "a:1").await[0].epoch;
    for text in ["a", "b", "c"] {
        store_at_last(&sender, 0, text).await;
    }
    (owner, sender, epoch)
}

#[tokio::test]
async fn whoever_tells_first_what_was_handled_is_told_again_by_the_one_who_knows() {
    for owner_is_first in [false, true] {
        let Some(mut server) = Server::start(&[]).await else { return };
        let (owner, sender, epoch) = owner_and_sender(&server).await;
        let all = entries(&owner, 0, Position::default(), LONG).await.iter().map(|e| e.position).collect();
        acknowledge(&owner, 0, epoch, all).await;
        server.start_again(&[]).await;
        let order = if owner_is_first { [&owner, &sender] } else { [&sender, &owner] };
        tell(&order).await;
        assert_eq!(counted(&owner).await, (3, 3, 0), "the owner is first: {owner_is_first}");
    }
}

#[tokio::test]
async fn what_comes_again_after_a_failover_is_counted_once() {
    let Some(mut server) = Server::start(AOF).await else { return };
    let (owner, _sender, epoch) = owner_and_sender(&server).await;
    let all: Vec<_> = entries(&owner, 0, Position::default(), LONG).await.iter().map(|e| e.position).collect();
    acknowledge(&owner, 0, epoch, all[..2].to_vec()).await;
    let (stream, counts) = (owner.keys.stream(&partition(0)), owner.keys.counts(&partition(0)));
    let dumped: Vec<u8> =
        redis::cmd("DUMP").arg(&stream).query_async(&mut server.connection().await.unwrap()).await.unwrap();
    acknowledge(&owner, 0, epoch, all[2..].to_vec()).await;
    // A replica that lacks the last acknowledgement is there instead.
    let mut restore = redis::cmd("RESTORE");
    restore.arg(&stream).arg(0).arg(dumped).arg("REPLACE");
    let () = restore.query_async(&mut server.connection().await.unwrap()).await.unwrap();
    let () = server.command(&format!("HSET {counts} handled 2 waiting 1")).await;
    server.start_again(AOF).await;
    tell(&[&owner]).await;
    assert_eq!(counted(&owner).await, (3, 2, 1));
    let epoch = tend_at_last(&owner, "a:1").await[0].epoch;
    acknowledge(&owner, 0, epoch, all[2..].to_vec()).await;
    assert_eq!(counted(&owner).await, (3, 3, 0));
}
