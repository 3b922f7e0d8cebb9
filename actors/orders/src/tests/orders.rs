use super::*;

#[tokio::test(start_paused = true)]
async fn an_order_is_confirmed_with_its_stock_and_total() {
    let (t, shop) = orders().await;
    let order = settled(&t, &shop, place(1, &[(2, 2), (1, 1), (2, 1)])).await.unwrap();
    assert_eq!(
        (order.status, order.total_cents, order.currency.as_deref()),
        (OrderStatus::Confirmed, Some(850), Some("EUR"))
    );
    let lines: Vec<_> = order.lines.iter().map(|l| (l.product_id.clone(), l.quantity, l.unit_price_cents)).collect();
    assert_eq!(lines, [(id(2), 3, Some(250)), (id(1), 1, Some(100))]);
    assert_eq!((shop.stock(1), shop.stock(2)), (9, 7));
    assert_eq!(t.ask_as(ann(), GetOrder { id: id(1) }).await.unwrap(), order);
}

#[tokio::test(start_paused = true)]
async fn an_order_keeps_the_price_it_was_placed_at() {
    let (t, shop) = orders().await;
    let first = settled(&t, &shop, keyed(1, "k", &[(1, 1)])).await.unwrap();
    shop.set_price(1, 175);
    let second = settled(&t, &shop, place(2, &[(1, 1)])).await.unwrap();
    assert_eq!((first.total_cents, second.total_cents), (Some(100), Some(175)));
    assert_eq!(t.ask_as(ann(), GetOrder { id: id(1) }).await.unwrap(), first);
    assert_eq!(t.ask_as(ann(), keyed(3, "k", &[(1, 1)])).await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_cannot_be_is_rejected_for_its_reason_and_holds_no_stock() {
    let (t, shop) = orders().await;
    for (order, lines, reason) in [
        (1, &[(1, 11), (2, 1)][..], Rejection::InsufficientStock { product_ids: vec![id(1)] }),
        (2, &[(1, 1), (9, 1)], Rejection::UnknownProducts { product_ids: vec![id(9)] }),
        (3, &[(1, 1), (3, 1)], Rejection::MixedCurrencies),
        (4, &[(1, 1), (4, 2)], Rejection::TotalTooLarge),
    ] {
        assert_eq!(settled(&t, &shop, place(order, lines)).await, Err(rejected(order, reason.clone())));
        shop.catch_up(&t).await;
        let order = t.ask_as(ann(), GetOrder { id: id(order) }).await.unwrap();
        assert_eq!((order.status, order.rejection, order.total_cents), (OrderStatus::Rejected, Some(reason), None));
        assert_eq!((shop.stock(1), shop.stock(2), shop.stock(3), shop.stock(4)), (10, 10, 10, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_key_and_lines_give_the_same_order() {
    let (t, shop) = orders().await;
    let first = settled(&t, &shop, keyed(1, "k", &[(1, 2), (2, 1)])).await.unwrap();
    assert_eq!(t.ask_as(ann(), keyed(2, "k", &[(2, 1), (1, 2)])).await.unwrap(), first);
    assert_eq!(shop.stock(1), 8);
    let full = Rejection::InsufficientStock { product_ids: vec![id(1)] };
    assert_eq!(settled(&t, &shop, keyed(3, "no", &[(1, 99)])).await, Err(rejected(3, full.clone())));
    assert_eq!(t.ask_as(ann(), keyed(4, "no", &[(1, 99)])).await, Err(rejected(3, full)));
}

#[tokio::test(start_paused = true)]
async fn the_same_key_with_other_lines_is_refused() {
    let (t, shop) = orders().await;
    settled(&t, &shop, keyed(1, "k", &[(1, 2)])).await.unwrap();
    assert_eq!(t.ask_as(ann(), keyed(2, "k", &[(1, 3)])).await, Err(AskError::Rejected(OrderError::KeyReused)));
    assert_eq!(shop.stock(1), 8);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_each_customers_own() {
    let (t, shop) = orders().await;
    settled(&t, &shop, keyed(1, "k", &[(1, 2)])).await.unwrap();
    let bob = t.ask_as(Principal::new("bob", ["customer"]), keyed(2, "k", &[(1, 3)])).await.unwrap();
    shop.catch_up(&t).await;
    assert_eq!((bob.id, shop.stock(1)), (id(2), 5));
}

#[tokio::test(start_paused = true)]
async fn concurrent_attempts_with_one_key_place_one_order() {
    let (t, shop) = orders().await;
    let client = t.client().on_behalf_of(ann());
    let answers = t.run(join_all((1..=8).map(|n| client.ask(keyed(n, "k", &[(1, 1)]))))).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|a| a.as_ref() == Ok(first)), "{answers:?}");
    shop.catch_up(&t).await;
    assert_eq!((t.sent::<Reserve>().await.len(), shop.stock(1)), (1, 9));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_the_bus_repeats_places_one_order() {
    let (t, shop) = orders().await;
    let first = settled(&t, &shop, place(1, &[(1, 1)])).await.unwrap();
    assert_eq!(settled(&t, &shop, place(1, &[(1, 1)])).await.unwrap(), first);
    assert_eq!((t.sent::<Reserve>().await.len(), shop.stock(1)), (1, 9));
}

#[tokio::test(start_paused = true)]
async fn another_customers_order_does_not_exist() {
    let (t, shop) = orders().await;
    settled(&t, &shop, place(1, &[(1, 1)])).await.unwrap();
    let bob = || Principal::new("bob", ["customer", "admin"]);
    let hidden = AskError::Rejected(OrderError::NotFound);
    assert_eq!(t.ask_as(bob(), GetOrder { id: id(1) }).await, Err(hidden.clone()));
    assert_eq!(t.ask_as(bob(), CancelOrder { id: id(1) }).await, Err(hidden));
    assert_eq!(t.ask_as(bob(), ListOrders { limit: 10, cursor: None }).await.unwrap().items, []);
    assert_eq!((status(&t, 1).await, shop.stock(1)), (OrderStatus::Confirmed, 9));
    assert_eq!(t.ask(GetOrder { id: id(1) }).await, Err(AskError::Rejected(OrderError::Unauthenticated)));
}

#[tokio::test(start_paused = true)]
async fn cancelling_gives_the_stock_back_once() {
    let (t, shop) = orders().await;
    settled(&t, &shop, place(1, &[(1, 4)])).await.unwrap();
    let cancelled = t.ask_as(ann(), CancelOrder { id: id(1) }).await.unwrap();
    shop.catch_up(&t).await;
    assert_eq!((cancelled.status, shop.stock(1)), (OrderStatus::Cancelled, 10));
    assert_eq!(t.ask_as(ann(), CancelOrder { id: id(1) }).await.unwrap(), cancelled);
    assert_eq!((t.sent::<Release>().await.len(), t.published::<OrderCancelled>().await.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_order_cannot_be_cancelled() {
    let (t, shop) = orders().await;
    settled(&t, &shop, place(1, &[(1, 99)])).await.unwrap_err();
    let refused = OrderError::NotCancellable { status: OrderStatus::Rejected };
    assert_eq!(t.ask_as(ann(), CancelOrder { id: id(1) }).await, Err(AskError::Rejected(refused)));
}

#[tokio::test(start_paused = true)]
async fn pages_go_from_new_to_old_and_are_stable_while_orders_are_placed() {
    let (t, _) = orders().await;
    let ids = |page: &OrderPage| page.items.iter().map(|o| o.id.clone()).collect::<Vec<_>>();
    for n in 1..=5 {
        t.ask_as(ann(), place(n, &[(1, 1)])).await.unwrap();
    }
    let first = t.ask_as(ann(), ListOrders { limit: 2, cursor: None }).await.unwrap();
    assert_eq!(ids(&first), [id(5), id(4)]);
    t.ask_as(ann(), place(6, &[(1, 1)])).await.unwrap();
    let second = t.ask_as(ann(), ListOrders { limit: 2, cursor: first.next }).await.unwrap();
    assert_eq!(ids(&second), [id(3), id(2)]);
    let third = t.ask_as(ann(), ListOrders { limit: 2, cursor: second.next }).await.unwrap();
    assert_eq!((ids(&third), third.next), (vec![id(1)], None));
    let bad = ListOrders { limit: 2, cursor: Some("'".into()) };
    assert_eq!(t.ask_as(ann(), bad).await, Err(AskError::Rejected(OrderError::BadCursor)));
}
