//! Capabilities that an operator has retired, and those who do not know yet.

use essaim_protocol::log::Retired;

use super::*;

#[tokio::test]
async fn a_node_that_remembers_it_does_not_bring_it_back_to_a_server_that_was_restarted() {
    const AOF: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = Server::start(AOF).await else { return };
    let settings = settings(&server.url());
    let one = connect(&settings).await;
    let other = connect(&settings).await;
    for capability in ["shop", "stock"] {
        one.register(capability, 1, &[("shop.sold.v1".into(), Subscription::default())]).await.unwrap();
    }
    assert_eq!(other.retire("shop").await.unwrap(), Retired::Done { messages: 0 });
    server.start_again(AOF).await;
    // A host registers all that it remembers before its heartbeat.
    tend_at_last(&one, "a:1").await;
    let registry = one.registry().await.unwrap();
    assert_eq!(registry.partitions.keys().collect::<Vec<_>>(), ["stock"]);
    assert_eq!(registry.subscriptions["shop.sold.v1"].keys().collect::<Vec<_>>(), ["stock"]);
    one.register("shop", 1, &[]).await.unwrap();
    server.start_again(AOF).await;
    tend_at_last(&one, "a:1").await;
    assert!(one.registry().await.unwrap().partitions.contains_key("shop"), "one that has come back stays");
}

#[tokio::test]
async fn an_owner_that_slept_meanwhile_changes_nothing_of_what_has_begun_anew() {
    let Some(log) = log().await else { return };
    log.register("shop", 1, &[]).await.unwrap();
    let lease = Duration::from_millis(20);
    let epoch = log.heartbeat(&HostHeartbeat { lease, ..heartbeat("a:1") }).await.unwrap()[0].epoch;
    while log.retire("shop").await.unwrap() != (Retired::Done { messages: 0 }) {
        tokio::task::yield_now().await;
    }
    log.register("shop", 1, &[]).await.unwrap();
    store(&log, 0, "new").await.unwrap();
    let position = entries(&log, 0, Position::default(), LONG).await[0].position;
    assert_eq!(acknowledge(&log, 0, epoch, vec![position]).await, Acknowledged::Fenced);
    assert_eq!(texts(&log, 0).await, ["new"]);
}
