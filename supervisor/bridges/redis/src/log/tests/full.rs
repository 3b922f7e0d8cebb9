//! A server whose memory is used up: all is done but appends.

use essaim_protocol::log::Retired;

use super::*;

const FULL: &str = "CONFIG SET maxmemory 1";

/// A log with an owner of two partitions, and three messages in the first one.
async fn begun(server: &Server) -> (RedisLog, Vec<OwnedPartition>) {
    let log = on(server).await;
    log.register("shop", 2, &[("sold.v1".into(), Subscription::default())]).await.unwrap();
    let owned = log.heartbeat(&heartbeat("a:1")).await.unwrap();
    for offset in 0..3 {
        assert_eq!(store(&log, 0, "a").await, Ok(offset));
    }
    (log, owned)
}

/// Asserts that the log says that its server is full, and nothing else.
async fn says_full(log: &RedisLog) {
    let said = log.check().await.unwrap_err().to_string();
    assert!(said.contains("its memory is full"), "{said}");
}

#[tokio::test]
async fn on_a_full_server_owners_and_acknowledgements_go_on_and_it_is_said() {
    let Some(server) = Server::start(&[]).await else { return };
    let (log, owned) = begun(&server).await;
    assert_eq!(log.check().await, Ok(()));
    let _: () = server.command(FULL).await;
    says_full(&log).await;
    let refused = store(&log, 0, "b").await;
    assert!(matches!(&refused, Err(AppendError::NotStored(why)) if why.contains("its memory is full")), "{refused:?}");

    assert_eq!(log.heartbeat(&heartbeat("a:1")).await.unwrap(), owned);
    let other = beside(&server, &log).await;
    let hers = other.heartbeat(&heartbeat("b:1")).await.unwrap();
    assert!(hers.is_empty(), "the first one has not given any up: {hers:?}");
    let given_up = HostHeartbeat { given_up: vec![1], ..heartbeat("a:1") };
    assert_eq!(log.heartbeat(&given_up).await.unwrap().len(), 1);
    let hers = other.heartbeat(&heartbeat("b:1")).await.unwrap();
    assert_eq!(hers.iter().map(|owned| owned.number).collect::<Vec<_>>(), [1]);

    let read = entries(&log, 0, Position::default(), LONG).await;
    let first = Acknowledge {
        parked: 1,
        dead: vec![("id".into(), Bytes::from_static(b"letter"))],
        ..done(0, owned[0].epoch, vec![read[0].position])
    };
    assert_eq!(log.acknowledge(std::slice::from_ref(&first)).await.unwrap(), [Acknowledged::Done]);
    let again = Acknowledge { parked: 2, dead: Vec::new(), ..first };
    assert_eq!(log.acknowledge(&[again]).await.unwrap(), [Acknowledged::Done]);
    let dead = log.dead("shop", None, 10).await.unwrap().letters;
    assert_eq!(log.forget("shop", &dead).await, Ok(1));

    let _: () = server.command("CONFIG SET maxmemory 0").await;
    assert_eq!(log.check().await, Ok(()));
    assert_eq!(store(&log, 0, "b").await, Ok(3), "nothing of what was refused is there");
    let count = &log.counts("shop").await.unwrap()[0];
    assert_eq!((count.appended, count.waiting, count.tally.handled), (4, 3, 1));
}

#[tokio::test]
async fn on_a_full_server_capabilities_are_registered_and_retired() {
    let Some(server) = Server::start(&[]).await else { return };
    let (log, _) = begun(&server).await;
    // Another process of the server than the one that is remembered.
    let _: u64 = server.command(&format!("HSET {} run other", log.keys.registry())).await;
    let _: () = server.command(FULL).await;
    let newcomer = beside(&server, &log).await;
    let sold = [("sold.v1".to_string(), Subscription::default())];
    log.register("shop", 2, &sold).await.unwrap();
    log.register("stock", 3, &sold).await.unwrap();
    assert_eq!(log.registry().await.unwrap().partitions["stock"], 3);
    assert_eq!(log.unsubscribe("sold.v1", "shop").await, Ok(true));
    assert!(matches!(log.retire("stock").await, Ok(Retired::Done { messages: 0 })));
    assert_eq!(newcomer.registry().await.unwrap().partitions.len(), 1);
}

#[tokio::test]
async fn on_a_full_server_what_it_has_forgotten_is_told_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let (log, owned) = begun(&server).await;
    let registry = log.registry().await.unwrap();
    let identity = log.identity().await.unwrap();
    assert_eq!(log.check().await, Ok(()), "all is known");
    let _: () = server.command(FULL).await;
    let mut keys: Vec<String> = server.command("KEYS *").await;
    keys.retain(|key| key != &log.keys.stream(&partition(0)));
    keys.push("everything".into());
    for key in keys {
        let () = match key.as_str() {
            "everything" => server.command("FLUSHALL").await,
            key => drop(server.command::<u64>(&format!("DEL {key}")).await),
        };
        says_full(&log).await;
        assert_eq!(tend_at_last(&log, "a:1").await, owned, "{key} was forgotten");
        assert_eq!(log.registry().await.unwrap().partitions, registry.partitions, "{key} was forgotten");
        assert_eq!(log.identity().await.unwrap(), identity, "{key} was forgotten");
    }
    let _: () = server.command("CONFIG SET maxmemory 0").await;
    assert_eq!(store_at_last(&log, 0, "b").await, 3, "offsets go on");
}
