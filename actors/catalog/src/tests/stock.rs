use super::*;

fn reserve(order: u32, lines: &[(u32, i64)]) -> Reserve {
    let line = |(n, quantity): &(u32, i64)| ReserveLine { product_id: id(*n), quantity: *quantity };
    Reserve { order_id: format!("order-{order}"), lines: lines.iter().map(line).collect() }
}

fn release(order: u32) -> Release {
    Release { order_id: format!("order-{order}") }
}

/// Reserves, and what catalog says to it.
async fn reserved(t: &Stage<CatalogActor>, order: u32, lines: &[(u32, i64)]) -> Result<Vec<PricedLine>, Refusal> {
    let taken = |answers: &[Result<_, Refusal>]| answers.iter().filter(|answer| answer.is_ok()).count();
    let before = answers(t, order).await;
    t.deliver(reserve(order, lines)).await.unwrap();
    let after = answers(t, order).await;
    assert_eq!(after.len(), before.len() + 1, "each reservation has one answer");
    match taken(&after) {
        now if now > taken(&before) => after[now - 1].clone(),
        _ => after[after.len() - 1].clone(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_reservation_takes_stock_and_names_prices_in_the_order_of_its_lines() {
    let t = catalog().await;
    create(&t, new(1, 100, 5)).await;
    create(&t, new(2, 200, 5)).await;
    let priced = reserved(&t, 1, &[(2, 3), (1, 1)]).await.unwrap();
    let prices: Vec<_> = priced.iter().map(|l| (l.product_id.clone(), l.quantity, l.unit_price_cents)).collect();
    assert_eq!(prices, [(id(2), 3, 200), (id(1), 1, 100)]);
    assert_eq!((stock(&t, 1).await, stock(&t, 2).await), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn concurrent_orders_never_take_more_than_there_is() {
    let t = catalog().await;
    create(&t, new(1, 100, 10)).await;
    create(&t, new(2, 100, 1_000)).await;
    let orders = (0..30).map(|n| t.deliver(reserve(n, if n % 2 == 0 { &[(1, 1), (2, 1)] } else { &[(2, 1), (1, 1)] })));
    assert!(join_all(orders).await.iter().all(Result::is_ok));
    let short = Refusal::Insufficient { product_ids: vec![id(1)] };
    let refused = t.published::<StockRefused>().await;
    assert_eq!(t.published::<StockReserved>().await.len(), 10);
    assert_eq!(refused.iter().filter(|e| e.reason == short).count(), 20, "{refused:?}");
    assert_eq!((stock(&t, 1).await, stock(&t, 2).await), (0, 990));
}

#[tokio::test(start_paused = true)]
async fn an_order_takes_all_its_lines_or_none() {
    let t = catalog().await;
    create(&t, new(1, 100, 5)).await;
    create(&t, new(2, 100, 1)).await;
    create(&t, new(3, 100, 0)).await;
    let short = Refusal::Insufficient { product_ids: vec![id(2), id(3)] };
    assert_eq!(reserved(&t, 1, &[(1, 5), (2, 2), (3, 1)]).await, Err(short));
    assert_eq!(stock(&t, 1).await, 5);
    let unknown = Refusal::UnknownProducts { product_ids: vec![id(8), id(9)] };
    assert_eq!(reserved(&t, 2, &[(1, 1), (3, 1), (8, 1), (9, 1)]).await, Err(unknown));
    assert_eq!(stock(&t, 1).await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_comes_twice_takes_and_answers_once() {
    let t = catalog().await;
    create(&t, new(1, 100, 5)).await;
    t.deliver_twice(reserve(1, &[(1, 2)])).await.unwrap();
    assert_eq!((stock(&t, 1).await, answers(&t, 1).await.len()), (3, 1));
    t.deliver_twice(release(1)).await.unwrap();
    assert_eq!(stock(&t, 1).await, 5);
}

#[tokio::test(start_paused = true)]
async fn asking_again_for_an_order_gives_the_first_answer_at_the_first_price() {
    let t = catalog().await;
    create(&t, new(1, 100, 5)).await;
    let first = reserved(&t, 1, &[(1, 5)]).await.unwrap();
    t.ask_as(admin(), UpdateProduct { id: id(1), price_cents: Some(999), ..Default::default() }).await.unwrap();
    assert_eq!(reserved(&t, 1, &[(1, 5)]).await.unwrap(), first);
    assert_eq!(stock(&t, 1).await, 0);
    assert_eq!(reserved(&t, 1, &[(1, 4)]).await, Err(Refusal::OtherLines));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_when_stock_has_come() {
    let t = catalog().await;
    create(&t, new(1, 100, 0)).await;
    let refused = reserved(&t, 1, &[(1, 1)]).await;
    assert_eq!(refused, Err(Refusal::Insufficient { product_ids: vec![id(1)] }));
    t.ask_as(admin(), SetStock { id: id(1), stock: 1 }).await.unwrap();
    assert_eq!(reserved(&t, 1, &[(1, 1)]).await, refused);
    assert_eq!(stock(&t, 1).await, 1);
    reserved(&t, 2, &[(1, 1)]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stock_is_given_back_once() {
    let t = catalog().await;
    create(&t, new(1, 100, 5)).await;
    create(&t, new(2, 100, 5)).await;
    reserved(&t, 1, &[(1, 2), (2, 3)]).await.unwrap();
    t.deliver(release(1)).await.unwrap();
    t.deliver(release(1)).await.unwrap();
    assert_eq!((stock(&t, 1).await, stock(&t, 2).await), (5, 5));
    assert_eq!(reserved(&t, 1, &[(1, 2), (2, 3)]).await, Err(Refusal::Released));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_comes_first_makes_the_reservation_take_nothing() {
    let t = catalog().await;
    create(&t, new(1, 100, 5)).await;
    t.deliver(release(1)).await.unwrap();
    assert_eq!(reserved(&t, 1, &[(1, 1)]).await, Err(Refusal::Released));
    assert_eq!(stock(&t, 1).await, 5);
}

#[tokio::test(start_paused = true)]
async fn releasing_a_refused_order_gives_nothing() {
    let t = catalog().await;
    create(&t, new(1, 100, 0)).await;
    let refused = reserved(&t, 1, &[(1, 1)]).await;
    t.deliver(release(1)).await.unwrap();
    assert_eq!(stock(&t, 1).await, 0);
    assert_eq!(reserved(&t, 1, &[(1, 1)]).await, refused);
}

#[tokio::test(start_paused = true)]
async fn repeated_and_crossing_messages_of_one_order_keep_the_balance() {
    let t = catalog().await;
    create(&t, new(1, 100, 50)).await;
    let reserves = (0..10).flat_map(|n| [t.deliver(reserve(n, &[(1, 2)])), t.deliver(reserve(n, &[(1, 2)]))]);
    let releases = (0..5).flat_map(|n| [t.deliver(release(n)), t.deliver(release(n))]);
    let (taken, given) = tokio::join!(join_all(reserves), join_all(releases));
    assert!(taken.iter().chain(&given).all(Result::is_ok), "{taken:?} {given:?}");
    for n in 5..10 {
        let pair = answers(&t, n).await;
        assert!(pair.len() == 2 && pair[0].is_ok() && pair[0] == pair[1], "{pair:?}");
    }
    assert_eq!(stock(&t, 1).await, 40, "five orders hold two pieces each");
}

#[tokio::test(start_paused = true)]
async fn lines_out_of_bounds_are_refused() {
    let t = catalog().await;
    create(&t, new(1, 100, 50)).await;
    let many: Vec<_> = (0..=MAX_LINES as u32).map(|n| (n, 1)).collect();
    for (order, lines) in
        (0..).zip([&[][..], &[(1, 0)], &[(1, -1)], &[(1, MAX_QUANTITY + 1)], &[(1, 1), (1, 1)], &many])
    {
        let answer = reserved(&t, order, lines).await;
        assert!(matches!(answer, Err(Refusal::Invalid { .. })), "{lines:?}: {answer:?}");
    }
    assert_eq!(stock(&t, 1).await, 50);
}
