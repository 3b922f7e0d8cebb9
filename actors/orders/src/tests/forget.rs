use std::time::Duration;

use essaim_users_contract::UserDeleted;

use super::*;

async fn forget(t: &Stage<OrdersActor>) {
    t.deliver_twice(UserDeleted { user_id: "ann".into() }).await.unwrap();
}

fn hidden<T>() -> Result<T, AskError<OrderError>> {
    Err(AskError::Rejected(OrderError::NotFound))
}

#[tokio::test(start_paused = true)]
async fn the_orders_of_a_deleted_user_are_nobodys_and_stay_sold() {
    let (t, shop) = orders().await;
    let bob = || Principal::new("bob", ["customer"]);
    settled(&t, &shop, keyed(1, "k", &[(1, 4)])).await.unwrap();
    t.ask_as(bob(), keyed(2, "k", &[(1, 1)])).await.unwrap();
    shop.catch_up(&t).await;
    forget(&t).await;
    assert_eq!(t.ask_as(ann(), ListOrders { limit: 9, cursor: None }).await.unwrap().items, []);
    for who in [ann(), bob()] {
        assert_eq!(t.ask_as(who.clone(), GetOrder { id: id(1) }).await, hidden());
        assert_eq!(t.ask_as(who, CancelOrder { id: id(1) }).await, hidden());
    }
    assert_eq!(t.ask_as(bob(), ListOrders { limit: 9, cursor: None }).await.unwrap().items.len(), 1);
    shop.catch_up(&t).await;
    assert_eq!((shop.stock(1), t.sent::<Release>().await), (5, vec![]), "what was sold stays sold");
    assert_eq!(t.ask_as(bob(), keyed(3, "k", &[(1, 1)])).await.unwrap().id, id(2), "it is another's key, too");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sold_yet_is_cancelled() {
    let (t, shop) = orders().await;
    t.ask_as(ann(), place(1, &[(1, 4)])).await.unwrap();
    forget(&t).await;
    shop.catch_up(&t).await;
    assert_eq!(shop.stock(1), 10);
    let cancelled = OrderCancelled { order_id: id(1), customer: "ann".into() };
    assert_eq!(
        (t.published::<OrderCancelled>().await, t.published::<OrderConfirmed>().await),
        (vec![cancelled], vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_ordered_with_a_token_that_outlives_its_user_is_forgotten_later() {
    let (t, shop) = orders_with(OrdersSettings { forget_again_ms: 60_000, ..at_once() }).await;
    forget(&t).await;
    settled(&t, &shop, place(1, &[(1, 4)])).await.unwrap();
    assert_eq!(status(&t, 1).await, OrderStatus::Confirmed);
    t.run(tokio::time::sleep(Duration::from_secs(61))).await;
    assert_eq!(t.ask_as(ann(), GetOrder { id: id(1) }).await, hidden());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_comes_after_its_account_is_gone_places_no_second_order() {
    let settings = OrdersSettings { repair_every_ms: 60_000, key_retention_hours: 2, ..at_once() };
    let (t, shop) = orders_with(settings).await;
    settled(&t, &shop, keyed(1, "k", &[(1, 4)])).await.unwrap();
    t.ask_as(ann(), keyed(2, "pending", &[(1, 1)])).await.unwrap();
    forget(&t).await;
    // Once more, as after `forget_again_ms`: what is nobody's already stays so.
    forget(&t).await;
    shop.catch_up(&t).await;
    for again in [keyed(3, "k", &[(1, 4)]), keyed(1, "k", &[(1, 4)]), keyed(4, "pending", &[(1, 1)])] {
        assert_eq!(t.ask_as(ann(), again).await, Err(AskError::Rejected(OrderError::KeyReused)));
    }
    shop.catch_up(&t).await;
    assert_eq!((t.sent::<Reserve>().await.len(), shop.stock(1)), (2, 6));
    assert_eq!(t.ask_as(ann(), ListOrders { limit: 9, cursor: None }).await.unwrap().items, []);
    t.run(tokio::time::sleep(Duration::from_hours(3))).await;
    assert_eq!(t.ask_as(ann(), keyed(5, "k", &[(1, 1)])).await.unwrap().id, id(5), "its retention is over");
}
