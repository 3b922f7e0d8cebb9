//! Messages on their way out.

use super::{AWKWARD, in_a_transaction};
use crate::tables::numbers;
use crate::tables::outbox::{self, OutboxExtent, OutboxRow};

fn message(number: u64) -> OutboxRow {
    let target = number.is_multiple_of(2).then(|| "orders".to_string());
    OutboxRow { event: number % 2 == 1, target, record: number.to_le_bytes().to_vec() }
}

fn messages(count: u64) -> Vec<OutboxRow> {
    (1..=count).map(message).collect()
}

fn numbers(loaded: &[(u64, OutboxRow)]) -> Vec<u64> {
    loaded.iter().map(|(seq, _)| *seq).collect()
}

#[tokio::test]
async fn a_lane_is_loaded_in_order_and_in_parts() {
    in_a_transaction(async |tx| {
        outbox::insert(tx, "p0", 1, &messages(0)).await.unwrap();
        outbox::insert(tx, "p0", 1, &messages(1)).await.unwrap();
        outbox::insert(tx, "p1", 1, &messages(1_000)).await.unwrap();
        assert_eq!(outbox::load(tx, "p0", 0, 10).await.unwrap(), [(1, message(1))]);
        let (mut after, mut all) = (0, Vec::new());
        while let Some(part) = Some(outbox::load(tx, "p1", after, 300).await.unwrap()).filter(|p| !p.is_empty()) {
            after = part.last().unwrap().0;
            all.extend(part);
        }
        assert_eq!(all, (1..=1_000).map(|n| (n, message(n))).collect::<Vec<_>>());
        assert_eq!(outbox::count(tx, 10_000).await.unwrap(), 1_001);
        assert_eq!(outbox::count(tx, 1_000).await.unwrap(), 1_000, "it is not counted further");
    })
    .await;
}

#[tokio::test]
async fn a_page_has_so_many_messages_and_so_many_bytes_about_and_one_in_any_case() {
    in_a_transaction(async |tx| {
        let sizes = [900, 10, 10, 10, 0, 2_000, 10];
        let sized = |size: &usize| OutboxRow { event: false, target: None, record: vec![1; *size] };
        outbox::insert(tx, "a", 1, &sizes.iter().map(sized).collect::<Vec<_>>()).await.unwrap();
        let page = async |most, most_bytes| numbers(&outbox::page(tx, "a", most, most_bytes).await.unwrap());
        assert_eq!(page(256, 1_000_000).await, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(page(4, 1_000_000).await, [1, 2, 3, 4]);
        assert_eq!(page(4, 900).await, [1, 2]);
        assert_eq!(page(256, 1).await, [1]);
        assert_eq!(page(1, 1).await, [1]);
        assert!(outbox::page(tx, "b", 256, 1).await.unwrap().is_empty());
        outbox::remove(tx, "a", &[1, 6]).await.unwrap();
        assert_eq!(page(256, 40).await, [2, 3, 4, 5, 7]);
    })
    .await;
}

#[tokio::test]
async fn what_was_stored_goes_one_by_one() {
    in_a_transaction(async |tx| {
        outbox::insert(tx, "a", 1, &messages(1_000)).await.unwrap();
        outbox::insert(tx, "b", 1, &messages(3)).await.unwrap();
        let odd: Vec<u64> = (0..=1_000).filter(|n| n % 2 == 1).collect();
        assert_eq!(outbox::remove(tx, "a", &odd).await.unwrap(), 500);
        assert_eq!(outbox::remove(tx, "a", &[]).await.unwrap(), 0);
        let first = outbox::load(tx, "a", 0, 2).await.unwrap();
        assert_eq!(numbers(&first), [2, 4]);
        assert_eq!(outbox::queues(tx).await.unwrap(), ["a", "b"]);
        let extent = async |queue, most| outbox::extent(tx, queue, most).await.unwrap();
        assert_eq!(extent("a", u64::MAX).await, OutboxExtent { last: 1_000, count: 500 });
        assert_eq!(extent("a", 99).await, OutboxExtent { last: 1_000, count: 99 });
        assert_eq!(
            (extent("b", 99).await, extent("c", 99).await),
            (OutboxExtent { last: 3, count: 3 }, OutboxExtent::default())
        );
    })
    .await;
}

#[tokio::test]
async fn awkward_lanes_and_empty_or_large_records_come_back() {
    in_a_transaction(async |tx| {
        for (queue, size) in AWKWARD.into_iter().zip([0, 1, 255, 100_000, 1_000_000]) {
            let sent = OutboxRow { event: false, target: Some(queue.into()), record: vec![0xff; size] };
            outbox::insert(tx, queue, 1, std::slice::from_ref(&sent)).await.unwrap();
            assert_eq!(outbox::load(tx, queue, 0, 2).await.unwrap(), [(1, sent)]);
        }
        let mut sorted = AWKWARD;
        sorted.sort_unstable();
        assert_eq!(outbox::queues(tx).await.unwrap(), sorted, "byte by byte, as here");
    })
    .await;
}

#[tokio::test]
async fn of_the_numbers_that_are_used_up_the_highest_stays() {
    in_a_transaction(async |tx| {
        assert_eq!(numbers::through(tx, "a").await.unwrap(), 0);
        for (through, noted) in [(7, 7), (3, 7), (u64::MAX >> 1, u64::MAX >> 1)] {
            numbers::use_up(tx, "a", through).await.unwrap();
            assert_eq!(numbers::through(tx, "a").await.unwrap(), noted);
        }
        assert_eq!(numbers::through(tx, "b").await.unwrap(), 0);
    })
    .await;
}
