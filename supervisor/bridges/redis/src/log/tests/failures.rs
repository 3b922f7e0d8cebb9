//! A server that is cut off, restarted, empty, full or forgetful.

use super::*;

/// All entries of a partition, however many.
async fn everything(log: &RedisLog, number: u32) -> Vec<Entry> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|e: &Entry| e.position).unwrap_or_default();
        match entries(log, number, after, Duration::ZERO).await {
            more if more.is_empty() => return all,
            more => all.extend(more),
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_or_stored_twice_by_cut_connections_unless_it_is_said() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    let version = log.registry().await.unwrap().version;
    let (mut stored, mut unknown) = (Vec::new(), Vec::new());
    let senders = async {
        for n in 0..2_000 {
            let text = format!("{n}");
            match log.append(version, u64::MAX, &[append(0, 1, &text)]).await {
                Ok(_) => stored.push(text),
                Err(AppendError::Unknown(_)) => unknown.push(text),
                Err(AppendError::NotStored(_)) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(AppendError::Stale) => panic!("nobody changes the registry"),
            }
        }
    };
    let cuts = async {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            server.cut().await;
        }
    };
    tokio::join!(senders, cuts);
    store_at_last(&log, 0, "last").await;
    let all = everything(&log, 0).await;
    let texts: Vec<_> = all.iter().map(|e| String::from_utf8(e.batch.to_vec()).unwrap()).collect();
    let mut once = texts.clone();
    once.dedup();
    assert_eq!(texts, once);
    assert!(stored.iter().all(|t| texts.contains(t)));
    assert!(texts.iter().all(|t| t == "last" || stored.contains(t) || unknown.contains(t)));
    assert!(!stored.is_empty());
}

#[tokio::test]
async fn a_server_that_is_killed_and_flushes_always_loses_nothing_that_it_took() {
    let Some(mut server) = Server::start(AOF).await else { return };
    let log = on(&server).await;
    let mut stored = Vec::new();
    for n in 0..3 {
        let until = Instant::now() + Duration::from_millis(150);
        let senders = async {
            while Instant::now() < until + Duration::from_millis(50) {
                match store(&log, 0, &format!("{n} {}", stored.len())).await {
                    Ok(first) => stored.push(first),
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        let killed = async {
            tokio::time::sleep_until(until).await;
            server.kill();
        };
        tokio::join!(senders, killed);
        server.start_again(AOF).await;
        store_at_last(&log, 0, "after").await;
    }
    let found = everything(&log, 0).await;
    let firsts: Vec<_> = found.iter().map(|e| e.first).collect();
    assert!(firsts.is_sorted_by(|a, b| a < b), "no offset is given twice");
    assert!(stored.iter().all(|first| firsts.contains(first)));
    assert!(firsts.iter().copied().eq(0..firsts.len() as u64), "and none is left out");
}

#[tokio::test]
async fn acknowledging_until_it_is_answered_counts_once() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    log.register("shop", 1, &[]).await.unwrap();
    let epoch = log.heartbeat(&heartbeat("a:1")).await.unwrap()[0].epoch;
    let appends: Vec<_> = (0..1_000).map(|_| append(0, 1, "a")).collect();
    log.append(log.registry().await.unwrap().version, u64::MAX, &appends).await.unwrap();
    let read = entries(&log, 0, Position::default(), LONG).await;
    let handled = async {
        for chunk in read.chunks(4) {
            let acknowledges = [done(0, epoch, chunk.iter().map(|e| e.position).collect())];
            while log.acknowledge(&acknowledges).await.is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let cuts = async {
        loop {
            tokio::time::sleep(Duration::from_millis(40)).await;
            server.cut().await;
        }
    };
    tokio::select! {
        () = handled => {}
        () = cuts => {}
    }
    store_at_last(&log, 0, "last").await;
    let count = log.counts("shop").await.unwrap().remove(0);
    assert_eq!((count.appended, count.waiting, count.tally.handled), (1_001, 1, 1_000));
}

#[tokio::test]
async fn a_read_outlives_cut_connections() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    assert!(entries(&log, 0, Position::default(), Duration::from_millis(1)).await.is_empty());
    server.cut().await;
    store_at_last(&log, 0, "a").await;
    assert_eq!(texts(&log, 0).await, ["a"], "the connection that waited was cut, and nobody notices");

    let reading = Reading { partition: partition(1), after: Position::default(), most: 8 };
    let cut = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.cut().await;
        store_at_last(&log, 1, "b").await;
    };
    let (read, ()) = tokio::join!(log.read(std::slice::from_ref(&reading), LONG), cut);
    let read = match read {
        Ok(read) => read,
        Err(_) => log.read(&[reading], LONG).await.unwrap(),
    };
    assert_eq!(&read[0].1[0].batch[..], b"b");
}

#[tokio::test]
async fn a_server_that_is_away_is_said_at_once_and_its_files_bring_all_back() {
    let Some(mut server) = Server::start(AOF).await else { return };
    let log = on(&server).await;
    log.register("shop", 2, &[("sold.v1".into(), Subscription::default())]).await.unwrap();
    let before = log.heartbeat(&heartbeat("a:1")).await.unwrap();
    assert_eq!(store(&log, 0, "a").await, Ok(0));
    let registry = log.registry().await.unwrap();

    server.kill();
    let away = tokio::time::timeout(LONG, async {
        loop {
            match log.append(registry.version, 9, &[append(0, 1, "b")]).await {
                Err(AppendError::NotStored(message)) => return message,
                Err(AppendError::Unknown(_)) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(away.await.unwrap().contains("no connection"));
    let begun = Instant::now();
    let reading = Reading { partition: partition(0), after: Position::default(), most: 8 };
    assert!(log.read(&[reading], Duration::from_millis(200)).await.is_err());
    assert!(begun.elapsed() >= Duration::from_millis(190), "whoever reads again and again does so calmly");

    server.start_again(AOF).await;
    assert_eq!(store_at_last(&log, 0, "b").await, 1);
    assert_eq!(texts(&log, 0).await, ["a", "b"]);
    assert_eq!(*log.registry().await.unwrap(), *registry);
    let after = tend_at_last(&log, "a:1").await;
    assert_eq!(after.len(), 2);
    assert!(after.iter().zip(&before).all(|(a, b)| a.epoch > b.epoch), "the server may have forgotten a later owner");
    assert_eq!(acknowledge(&log, 0, before[0].epoch, vec![Position(1, 0)]).await, Acknowledged::Fenced);
}

#[tokio::test]
async fn over_an_empty_server_epochs_and_versions_rise_and_hosts_are_registered_again() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    log.register("shop", 2, &[("sold.v1".into(), Subscription::default())]).await.unwrap();
    log.register("shop", 2, &[("gone.v1".into(), Subscription::default())]).await.unwrap();
    assert!(log.unsubscribe("gone.v1", "shop").await.unwrap());
    let (before, registry) = (log.heartbeat(&heartbeat("a:1")).await.unwrap(), log.registry().await.unwrap());
    store(&log, 0, "lost").await.unwrap();

    server.start_again(&[]).await;
    let after = tend_at_last(&log, "a:1").await;
    assert_eq!(after, before, "a host says itself what it owns");
    let given_up = HostHeartbeat { given_up: vec![0], ..heartbeat("a:1") };
    assert!(log.heartbeat(&given_up).await.unwrap()[0].epoch > before[0].epoch, "no epoch is given again");
    let anew = log.registry().await.unwrap();
    assert!(anew.version > registry.version);
    assert_eq!(anew.partitions, registry.partitions);
    let (old, new) = (registry.subscriptions["sold.v1"]["shop"], anew.subscriptions["sold.v1"]["shop"]);
    assert!(anew.subscriptions.len() == 1 && new.since > old.since, "it begins anew: what was in the log is lost");
    assert_eq!(store(&log, 0, "next").await, Ok(1), "offsets go on");
    assert_eq!(texts(&log, 0).await, ["next"]);
}

#[tokio::test]
async fn a_full_server_stores_nothing_says_so_and_can_still_be_emptied() {
    let Some(server) = Server::start(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]).await else { return };
    let log = on(&server).await;
    log.register("shop", 1, &[]).await.unwrap();
    let version = log.registry().await.unwrap().version;
    let epoch = log.heartbeat(&heartbeat("a:1")).await.unwrap()[0].epoch;
    let large = "x".repeat(200_000);
    let mut stored = 0;
    let refused = loop {
        match log.append(version, u64::MAX, &[append(0, 1, &large), append(0, 1, &large)]).await {
            Ok(_) => stored += 2,
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, AppendError::NotStored(message) if message.contains("maxmemory")), "{refused:?}");
    let _: () = server.command("CONFIG SET maxmemory 1mb").await;
    let counts = log.counts("shop").await.unwrap();
    assert_eq!((counts[0].appended, counts[0].waiting), (stored, stored));

    assert_eq!(log.heartbeat(&heartbeat("a:1")).await.unwrap().len(), 1, "leases are kept");
    let both = HostHeartbeat { given_up: vec![0], ..heartbeat("a:1") };
    let again = log.heartbeat(&both).await.unwrap()[0].epoch;
    assert!(again > epoch);
    let read = entries(&log, 0, Position::default(), LONG).await;
    let mut first = done(0, again, vec![read[0].position]);
    first.dead.push(("id".into(), Bytes::from_static(b"letter")));
    assert_eq!(log.acknowledge(&[first]).await.unwrap(), [Acknowledged::Done]);
    let only_counted = Acknowledge { positions: Vec::new(), ..done(0, again, vec![read[0].position]) };
    assert_eq!(log.acknowledge(&[only_counted]).await.unwrap(), [Acknowledged::Done]);
    let rest = read[1..].iter().map(|e| e.position).collect();
    assert_eq!(acknowledge(&log, 0, again, rest).await, Acknowledged::Done);

    let _: () = server.command("CONFIG SET maxmemory 100mb").await;
    assert_eq!(store(&log, 0, "later").await, Ok(stored));
    let counts = &log.counts("shop").await.unwrap()[0];
    assert_eq!((counts.waiting, counts.tally.handled), (1, stored + 1));
    assert_eq!(log.dead("shop", None, 10).await.unwrap().letters.len(), 1);
}

#[tokio::test]
async fn a_replica_stores_nothing_and_says_what_to_do() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    let _: () = server.command("REPLICAOF 127.0.0.1 1").await;
    let refused = log.append(0, 9, &[append(0, 1, "a")]).await;
    assert!(matches!(&refused, Err(AppendError::NotStored(message)) if message.contains("primary")), "{refused:?}");
    // In this order: scripts of Redis 6.2 are done without replicas too, but no connection is made.
    let _: () = server.command("CONFIG SET min-replicas-to-write 1").await;
    let _: () = server.command("REPLICAOF NO ONE").await;
    // It has been left, and is not taken again before it takes writes.
    let until = Instant::now() + LONG;
    loop {
        match log.append(0, 9, &[append(0, 1, "a")]).await {
            Err(AppendError::NotStored(message)) if message.contains("min-replicas-to-write") => return,
            Err(AppendError::NotStored(_)) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_loaded_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    for n in 0..3 {
        assert_eq!(store(&log, 0, "a").await, Ok(n));
        let _: () = server.command("SCRIPT FLUSH").await;
    }
}

#[tokio::test]
async fn answers_that_the_server_will_not_send_at_once_come_in_parts() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    let large = "x".repeat(100_000);
    for _ in 0..64 {
        store(&log, 0, &large).await.unwrap();
    }
    let _: () = server.command("CONFIG SET client-output-buffer-limit normal_1000000_0_0").await;
    let (mut after, mut read, until) = (Position::default(), 0, Instant::now() + LONG);
    while read < 64 {
        assert!(Instant::now() < until, "{read} were read");
        let reading = Reading { partition: partition(0), after, most: 1_000 };
        if let Some((_, entries)) = log.read(&[reading], LONG).await.unwrap_or_default().pop() {
            read += entries.len();
            after = entries.last().unwrap().position;
        }
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_leaves_an_append_unknown() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut settings = settings(&server.url());
    settings.wire.response_timeout_ms = 200;
    let log = connect(&settings).await;
    let _: () = server.command("CLIENT PAUSE 600").await;
    let unanswered = log.append(0, 9, &[append(0, 1, "a")]).await;
    assert!(matches!(unanswered, Err(AppendError::Unknown(_))), "{unanswered:?}");
    store_at_last(&log, 0, "b").await;
}

#[tokio::test]
async fn whoever_may_not_look_at_the_configuration_is_told_so() {
    let Some(server) = Server::start(&[]).await else { return };
    let _: () = server.command("ACL SETUSER app on >word ~* &* +@all -config -info").await;
    let url = server.url().replace("redis://", "redis://app:word@");
    let log = connect(&settings(&url)).await;
    let said = log.weaker_than_configured().await.unwrap();
    assert!(said.contains("could not be checked") && said.contains("ACL"), "{said}");
    log.register("shop", 1, &[]).await.unwrap();
    assert_eq!(log.heartbeat(&heartbeat("a:1")).await.unwrap().len(), 1, "and works all the same");
    let log = on(&server).await;
    let said = log.weaker_than_configured().await.unwrap();
    assert!(said.contains("all messages are lost"), "{said}");
    let _: () = server.command("CONFIG SET appendonly yes").await;
    assert_eq!(log.weaker_than_configured().await, None);
}
