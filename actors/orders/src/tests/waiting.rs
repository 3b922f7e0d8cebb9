use std::time::Duration;

use super::*;

/// Orders that customers wait for, and a repair that a test does not live to see.
async fn waited_for(change: impl FnOnce(&mut OrdersSettings)) -> (Stage<OrdersActor>, Shop) {
    let mut settings = OrdersSettings { wait_ms: 2_000, ..at_once() };
    change(&mut settings);
    orders_with(settings).await
}

/// How long something takes by the paused clock.
async fn timed<T>(t: &Stage<OrdersActor>, work: impl Future<Output = T>) -> (T, Duration) {
    let started = t.client().env().now();
    let done = work.await;
    (done, t.client().env().now() - started)
}

#[tokio::test(start_paused = true)]
async fn the_answer_waits_until_the_order_is_settled() {
    let (t, shop) = waited_for(|_| {}).await;
    let order = shop.beside(&t, t.ask_as(ann(), place(1, &[(1, 4)]))).await.unwrap();
    assert_eq!((order.status, order.total_cents, shop.stock(1)), (OrderStatus::Confirmed, Some(400), 6));
    let full = Rejection::InsufficientStock { product_ids: vec![id(1)] };
    assert_eq!(shop.beside(&t, t.ask_as(ann(), place(2, &[(1, 99)]))).await, Err(rejected(2, full)));
    assert_eq!(
        shop.beside(&t, t.ask_as(ann(), place(3, &[(1, 1), (3, 1)]))).await,
        Err(rejected(3, Rejection::MixedCurrencies))
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_key_is_under_way_is_told_so_and_gets_the_order_afterwards() {
    let (t, shop) = waited_for(|_| {}).await;
    let client = t.client().on_behalf_of(ann());
    let attempts = t.run(join_all((1..=8).map(|n| client.ask(keyed(n, "k", &[(1, 1)])))));
    let answers = shop.beside(&t, attempts).await;
    let (first, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(others, vec![Err(AskError::Rejected(OrderError::KeyInUse)); 7]);
    let order = first.into_iter().next().unwrap().unwrap();
    assert_eq!((order.status, shop.stock(1)), (OrderStatus::Confirmed, 9));
    assert_eq!(t.ask_as(ann(), keyed(9, "k", &[(1, 1)])).await, Ok(order), "afterwards it is the order");
    assert_eq!(
        t.ask_as(ann(), keyed(9, "k", &[(1, 2)])).await,
        Err(AskError::Rejected(OrderError::KeyReused)),
        "other lines are wrong at any time"
    );
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_the_bus_repeats_waits_beside_the_first() {
    let (t, shop) = waited_for(|_| {}).await;
    let client = t.client().on_behalf_of(ann());
    let attempts = t.run(join_all((0..3).map(|_| client.ask(keyed(1, "k", &[(1, 1)])))));
    let answers = shop.beside(&t, attempts).await;
    assert!(
        answers.iter().all(|a| a.as_ref().is_ok_and(|order| order.status == OrderStatus::Confirmed)),
        "{answers:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_for_ever_and_a_repetition_waits_again() {
    let (t, shop) = waited_for(|_| {}).await;
    let (order, took) = timed(&t, t.ask_as(ann(), keyed(1, "k", &[(1, 1)]))).await;
    assert_eq!((order.unwrap().status, took.as_secs()), (OrderStatus::Pending, 2));
    let (again, took) = timed(&t, t.ask_as(ann(), keyed(2, "k", &[(1, 1)]))).await;
    assert_eq!((again.unwrap().status, took.as_secs()), (OrderStatus::Pending, 2));
    let settled = shop.beside(&t, t.ask_as(ann(), keyed(3, "k", &[(1, 1)]))).await.unwrap();
    assert_eq!((settled.id, settled.status), (id(1), OrderStatus::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_before_its_deadline() {
    let (t, _) = waited_for(|_| {}).await;
    let client = t.client().on_behalf_of(ann()).within(Duration::from_millis(400));
    let (order, took) = timed(&t, t.run(client.ask(place(1, &[(1, 1)])))).await;
    assert_eq!((order.unwrap().status, took.as_millis() < 400), (OrderStatus::Pending, true));
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may() {
    let (t, shop) = waited_for(|settings| settings.waiting_most = 1).await;
    let client = t.client().on_behalf_of(ann());
    let both = t.run(async {
        tokio::join!(client.ask(place(1, &[(1, 1)])), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let started = client.env().now();
            (client.ask(place(2, &[(1, 1)])).await, client.env().now() - started)
        })
    });
    let (first, (second, took)) = both.await;
    assert_eq!((first.unwrap().status, second.unwrap().status), (OrderStatus::Pending, OrderStatus::Pending));
    assert!(took < Duration::from_millis(500), "{took:?}");
    shop.catch_up(&t).await;
    assert_eq!((status(&t, 1).await, status(&t, 2).await), (OrderStatus::Confirmed, OrderStatus::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_hears_of_a_cancellation_and_of_what_another_node_has_settled() {
    let (t, _) = waited_for(|_| {}).await;
    let client = t.client().on_behalf_of(ann());
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.ask(CancelOrder { id: id(1) }).await
    };
    let ((placed, cancelled), took) =
        timed(&t, t.run(async { tokio::join!(client.ask(place(1, &[(1, 1)])), cancel) })).await;
    assert_eq!((placed.unwrap().status, cancelled.unwrap().status), (OrderStatus::Cancelled, OrderStatus::Cancelled));
    assert!(took < Duration::from_secs(1), "{took:?}");
    let told = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.broadcast(OrderSettled { order_id: id(2) });
    };
    let ((looked, ()), took) = timed(&t, t.run(async { tokio::join!(client.ask(place(2, &[(1, 1)])), told) })).await;
    assert_eq!(looked.unwrap().status, OrderStatus::Pending, "it looks, and believes the table");
    assert!(took < Duration::from_secs(1), "{took:?}");
}
