//! Where messages go.

use std::collections::BTreeSet;

use super::*;

const SOLD: &str = "shop.sold.v1";

pub async fn a_number_of_partitions_stays_as_it_was_first(fixture: impl Fixture) {
    let log = fixture.log();
    assert_eq!(log.registry().await.unwrap().partitions.len(), 0);
    open_shop(log, 3).await;
    open_shop(log, 5).await;
    log.register("stock", 1, &[]).await.unwrap();
    let registry = log.registry().await.unwrap();
    assert_eq!(registry.partitions, BTreeMap::from([(SHOP.to_string(), 3), ("stock".to_string(), 1)]));
    assert_eq!(log.counts(SHOP).await.unwrap().len(), 3);
    assert_eq!(own_all(log, "a", SURELY).await.len(), 3);
}

pub async fn subscriptions_come_and_go_with_a_new_version_each(fixture: impl Fixture) {
    let log = fixture.log();
    let mut versions = BTreeSet::new();
    let how = |when_full| Subscription { when_full, ..Subscription::default() };
    for (capability, when_full) in
        [("stock", WhenFull::OverflowToDisk), ("mail", WhenFull::Block), ("mail", WhenFull::DeadLetter)]
    {
        log.register(capability, 1, &[(SOLD.into(), how(when_full))]).await.unwrap();
        versions.insert(log.registry().await.unwrap().version);
    }
    // A later registration adds to what is there.
    log.register("stock", 1, &[("shop.closed.v1".into(), how(WhenFull::Block))]).await.unwrap();
    let registry = log.registry().await.unwrap();
    versions.insert(registry.version);
    let subscribers = |event: &str| {
        let all = registry.subscriptions.get(event).cloned().unwrap_or_default();
        all.into_iter().map(|(name, how)| (name, Subscription { since: 0, ..how })).collect::<BTreeMap<_, _>>()
    };
    let both =
        BTreeMap::from([("mail".into(), how(WhenFull::DeadLetter)), ("stock".into(), how(WhenFull::OverflowToDisk))]);
    assert_eq!(subscribers(SOLD), both);
    assert_eq!(subscribers("shop.closed.v1").len(), 1);
    assert!(log.unsubscribe(SOLD, "stock").await.unwrap());
    let registry = log.registry().await.unwrap();
    versions.insert(registry.version);
    assert_eq!(registry.subscriptions[SOLD].keys().collect::<Vec<_>>(), ["mail"]);
    assert_eq!(versions.len(), 5, "each change has a version of its own");
}

pub async fn registering_the_same_again_changes_nothing(fixture: impl Fixture) {
    let log = fixture.log();
    let subscriptions = [(SOLD.to_string(), Subscription::default())];
    log.register(SHOP, 2, &subscriptions).await.unwrap();
    let registry = log.registry().await.unwrap();
    log.register(SHOP, 2, &subscriptions).await.unwrap();
    log.register(SHOP, 2, &[]).await.unwrap();
    assert!(!log.unsubscribe("shop.closed.v1", SHOP).await.unwrap());
    assert!(!log.unsubscribe(SOLD, "stock").await.unwrap());
    assert_eq!(log.registry().await.unwrap(), registry);
}

pub async fn a_subscription_has_begun_when_it_was_first_made(fixture: impl Fixture) {
    let log = fixture.log();
    let subscribe = async |when_full, from| {
        let how = Subscription { when_full, from, retention_ms: Some(7), since: 99 };
        log.register("mail", 1, &[(SOLD.into(), how)]).await.unwrap();
        let registry = log.registry().await.unwrap();
        let known = registry.subscriptions[SOLD]["mail"];
        assert_eq!(known, Subscription { since: known.since, ..how });
        (known.since, registry.version)
    };
    let first = subscribe(WhenFull::Block, Beginning::EarliestRetained).await;
    assert_eq!(first.0, first.1, "it begins with the version that has brought it");
    let changed = subscribe(WhenFull::DeadLetter, Beginning::Registration).await;
    assert!(changed.0 == first.0 && changed.1 > first.1, "one that is changed goes on");
    assert!(log.unsubscribe(SOLD, "mail").await.unwrap());
    let second = subscribe(WhenFull::DeadLetter, Beginning::EarliestRetained).await;
    assert!(second.0 > changed.1, "one that was ended begins anew");
}

pub async fn a_capability_that_is_retired_leaves_nothing_and_may_begin_anew(fixture: impl Fixture) {
    let log = fixture.log();
    let subscription = [(SOLD.to_string(), Subscription::default())];
    assert_eq!(log.retire(SHOP).await.unwrap(), Retired::Unknown);
    log.register(SHOP, 2, &[subscription.clone(), [("shop.closed.v1".into(), Subscription::default())]].concat())
        .await
        .unwrap();
    log.register("stock", 1, &subscription).await.unwrap();
    let epochs = own_all(log, "a", SURELY).await;
    append(log, &[messages(0, 1, "a"), messages(0, 2, "b"), messages(1, 4, "c")]).await;
    let position = read(log, 0).await[0].position;
    let mut done = acknowledge(0, epochs[0], &[position]);
    (done.tally.dead, done.dead) = (1, vec![("m1".into(), Bytes::from_static(b"dead"))]);
    log.acknowledge(&[done.clone()]).await.unwrap();
    log.heartbeat(&HostHeartbeat { leaving: true, given_up: vec![0, 1], ..host("a", "a", SURELY) }).await.unwrap();
    let before = log.registry().await.unwrap();
    assert_eq!(log.retire(SHOP).await.unwrap(), Retired::Done { messages: 2 + 4 + 1 });

    let after = log.registry().await.unwrap();
    assert_eq!(after.partitions.keys().collect::<Vec<_>>(), ["stock"]);
    assert_eq!(after.subscriptions.keys().collect::<Vec<_>>(), [SOLD]);
    assert_eq!(after.subscriptions[SOLD].keys().collect::<Vec<_>>(), ["stock"]);
    assert_eq!(log.append(before.version, MUCH, &[messages(0, 1, "late")]).await, Err(AppendError::Stale));
    done.positions.clear();
    let late = log.acknowledge(&[done]).await;
    assert_ne!(late, Ok(vec![Acknowledged::Done]), "whoever owned a partition does not any more");
    assert_eq!((log.counts(SHOP).await.unwrap(), log.dead_count(SHOP).await.unwrap()), (vec![], 0));
    assert_eq!(log.heartbeat(&host("b", "a", SURELY)).await.unwrap(), []);
    log.heartbeat(&HostHeartbeat { leaving: true, ..host("b", "a", SURELY) }).await.unwrap();
    assert_eq!(log.retire(SHOP).await.unwrap(), Retired::Unknown);

    let fixture = fixture.reopened().await;
    let log = fixture.log();
    assert_eq!(log.registry().await.unwrap(), after);
    log.register(SHOP, 3, &subscription).await.unwrap();
    let anew = log.registry().await.unwrap();
    assert!(anew.partitions[SHOP] == 3 && anew.subscriptions[SOLD][SHOP].since > before.version, "{anew:?}");
    assert_eq!(append(log, &[messages(0, 1, "new")]).await, [Appended::Stored { first: 0 }]);
    assert_eq!(texts(&read(log, 0).await), ["new"]);
    let fresh = PartitionCount { number: 0, appended: 1, waiting: 1, tally: Tally::default(), owner: None };
    assert_eq!(count(log, 0).await, fresh);
    // Epochs rise with the clock here, and nobody retires a capability in the millisecond in which it had an owner.
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(own_all(log, "c", SURELY).await[0] > epochs[0]);
}

pub async fn a_capability_with_a_host_is_not_retired<F: Fixture>(fixture: F) {
    let log = fixture.log();
    open_shop(log, 1).await;
    append(log, &[messages(0, 1, "a")]).await;
    own_all(log, "a", F::LEASE).await;
    assert_eq!(log.retire(SHOP).await.unwrap(), Retired::Hosted { host: "a".into() });
    assert_eq!((texts(&read(log, 0).await), count(log, 0).await.waiting), (vec!["a"], 1));
    tokio::time::sleep(F::LEASE + F::LEASE / 10).await;
    assert_eq!(log.retire(SHOP).await.unwrap(), Retired::Done { messages: 1 }, "it has fallen silent");
}
