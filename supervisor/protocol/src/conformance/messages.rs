//! Appending and reading.

use futures_util::future::{join, join_all};

use super::*;

pub async fn entries_are_read_in_order_until_they_are_acknowledged(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let epochs = own_all(log, "a", SURELY).await;
    for text in ["one", "two", "three"] {
        append(log, &[messages(0, 1, text)]).await;
    }
    let read_all = read(log, 0).await;
    assert_eq!(texts(&read_all), ["one", "two", "three"]);
    assert!(read_all.is_sorted_by(|a, b| a.position < b.position), "{read_all:?}");
    assert_eq!(read(log, 0).await, read_all, "reading changes nothing");
    let done = log.acknowledge(&[acknowledge(0, epochs[0], &[read_all[1].position])]).await.unwrap();
    assert_eq!(done, [Acknowledged::Done]);
    assert_eq!(texts(&read(log, 0).await), ["one", "three"]);
}

pub async fn offsets_go_on_when_everything_is_acknowledged(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let epochs = own_all(log, "a", SURELY).await;
    assert_eq!(append(log, &[messages(0, 3, "a")]).await, [Appended::Stored { first: 0 }]);
    assert_eq!(append(log, &[messages(0, 2, "b")]).await, [Appended::Stored { first: 3 }]);
    let before = read(log, 0).await;
    assert_eq!(before.iter().map(|e| (e.first, e.count)).collect::<Vec<_>>(), [(0, 3), (3, 2)]);
    let positions: Vec<_> = before.iter().map(|entry| entry.position).collect();
    log.acknowledge(&[acknowledge(0, epochs[0], &positions)]).await.unwrap();
    assert_eq!(append(log, &[messages(0, 1, "c")]).await, [Appended::Stored { first: 5 }]);
    let after = read(log, 0).await;
    assert!(after.len() == 1 && after[0].position > positions[1], "no position is used again: {after:?}");
}

pub async fn partitions_are_queues_of_their_own(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 3).await;
    let stored = append(log, &[messages(0, 1, "a"), messages(2, 1, "b"), messages(0, 1, "c")]).await;
    assert_eq!(stored, [0, 0, 1].map(|first| Appended::Stored { first }));
    let reading = |number| Reading { partition: partition(number), after: Position::default(), most: 9 };
    let mut found = log.read(&[reading(0), reading(1), reading(2)], SURELY).await.unwrap();
    found.sort_by_key(|(partition, _)| partition.number);
    let found: Vec<_> = found.iter().map(|(p, entries)| (p.number, texts(entries))).collect();
    assert_eq!(found, [(0, vec!["a", "c"]), (2, vec!["b"])]);
}

pub async fn no_more_entries_are_read_than_wanted(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    append(log, &["a", "b", "c", "d", "e"].map(|text| messages(0, 1, text))).await;
    let mut reading = Reading { partition: partition(0), after: Position::default(), most: 2 };
    let mut parts = Vec::new();
    for _ in 0..3 {
        let entries = log.read(std::slice::from_ref(&reading), SURELY).await.unwrap().remove(0).1;
        reading.after = entries.last().unwrap().position;
        parts.push(texts(&entries).concat());
    }
    assert_eq!(parts, ["ab", "cd", "e"]);
}

pub async fn a_reader_wakes_up_when_something_is_appended(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 2).await;
    append(log, &[messages(0, 1, "before")]).await;
    let after = read(log, 0).await[0].position;
    let reading = |number, after| Reading { partition: partition(number), after, most: 9 };
    let readings = [reading(0, after), reading(1, Position::default())];
    let (found, _) = join(log.read(&readings, SURELY), async { append(log, &[messages(1, 1, "now")]).await }).await;
    let found = found.unwrap();
    assert_eq!((found.len(), found[0].0.number, texts(&found[0].1)), (1, 1, vec!["now"]));
}

pub async fn a_reader_that_waits_in_vain_gets_nothing(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let epochs = own_all(log, "a", SURELY).await;
    append(log, &[messages(0, 1, "gone")]).await;
    let position = read(log, 0).await[0].position;
    log.acknowledge(&[acknowledge(0, epochs[0], &[position])]).await.unwrap();
    let reading = Reading { partition: partition(0), after: Position::default(), most: 9 };
    assert_eq!(log.read(&[reading], Duration::from_millis(20)).await.unwrap(), []);
}

pub async fn a_full_partition_takes_nothing_and_others_of_the_call_do(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 2).await;
    let epochs = own_all(log, "a", SURELY).await;
    let version = log.registry().await.unwrap().version;
    let appends = [messages(0, 3, "a"), messages(1, 1, "b"), messages(0, 1, "c"), messages(1, 1, "d")];
    let stored = log.append(version, 2, &appends).await.unwrap();
    let first = |first| Appended::Stored { first };
    assert_eq!(stored, [first(0), first(0), Appended::Full { waiting: 3 }, first(1)]);
    assert_eq!(texts(&read(log, 0).await), ["a"]);
    let position = read(log, 0).await[0].position;
    log.acknowledge(&[acknowledge(0, epochs[0], &[position])]).await.unwrap();
    assert_eq!(log.append(version, 2, &[messages(0, 1, "e")]).await.unwrap(), [first(3)]);
}

pub async fn what_is_parked_takes_room_and_what_is_urgent_needs_none(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let epochs = own_all(log, "a", SURELY).await;
    let version = log.registry().await.unwrap().version;
    let parked = |parked| Acknowledge { parked, ..acknowledge(0, epochs[0], &[]) };
    log.acknowledge(&[parked(2)]).await.unwrap();
    assert_eq!(log.append(version, 2, &[messages(0, 1, "a")]).await.unwrap(), [Appended::Full { waiting: 2 }]);
    let urgent = Append { urgent: true, ..messages(0, 1, "b") };
    assert_eq!(log.append(version, 2, &[urgent]).await.unwrap(), [Appended::Stored { first: 0 }]);
    log.acknowledge(&[parked(0)]).await.unwrap();
    assert_eq!(log.append(version, 2, &[messages(0, 1, "c")]).await.unwrap(), [Appended::Stored { first: 1 }]);
    assert_eq!(texts(&read(log, 0).await), ["b", "c"]);
    assert_eq!(count(log, 0).await.waiting, 2, "what is parked is not in the log");
}

pub async fn a_sender_that_knows_an_older_registry_stores_nothing(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let version = log.registry().await.unwrap().version;
    log.register("stock", 1, &[("shop.sold.v1".into(), Subscription::default())]).await.unwrap();
    let stale = log.append(version, MUCH, &[messages(0, 1, "a")]).await;
    assert_eq!(stale, Err(AppendError::Stale));
    assert_eq!((read(log, 0).await, count(log, 0).await.appended), (vec![], 0));
    assert_eq!(append(log, &[messages(0, 1, "b")]).await, [Appended::Stored { first: 0 }]);
}

pub async fn senders_at_once_lose_nothing_and_share_no_offset(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 2).await;
    let sends = (0..100).map(|n| async move { (n, append(log, &[messages(n % 2, 2, &n.to_string())]).await) });
    let mut offsets = [Vec::new(), Vec::new()];
    for (n, stored) in join_all(sends).await {
        let Appended::Stored { first } = stored[0] else { panic!("{stored:?}") };
        offsets[n as usize % 2].push((first, n.to_string()));
    }
    for (number, offsets) in (0..).zip(&mut offsets) {
        offsets.sort();
        let entries: Vec<_> = read(log, number).await;
        let read: Vec<_> = entries.iter().zip(texts(&entries)).map(|(e, text)| (e.first, text.to_string())).collect();
        assert_eq!(&read, offsets);
        assert!(read.iter().zip(0..).all(|((first, _), n)| *first == 2 * n), "{read:?}");
    }
}
