use std::time::Duration;

use super::*;

fn priced(n: u32, quantity: i64, currency: &str) -> PricedLine {
    PricedLine { product_id: id(n), quantity, unit_price_cents: 100, currency: currency.into() }
}

fn reserved(order: u32, lines: Vec<PricedLine>) -> StockReserved {
    StockReserved { order_id: id(order), lines }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_pending_until_catalog_has_spoken_and_says_so() {
    let (t, shop) = orders().await;
    let order = t.ask_as(ann(), keyed(1, "k", &[(1, 4)])).await.unwrap();
    assert_eq!((order.status, order.total_cents, shop.stock(1)), (OrderStatus::Pending, None, 10));
    assert_eq!(t.ask_as(ann(), keyed(2, "k", &[(1, 4)])).await.unwrap(), order);
    assert_eq!(status(&t, 1).await, OrderStatus::Pending);
    shop.catch_up(&t).await;
    assert_eq!((status(&t, 1).await, shop.stock(1)), (OrderStatus::Confirmed, 6));
    let confirmed =
        OrderConfirmed { order_id: id(1), customer: "ann".into(), total_cents: 400, currency: "EUR".into() };
    assert_eq!(t.published::<OrderConfirmed>().await, [confirmed]);
    assert_eq!(t.sent::<Release>().await, []);
}

#[tokio::test(start_paused = true)]
async fn what_catalog_says_twice_counts_once() {
    let (t, _) = orders().await;
    t.ask_as(ann(), place(1, &[(1, 4)])).await.unwrap();
    t.deliver_twice(reserved(1, vec![priced(1, 4, "EUR")])).await.unwrap();
    // Under another id, as when catalog answers a repeated command.
    t.deliver(reserved(1, vec![priced(1, 4, "EUR")])).await.unwrap();
    assert_eq!(status(&t, 1).await, OrderStatus::Confirmed);
    assert_eq!((t.published::<OrderConfirmed>().await.len(), t.sent::<Release>().await), (1, vec![]));
    let reason = Refusal::Insufficient { product_ids: vec![id(1)] };
    t.deliver(StockRefused { order_id: id(1), reason }).await.unwrap();
    assert_eq!((status(&t, 1).await, t.published::<OrderRejected>().await), (OrderStatus::Confirmed, vec![]));
}

#[tokio::test(start_paused = true)]
async fn stock_for_an_order_that_cannot_be_is_given_back() {
    let (t, shop) = orders().await;
    settled(&t, &shop, place(1, &[(1, 1), (3, 1)])).await.unwrap_err();
    settled(&t, &shop, place(2, &[(1, 99)])).await.unwrap_err();
    assert_eq!(t.sent::<Release>().await, [Release { order_id: id(1) }], "the second never held any");
    let told: Vec<_> = t.published::<OrderRejected>().await.into_iter().map(|e| (e.order_id, e.reason)).collect();
    let short = Rejection::InsufficientStock { product_ids: vec![id(1)] };
    assert_eq!(told, [(id(1), Rejection::MixedCurrencies), (id(2), short)]);
}

#[tokio::test(start_paused = true)]
async fn a_pending_order_can_be_cancelled_and_its_stock_comes_back() {
    let (t, shop) = orders().await;
    t.ask_as(ann(), keyed(1, "k", &[(1, 4)])).await.unwrap();
    t.ask_as(ann(), CancelOrder { id: id(1) }).await.unwrap();
    // Catalog reserves first: the release was sent behind.
    shop.reserve_all(&t).await;
    assert_eq!(shop.stock(1), 6);
    shop.catch_up(&t).await;
    let again = t.ask_as(ann(), keyed(2, "k", &[(1, 4)])).await.unwrap();
    assert_eq!((again.status, shop.stock(1)), (OrderStatus::Cancelled, 10));
    assert_eq!(t.published::<OrderConfirmed>().await, []);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_nobody_decides_is_given_up_in_time() {
    let (t, shop) = orders_with(OrdersSettings { wait_ms: 0, ..Default::default() }).await;
    settled(&t, &shop, place(2, &[(1, 1)])).await.unwrap();
    t.ask_as(ann(), keyed(1, "k", &[(1, 4)])).await.unwrap();
    t.ask_as(ann(), place(3, &[(1, 1)])).await.unwrap();
    let minutes = |n: u64| t.run(tokio::time::sleep(Duration::from_secs(n * 60)));
    minutes(14).await;
    assert_eq!(status(&t, 3).await, OrderStatus::Pending);
    t.ask_as(ann(), place(4, &[(1, 1)])).await.unwrap();
    minutes(2).await;
    let found = [status(&t, 1).await, status(&t, 2).await, status(&t, 3).await, status(&t, 4).await];
    assert_eq!(found, [OrderStatus::Rejected, OrderStatus::Confirmed, OrderStatus::Rejected, OrderStatus::Pending]);
    let again = t.ask_as(ann(), keyed(5, "k", &[(1, 4)])).await;
    assert_eq!(again, Err(rejected(1, Rejection::Abandoned)));
    let mut abandoned: Vec<_> =
        t.published::<OrderRejected>().await.into_iter().map(|e| (e.order_id, e.reason)).collect();
    abandoned.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(abandoned, [(id(1), Rejection::Abandoned), (id(3), Rejection::Abandoned)]);
    // Catalog comes back: what it reserves for orders that were given up does not stay with them.
    shop.catch_up(&t).await;
    shop.catch_up(&t).await;
    assert_eq!((shop.stock(1), status(&t, 4).await), (8, OrderStatus::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn stock_for_an_order_that_nobody_knows_is_given_back() {
    let (t, _) = orders().await;
    t.deliver(reserved(7, vec![priced(1, 4, "EUR")])).await.unwrap();
    assert_eq!(t.sent::<Release>().await, [Release { order_id: id(7) }]);
}

#[tokio::test(start_paused = true)]
async fn what_catalog_cannot_have_said_is_a_dead_letter_and_leaves_the_order_pending() {
    let (t, _) = orders().await;
    t.ask_as(ann(), place(1, &[(1, 4)])).await.unwrap();
    let why = t.deliver(reserved(1, vec![priced(2, 4, "EUR")])).await.unwrap_err();
    assert!(why.contains("other lines"), "{why}");
    t.deliver(StockRefused { order_id: id(1), reason: Refusal::OtherLines }).await.unwrap_err();
    assert_eq!((status(&t, 1).await, t.sent::<Release>().await), (OrderStatus::Pending, vec![]));
}
