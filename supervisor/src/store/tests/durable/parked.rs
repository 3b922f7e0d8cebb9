//! Messages that wait.

use super::bench::begin;
use super::{AWKWARD, in_a_transaction, on_both, schema};
use crate::store::durable::parked::{self, Key, Parked};

/// A message without a key.
pub fn message(partition: u32, seq: u64) -> Parked {
    let id = format!("m-{partition}/{seq}");
    let record = seq.to_le_bytes().to_vec();
    let (ordered, error, held) = (false, None, false);
    Parked { partition, seq, order_key: id.clone(), id, ordered, attempts: 0, due_ms: seq, error, held, record }
}

fn keyed(seq: u64, key: &str, due_ms: u64) -> Parked {
    Parked { order_key: key.into(), ordered: true, due_ms, ..message(0, seq) }
}

#[tokio::test]
async fn any_number_of_messages_comes_back_in_order() {
    in_a_transaction(async |tx| {
        assert_eq!(parked::last_seq(tx, 0).await.unwrap(), 0);
        parked::park(tx, &[]).await.unwrap();
        parked::park(tx, &[message(1, 1)]).await.unwrap();
        let mut many: Vec<Parked> = (1..=1_000).rev().map(|seq| message(0, seq)).collect();
        parked::park(tx, &many).await.unwrap();
        many.reverse();
        let mut loaded = parked::load(tx, 0, 0, 600).await.unwrap();
        loaded.extend(parked::load(tx, 0, 600, 600).await.unwrap());
        assert_eq!(loaded, many);
        assert_eq!(parked::last_seq(tx, 0).await.unwrap(), 1_000);
        assert_eq!(parked::count(tx).await.unwrap(), [(0, 1_000), (1, 1)]);
        assert!(parked::remove(tx, 0, 7).await.unwrap() && !parked::remove(tx, 0, 7).await.unwrap());
        assert!(!parked::remove(tx, 1, 7).await.unwrap());
        assert_eq!(parked::count(tx).await.unwrap(), [(0, 999), (1, 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_message_is_parked_once() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        for second in [Parked { seq: 2, ..message(0, 1) }, Parked { id: "other/1".into(), ..message(0, 1) }] {
            let (tx, _) = begin(&database).await;
            parked::park(&tx, &[message(0, 1)]).await.unwrap();
            assert!(parked::park(&tx, &[second]).await.is_err());
        }
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_failed_is_noted_with_words_that_any_database_keeps() {
    in_a_transaction(async |tx| {
        parked::park(tx, &[message(0, 1)]).await.unwrap();
        assert!(parked::failed(tx, 0, 1, 3, 99, "no \0 said 'it'").await.unwrap());
        assert!(!parked::failed(tx, 0, 2, 3, 99, "").await.unwrap());
        let expected = Parked { attempts: 3, due_ms: 99, error: Some("no \u{fffd} said 'it'".into()), ..message(0, 1) };
        assert_eq!(parked::load(tx, 0, 0, 9).await.unwrap(), [expected]);
    })
    .await;
}

#[tokio::test]
async fn the_next_due_is_the_first_of_its_key_and_not_on_hold() {
    in_a_transaction(async |tx| {
        assert_eq!(parked::next_due(tx, 0).await.unwrap(), None);
        parked::park(tx, &[keyed(1, "a", 500), keyed(2, "a", 0), keyed(3, "b", 400), keyed(4, "b", 0)]).await.unwrap();
        assert_eq!(parked::next_due(tx, 0).await.unwrap(), Some(400));
        assert_eq!(parked::hold(tx, 0, "b", true).await.unwrap(), 2);
        assert_eq!(parked::next_due(tx, 0).await.unwrap(), Some(500));
        // A delayed one waits for nobody, even if its key is busy.
        let delayed = Parked { order_key: "a".into(), due_ms: 450, ..message(0, 5) };
        parked::park(tx, &[delayed]).await.unwrap();
        assert_eq!(parked::next_due(tx, 0).await.unwrap(), Some(450));
        assert_eq!(parked::next_due(tx, 1).await.unwrap(), None);
        let key = |order_key: &str, head| Key { order_key: order_key.into(), count: 2, head };
        assert_eq!(parked::keys(tx, 0).await.unwrap(), [key("a", 1), key("b", 3)]);
        assert_eq!(parked::hold(tx, 0, "b", false).await.unwrap(), 2);
        assert!(parked::remove(tx, 0, 3).await.unwrap());
        assert_eq!(parked::next_due(tx, 0).await.unwrap(), Some(0), "the one behind it is first now");
    })
    .await;
}

#[tokio::test]
async fn awkward_ids_and_keys_come_back() {
    in_a_transaction(async |tx| {
        let all: Vec<Parked> = (1..)
            .zip(AWKWARD)
            .map(|(seq, word)| Parked { id: word.into(), error: Some(word.into()), ..keyed(seq, word, seq) })
            .collect();
        parked::park(tx, &all).await.unwrap();
        assert_eq!(parked::load(tx, 0, 0, 9).await.unwrap(), all);
        for word in AWKWARD {
            assert_eq!(parked::hold(tx, 0, word, true).await.unwrap(), 1);
        }
    })
    .await;
}
