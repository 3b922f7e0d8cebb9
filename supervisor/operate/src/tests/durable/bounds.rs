//! Slow handlers, full partitions, and subscribers that come late.

use essaim_contract::SendError;

use super::*;

#[tokio::test]
async fn a_slow_handler_holds_up_its_own_key_only() {
    let t = Stage::start(&["shop"], |_| {}).await;
    for (key, word) in [("a", "slow"), ("a", "after"), ("b", "beside"), ("b", "beside too")] {
        t.note(key, word).await;
    }
    assert_eq!(t.words("shop", 4).await, ["beside", "beside too", "slow", "after"]);
    assert_eq!(t.at_rest("shop").await, (4, 0, 0, 0));
}

#[tokio::test]
async fn a_full_partition_refuses_its_senders_and_takes_more_once_there_is_room() {
    let t = Stage::start(&["till"], |s| (s.durable.partition_messages, s.durable.partitions) = (5, 1)).await;
    for _ in 0..5 {
        t.note("a", "waits").await;
    }
    let refused = t.run(t.client().send(note("a", "too many"))).await.unwrap_err();
    assert!(matches!(&refused, SendError::Full { capability, .. } if capability == "shop"), "{refused}");
    let t = Stage::again(t.end().await, &["shop", "till"], |s| s.durable.partition_messages = 5).await;
    assert_eq!(t.words("shop", 5).await.len(), 5);
    t.at_rest("shop").await;
    t.note("a", "again").await;
    t.words("shop", 6).await;
}

#[tokio::test]
async fn what_waits_for_another_try_takes_room_and_what_is_done_about_dead_letters_needs_none() {
    let few = |s: &mut Settings| {
        (s.durable.partition_messages, s.durable.partitions) = (3, 1);
        s.durable.after_dead = AfterDead::Hold;
    };
    let t = Stage::start(&["shop"], few).await;
    let dead = t.note("a", "reject").await;
    for word in ["one", "two", "three"] {
        while t.run(t.client().send(note("a", word))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    // They have left the log and wait in the database, behind the letter.
    let full = async {
        loop {
            match t.client().send(note("b", "more")).await {
                Err(SendError::Full { bound, .. }) => return bound,
                Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    let bound = t.run(full).await;
    assert!(bound.contains("durable.partition_messages = 3"), "{bound}");
    let drop = crate::api::DropDead { ids: vec![dead.to_string()], capability: None };
    assert_eq!(t.run(t.operate(drop)).await.done.len(), 1);
    t.words("shop", 3).await;
    t.at_rest("shop").await;
    t.note("b", "room").await;
}

#[tokio::test]
async fn what_an_absent_subscriber_has_no_room_for_waits_on_disk_in_its_order_and_stops_nobody() {
    let few = |s: &mut Settings| (s.durable.partition_messages, s.durable.partitions) = (4, 1);
    let t = Stage::start(&["shop", "till"], few).await;
    t.note("a", "00").await;
    t.words("till", 1).await;
    let t = Stage::again(t.end().await, &["shop"], few).await;
    for number in 1..20 {
        while t.run(t.client().send(note("a", &format!("{number:02}")))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    t.words("shop", 20).await;
    let t = Stage::again(t.end().await, &["shop", "till"], few).await;
    let mut expected: Vec<_> = (0..20).map(|number| format!("{number:02}")).collect();
    let mut words = t.words("till", 20).await;
    assert_eq!(words.len(), 20, "each once");
    // Events without a key are in no order, but none may be missing.
    words.sort();
    expected.sort();
    assert_eq!(words, expected);
    assert_eq!(t.at_rest("till").await.0, 20);
}

#[tokio::test]
async fn a_new_subscriber_gets_what_is_published_from_its_first_start_on() {
    let t = Stage::start(&["shop"], |_| {}).await;
    t.note("a", "before").await;
    t.words("shop", 1).await;
    // An event is for those who subscribe when it is relayed.
    t.run(super::relay::empty(&t.database("shop"))).await;
    let t = Stage::again(t.end().await, &["shop", "till"], |_| {}).await;
    t.note("a", "after").await;
    assert_eq!(t.words("till", 1).await, ["after"]);
}

#[tokio::test]
async fn an_owner_that_ends_late_leaves_its_successor_what_it_reads() {
    let t = Stage::start(&["till"], |s| s.durable.partitions = 1).await;
    t.note("a", "one").await;
    let partition = essaim_protocol::log::Partition { capability: "shop".into(), number: 0 };
    let reader = t.node.bus().durable().unwrap().reader.clone();
    let read = t.run(async {
        let (old, _, _) = reader.subscribe(&partition);
        let (_new, mut entries, _) = reader.subscribe(&partition);
        drop(old);
        entries.recv().await
    });
    assert_eq!(read.await.map(|entry| entry.count), Some(1));
}

#[tokio::test]
async fn what_can_never_be_stored_says_so() {
    let t = Stage::start(&["shop"], |s| s.wire.max_message_bytes = 2_000).await;
    for (key, word) in [("a", "w".repeat(3_000)), ("k".repeat(600).as_str(), "fine".into()), ("a\0b", "fine".into())] {
        let refused = t.run(t.client().send(note(key, &word))).await.unwrap_err();
        assert!(matches!(refused, SendError::Invalid { .. }), "{refused}");
    }
    t.note("a", "fine").await;
    assert_eq!(t.words("shop", 1).await, ["fine"]);
}

#[tokio::test]
async fn a_full_inbox_holds_back_and_forgets_nothing_early() {
    let t = Stage::start(&["shop"], |s| s.durable.inbox_ids = 3).await;
    for number in 0..6 {
        t.note("a", &number.to_string()).await;
    }
    t.words("shop", 3).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let words = t.words("shop", 3).await.len();
    assert!((3..6).contains(&words), "{words} of 6 were applied though 3 may be remembered");
}
