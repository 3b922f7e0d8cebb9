//! Connections that are replaced: at their longest life, and where their server is not the one that is wanted.

use std::collections::BTreeSet;

use essaim_store::testing::Directory;
use tokio::time::timeout;

use super::clusters::settings;
use super::*;

/// Longer than anything should take.
const LONG: Duration = Duration::from_secs(20);

async fn join(settings: &Settings) -> (RedisWire, Identity, WireEvents) {
    RedisWire::join(settings, Vec::new(), Env::system(), &Tasks::without_node()).await.unwrap()
}

fn number(redis: &RedisWire) -> u64 {
    redis.keeper().current().map_or(0, |current| current.number)
}

/// Waits until the connection of that number was replaced by one that is in use.
async fn replaced(redis: &RedisWire, number: u64) {
    let mut current = redis.keeper().watch();
    let newer = current.wait_for(|current| current.as_ref().is_some_and(|c| c.number > number));
    timeout(LONG, newer).await.expect("another connection is made").unwrap();
}

#[tokio::test]
async fn no_frame_is_lost_while_connections_are_made_anew_at_their_longest_life() {
    let Some(server) = Server::start(&[]).await else { return };
    let data = Directory::new();
    let mut settings = settings(&server, 0, "shop", data.path());
    settings.bridge.connection_life_ms = 20;
    let (wire, me, mut events) = join(&settings).await;
    let mut sent = 0_u32;
    while number(&wire) < 20 {
        let receivers = wire.publish(&me.inbox, Bytes::copy_from_slice(&sent.to_be_bytes())).await;
        assert!(receivers.as_ref().is_ok_and(|receivers| *receivers >= 1), "frame {sent}: {receivers:?}");
        sent += 1;
        tokio::task::yield_now().await;
    }
    let (mut heard, mut restored) = (BTreeSet::new(), 0);
    while heard.len() < sent as usize {
        match timeout(LONG, events.recv()).await.expect("each frame is heard").unwrap() {
            WireEvent::Frame(_, frame) => drop(heard.insert(u32::from_be_bytes(frame[..].try_into().unwrap()))),
            WireEvent::Restored => restored += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(restored, 1, "nobody has to ask for what could not be missed");
}

#[tokio::test]
async fn a_server_that_was_demoted_stays_in_use_until_there_is_another_and_is_not_taken_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let data = Directory::new();
    let (wire, me, mut events) = join(&settings(&server, 0, "shop", data.path())).await;
    let before = number(&wire);
    let _: () = server.command("REPLICAOF 127.0.0.1 1").await;
    assert_eq!(wire.renew().await, Renewal::Unanswered);
    assert!(wire.keeper().cause().contains("replica"), "{}", wire.keeper().cause());
    // Those who are still there are heard, and hear.
    assert_eq!(wire.publish(&me.inbox, Bytes::from_static(b"frame")).await, Ok(1));
    assert_eq!(number(&wire), before);
    let _: () = server.command("REPLICAOF NO ONE").await;
    replaced(&wire, before).await;
    assert_eq!(wire.renew().await, Renewal::Held);
    assert_eq!(wire.keeper().cause(), "");
    let mut lost = 0;
    while let Ok(event) = events.try_recv() {
        lost += usize::from(matches!(event, WireEvent::Lost));
    }
    assert_eq!(lost, 0, "it was the same server");
}

#[tokio::test]
async fn what_a_new_server_counts_no_receiver_of_may_still_be_heard_through_a_replica() {
    let (Some(mut server), Some(other)) = (Server::start(&[]).await, Server::start(&[]).await) else { return };
    let data = Directory::new();
    let (wire, _, _events) = join(&settings(&server, 0, "shop", data.path())).await;
    let frame = || Bytes::from_static(b"frame");
    assert_eq!(wire.publish("nobody", frame()).await, Ok(0));

    // Another process: it has neither replicas, nor kept anything for one.
    let before = number(&wire);
    server.start_again(&[]).await;
    replaced(&wire, before).await;
    assert_eq!(wire.publish("nobody", frame()).await, Ok(0));

    let follow = format!("REPLICAOF {}", server.url().trim_start_matches("redis://").replace(':', " "));
    let _: () = other.command(&follow).await;
    let until = tokio::time::Instant::now() + LONG;
    while !other.command::<String>("INFO replication").await.contains("master_link_status:up") {
        assert!(tokio::time::Instant::now() < until, "the replica is linked");
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.publish("nobody", frame()).await, Err(PublishError::Unanswered));
}

#[tokio::test]
async fn an_inbox_that_is_closed_stays_so_although_connections_would_be_made_anew() {
    let Some(server) = Server::start(&[]).await else { return };
    let data = Directory::new();
    let mut settings = settings(&server, 0, "shop", data.path());
    settings.bridge.connection_life_ms = 1;
    for _ in 0..20 {
        let (wire, me, mut events) = join(&settings).await;
        let before = number(&wire);
        replaced(&wire, before + 1).await;
        wire.close_inbox().await;
        let closed = async { while !matches!(events.recv().await, Some(WireEvent::Closed)) {} };
        timeout(LONG, closed).await.expect("it is closed");
        let settled = number(&wire);
        for _ in 0..50 {
            assert_eq!(wire.publish(&me.inbox, Bytes::from_static(b"late")).await, Ok(0));
        }
        assert_eq!(number(&wire), settled);
        wire.release().await;
    }
}
