//! Messages that wait.

use super::bench::begin;
use super::{AWKWARD, in_a_transaction, on_both, schema};
use crate::tables::parked::{self, ParkedMessage};

/// A message without a key.
pub fn message(partition: u32, seq: u64) -> ParkedMessage {
    let id = format!("m-{partition}/{seq}");
    let record = seq.to_le_bytes().to_vec();
    let (ordered, error) = (false, None);
    ParkedMessage { partition, seq, order_key: id.clone(), id, ordered, attempts: 0, due_ms: seq, error, record }
}

fn keyed(seq: u64, key: &str, due_ms: u64) -> ParkedMessage {
    ParkedMessage { order_key: key.into(), ordered: true, due_ms, ..message(0, seq) }
}

#[tokio::test]
async fn any_number_of_messages_comes_back_in_order() {
    in_a_transaction(async |tx| {
        parked::park(tx, &[]).await.unwrap();
        parked::park(tx, &[message(1, 1)]).await.unwrap();
        let mut many: Vec<ParkedMessage> = (1..=1_000).rev().map(|seq| message(0, seq)).collect();
        parked::park(tx, &many).await.unwrap();
        many.reverse();
        let mut loaded = parked::load(tx, 0, 0, 600).await.unwrap();
        loaded.extend(parked::load(tx, 0, 600, 600).await.unwrap());
        assert_eq!(loaded, many);
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
        let (tx, _) = begin(&database).await;
        assert_eq!(parked::park(&tx, &[message(0, 1)]).await.unwrap(), 1);
        assert_eq!(parked::park(&tx, &[ParkedMessage { seq: 2, ..message(0, 1) }, message(0, 3)]).await.unwrap(), 1);
        assert_eq!(parked::load(&tx, 0, 0, 9).await.unwrap(), [message(0, 1), message(0, 3)]);
        let other = ParkedMessage { id: "other/1".into(), ..message(0, 1) };
        assert!(parked::park(&tx, &[other]).await.is_err(), "two have one place");
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_failed_is_noted_with_words_that_any_database_keeps() {
    in_a_transaction(async |tx| {
        parked::park(tx, &[message(0, 1)]).await.unwrap();
        assert!(parked::failed(tx, 0, 1, 3, 99, "no \0 said 'it'").await.unwrap());
        assert!(!parked::failed(tx, 0, 2, 3, 99, "").await.unwrap());
        let expected =
            ParkedMessage { attempts: 3, due_ms: 99, error: Some("no \u{fffd} said 'it'".into()), ..message(0, 1) };
        assert_eq!(parked::load(tx, 0, 0, 9).await.unwrap(), [expected]);
    })
    .await;
}

#[tokio::test]
async fn awkward_ids_and_keys_come_back() {
    in_a_transaction(async |tx| {
        let all: Vec<ParkedMessage> = (1..)
            .zip(AWKWARD)
            .map(|(seq, word)| ParkedMessage { id: word.into(), error: Some(word.into()), ..keyed(seq, word, seq) })
            .collect();
        parked::park(tx, &all).await.unwrap();
        assert_eq!(parked::load(tx, 0, 0, 9).await.unwrap(), all);
    })
    .await;
}
