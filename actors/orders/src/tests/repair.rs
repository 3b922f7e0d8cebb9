use super::*;

/// Orders with the repair of every day; the clock is paused, so nobody waits for it.
async fn repaired() -> (Stage<OrdersActor>, Shop, mpsc::UnboundedReceiver<String>) {
    let (shop, released) = Shop::open();
    (orders_with(&shop, OrdersSettings::default()).await, shop, released)
}

#[tokio::test(start_paused = true)]
async fn an_order_left_half_way_is_rejected_and_its_stock_released() {
    for mishap in [CrashBefore, CrashAfter, LostBefore, LostAfter, NotDelivered, Failed] {
        let (t, shop, mut released) = repaired().await;
        shop.next_reserves(&[mishap]);
        t.ask_as(ann(), keyed(1, "k", &[(1, 4)])).await.unwrap_err();
        assert_eq!(t.run(released.recv()).await, Some(id(1)));
        assert_eq!((status(&t, 1).await, shop.stock(1)), (OrderStatus::Rejected, 10));
        let again = t.ask_as(ann(), keyed(2, "k", &[(1, 4)])).await;
        assert_eq!(again, Err(rejected(1, Rejection::Abandoned)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_asker_is_told_is_what_is_known() {
    let (t, shop) = orders().await;
    shop.next_reserves(&[NotDelivered, Failed, LostAfter, CrashAfter]);
    for order in [1, 2] {
        let told = t.ask_as(ann(), place(order, &[(1, 1)])).await;
        assert_eq!(told, Err(AskError::Rejected(OrderError::CatalogUnavailable { order_id: id(order) })));
    }
    for order in [3, 4] {
        let told = t.ask_as(ann(), place(order, &[(1, 1)])).await;
        assert!(matches!(told, Err(AskError::Unknown(_))), "{told:?}");
        assert_eq!(status(&t, order).await, OrderStatus::Pending);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_key_goes_on_with_an_order_left_half_way() {
    for mishap in [CrashBefore, CrashAfter, LostBefore, LostAfter, NotDelivered, Failed] {
        let (t, shop) = orders().await;
        shop.next_reserves(&[mishap]);
        t.ask_as(ann(), keyed(1, "k", &[(1, 4)])).await.unwrap_err();
        let other = t.ask_as(ann(), keyed(2, "k", &[(1, 5)])).await;
        assert_eq!(other, Err(AskError::Rejected(OrderError::KeyReused)));
        let order = t.ask_as(ann(), keyed(3, "k", &[(1, 4)])).await.unwrap();
        assert_eq!((order.id, order.status, shop.stock(1)), (id(1), OrderStatus::Confirmed, 6));
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_left_half_way_can_be_cancelled() {
    for mishap in [CrashBefore, CrashAfter] {
        let (t, shop) = orders().await;
        shop.next_reserves(&[mishap]);
        t.ask_as(ann(), keyed(1, "k", &[(1, 4)])).await.unwrap_err();
        t.ask_as(ann(), CancelOrder { id: id(1) }).await.unwrap();
        let again = t.ask_as(ann(), keyed(2, "k", &[(1, 4)])).await.unwrap();
        assert_eq!((again.status, shop.stock(1)), (OrderStatus::Cancelled, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_left_half_way_is_finished() {
    for mishap in [CrashBefore, CrashAfter, LostBefore, LostAfter, NotDelivered, Failed] {
        let (t, shop, mut released) = repaired().await;
        t.ask_as(ann(), place(1, &[(1, 4)])).await.unwrap();
        // Twice, so that the repair meets it too.
        shop.next_releases(&[mishap, mishap]);
        let _ = t.ask_as(ann(), CancelOrder { id: id(1) }).await;
        assert_eq!(t.run(released.recv()).await, Some(id(1)));
        assert_eq!((status(&t, 1).await, shop.stock(1)), (OrderStatus::Cancelled, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_holds_while_catalog_is_away() {
    let (t, shop) = orders().await;
    t.ask_as(ann(), place(1, &[(1, 4)])).await.unwrap();
    shop.next_releases(&[NotDelivered]);
    let cancelled = t.ask_as(ann(), CancelOrder { id: id(1) }).await.unwrap();
    assert_eq!((cancelled.status, shop.stock(1)), (OrderStatus::Cancelled, 6));
    t.ask_as(ann(), CancelOrder { id: id(1) }).await.unwrap();
    assert_eq!(shop.stock(1), 10, "asking again does not wait for the repair");
}

#[tokio::test(start_paused = true)]
async fn stock_reserved_for_an_order_that_is_then_rejected_is_released() {
    for mishap in [CrashBefore, CrashAfter, LostBefore, LostAfter, NotDelivered, Failed] {
        let (t, shop, mut released) = repaired().await;
        shop.next_releases(&[mishap]);
        t.ask_as(ann(), place(1, &[(1, 1), (3, 1)])).await.unwrap_err();
        assert_eq!(t.run(released.recv()).await, Some(id(1)));
        assert_eq!((status(&t, 1).await, shop.stock(1), shop.stock(3)), (OrderStatus::Rejected, 10, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn the_repair_leaves_finished_orders_alone() {
    let (t, shop, mut released) = repaired().await;
    t.ask_as(ann(), place(1, &[(1, 1)])).await.unwrap();
    t.ask_as(ann(), place(2, &[(1, 99)])).await.unwrap_err();
    // Once the third order was repaired, the others have been passed over.
    shop.next_reserves(&[LostAfter]);
    t.ask_as(ann(), place(3, &[(1, 1)])).await.unwrap_err();
    assert_eq!(t.run(released.recv()).await, Some(id(3)));
    assert_eq!((status(&t, 1).await, shop.stock(1)), (OrderStatus::Confirmed, 9));
}
