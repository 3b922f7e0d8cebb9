//! A server that has forgotten what others have registered, and one that has not.

use super::*;

fn sold(when_full: WhenFull) -> [(String, Subscription); 1] {
    [("shop.sold.v1".into(), Subscription { when_full, ..Subscription::default() })]
}

/// The registry, once the log is connected again.
async fn registry_at_last(log: &RedisLog) -> Arc<Registry> {
    assert!(log.link.wait(LONG).await);
    let until = Instant::now() + LONG;
    loop {
        match log.registry().await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[tokio::test]
async fn an_empty_server_is_told_of_subscribers_that_are_not_there_yet() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let publisher = on(&server).await;
    publisher.register("shop", 2, &[]).await.unwrap();
    let subscriber = beside(&server, &publisher).await;
    subscriber.register("stock", 3, &sold(WhenFull::DeadLetter)).await.unwrap();
    subscriber.register("stock", 3, &[("shop.closed.v1".into(), Subscription::default())]).await.unwrap();
    publisher.registry().await.unwrap();
    assert!(subscriber.unsubscribe("shop.closed.v1", "stock").await.unwrap());
    let before = publisher.registry().await.unwrap();
    drop(subscriber);

    server.start_again(&[]).await;
    let after = registry_at_last(&publisher).await;
    assert_eq!(after.partitions, before.partitions);
    assert_eq!(after.subscriptions.keys().collect::<Vec<_>>(), ["shop.sold.v1"], "what was ended stays so");
    let stock = after.subscriptions["shop.sold.v1"]["stock"];
    assert_eq!(stock.when_full, WhenFull::DeadLetter);
    assert!(stock.since > before.subscriptions["shop.sold.v1"]["stock"].since);
}

#[tokio::test]
async fn a_server_that_has_forgotten_nothing_is_told_nothing_that_is_out_of_date() {
    let Some(mut server) = Server::start(AOF).await else { return };
    let publisher = on(&server).await;
    publisher.register("shop", 2, &[]).await.unwrap();
    let subscriber = beside(&server, &publisher).await;
    subscriber.register("stock", 3, &sold(WhenFull::DeadLetter)).await.unwrap();
    subscriber.register("stock", 3, &[("shop.closed.v1".into(), Subscription::default())]).await.unwrap();
    publisher.registry().await.unwrap();
    // The publisher does not look any more.
    assert!(subscriber.unsubscribe("shop.closed.v1", "stock").await.unwrap());
    subscriber.register("stock", 3, &sold(WhenFull::Block)).await.unwrap();
    let before = subscriber.registry().await.unwrap();
    drop(subscriber);

    server.start_again(AOF).await;
    assert_eq!(*registry_at_last(&publisher).await, *before);
}
