//! Where messages go.

use super::*;

const SOLD: &str = "shop.sold.v1";

pub(crate) async fn a_number_of_partitions_stays_as_it_was_first(fixture: impl Fixture) {
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

pub(crate) async fn subscriptions_come_and_go_with_a_new_version_each(fixture: impl Fixture) {
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

pub(crate) async fn registering_the_same_again_changes_nothing(fixture: impl Fixture) {
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

pub(crate) async fn a_subscription_has_begun_when_it_was_first_made(fixture: impl Fixture) {
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
