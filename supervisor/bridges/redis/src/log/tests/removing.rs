//! Acknowledging many entries at a time.

use super::*;

#[tokio::test]
async fn entries_go_in_any_order_with_gaps_and_named_twice() {
    let Some(log) = log().await else { return };
    log.register("shop", 1, &[]).await.unwrap();
    let version = log.registry().await.unwrap().version;
    let epoch = log.heartbeat(&heartbeat("a:1")).await.unwrap()[0].epoch;
    let appends: Vec<_> = (0..300).map(|n| append(0, n % 3 + 1, &n.to_string())).collect();
    log.append(version, u64::MAX, &appends).await.unwrap();
    let read = entries(&log, 0, Position::default(), LONG).await;
    let messages = |entries: &[&Entry]| entries.iter().map(|e| u64::from(e.count)).sum::<u64>();

    let (every_second, others): (Vec<_>, Vec<_>) = read.iter().partition(|e| e.first % 4 < 2);
    let mut positions: Vec<_> = every_second.iter().map(|e| e.position).collect();
    positions.extend_from_within(..50);
    positions.push(Position(1, 1));
    assert_eq!(acknowledge(&log, 0, epoch, positions.clone()).await, Acknowledged::Done);
    let left = entries(&log, 0, Position::default(), LONG).await;
    assert_eq!(left.iter().collect::<Vec<_>>(), others);
    let full = log.append(version, 1, &[append(0, 1, "no")]).await.unwrap();
    assert_eq!(full, [Appended::Full { waiting: messages(&others) }]);

    let backwards = left.iter().rev().map(|e| e.position).collect();
    assert_eq!(acknowledge(&log, 0, epoch, backwards).await, Acknowledged::Done);
    assert_eq!(log.append(version, 1, &[append(0, 1, "yes")]).await.unwrap(), [Appended::Stored { first: 600 }]);
    assert_eq!(log.counts("shop").await.unwrap()[0].waiting, 1);
}

#[tokio::test]
async fn a_partition_is_measured_page_by_page() {
    let Some(log) = log().await else { return };
    log.register("shop", 1, &[]).await.unwrap();
    let version = log.registry().await.unwrap().version;
    for size in [1, 200_000] {
        let appends: Vec<_> = (0..100).map(|_| append(0, 2, &"x".repeat(size))).collect();
        log.append(version, u64::MAX, &appends).await.unwrap();
    }
    let count = log.counts("shop").await.unwrap().remove(0);
    assert_eq!((count.waiting, count.appended, count.owner), (400, 400, None));
}
