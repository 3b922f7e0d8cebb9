//! Events that are kept.

use super::{AWKWARD, in_a_transaction};
use crate::tables::retained::{self, BackfillMark, RetainedEvent};

fn event(seq: u64, event: &str, until_ms: u64) -> RetainedEvent {
    RetainedEvent { seq, event: event.into(), until_ms, record: seq.to_le_bytes().to_vec() }
}

#[tokio::test]
async fn what_is_kept_comes_back_by_kind_in_order_until_its_time_is_over() {
    in_a_transaction(async |tx| {
        let all: Vec<_> =
            (1..=600).map(|seq| event(seq, if seq % 2 == 0 { "even" } else { "odd" }, 100 + seq)).collect();
        retained::retain(tx, "a", &all).await.unwrap();
        retained::retain(tx, "a", &all[..3]).await.unwrap();
        retained::retain(tx, "b", &[event(1, "odd", 9)]).await.unwrap();
        let numbers = async |after, most| {
            let found = retained::load(tx, "a", "odd", after, (most, u64::MAX)).await.unwrap();
            found.into_iter().map(|(seq, record)| (seq, record == seq.to_le_bytes())).collect::<Vec<_>>()
        };
        assert_eq!(numbers(3, 2).await, [(5, true), (7, true)]);
        assert_eq!(numbers(0, 1_000).await.len(), 300);
        let few = retained::load(tx, "a", "odd", 3, (1_000, 24)).await.unwrap();
        assert_eq!(few.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [5, 7, 9, 11], "24 bytes and one more");
        let mut queues = retained::queues(tx).await.unwrap();
        queues.sort();
        assert_eq!(queues, ["a", "b"]);
        assert_eq!(retained::prune(tx, 105, 2).await.unwrap(), 2, "the oldest first");
        assert_eq!(retained::queues(tx).await.unwrap(), ["a"]);
        assert_eq!(retained::prune(tx, 105, 99).await.unwrap(), 3);
        assert_eq!(numbers(0, 1).await, [(5, true)]);
    })
    .await;
}

#[tokio::test]
async fn how_far_a_subscription_has_come_is_known_for_itself_alone() {
    in_a_transaction(async |tx| {
        for word in AWKWARD {
            let mark = |since, through| BackfillMark { queue: word, event: word, subscriber: word, since, through };
            let through = async |since| retained::through(tx, word, word, word, since).await.unwrap();
            assert_eq!(through(7).await, 0);
            retained::mark(tx, &mark(7, 5)).await.unwrap();
            retained::mark(tx, &mark(7, retained::ALL)).await.unwrap();
            assert_eq!((through(7).await, through(8).await), (retained::ALL, 0));
            retained::mark(tx, &mark(8, 1)).await.unwrap();
            assert_eq!((through(7).await, through(8).await), (0, 1), "the later one has taken its place");
        }
    })
    .await;
}

#[tokio::test]
async fn marks_of_lanes_that_are_gone_are_forgotten() {
    in_a_transaction(async |tx| {
        for queue in ["n/own", "n/empty", "n/kept", "p/0"] {
            retained::mark(tx, &BackfillMark { queue, event: "e", subscriber: "s", since: 1, through: 1 })
                .await
                .unwrap();
        }
        retained::retain(tx, "n/kept", &[event(1, "e", 9)]).await.unwrap();
        assert_eq!(retained::prune_marks(tx, "n/own").await.unwrap(), 1);
        assert_eq!(retained::through(tx, "n/empty", "e", "s", 1).await.unwrap(), 0);
        assert_eq!(retained::through(tx, "p/0", "e", "s", 1).await.unwrap(), 1);
    })
    .await;
}
