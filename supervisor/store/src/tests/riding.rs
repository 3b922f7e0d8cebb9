//! What goes out with a commit, and what comes along with it.

use std::sync::Arc;

use essaim_base::lock::Mutex;

use super::bench::{Bench, begin, on_both};
use crate::Database;
use crate::group::NotCommitted;
use crate::tables::outbox::{self, OutboxRow};
use crate::tables::tx_effects::{AppliedMessage, TxEffects};
use crate::testing::schema;

fn row(record: &[u8]) -> OutboxRow {
    OutboxRow { event: false, target: None, record: record.into() }
}

/// Sends these, numbered from `first` on, with a transaction.
async fn send(database: &Database, first: u64, rows: &[OutboxRow]) {
    let (tx, _) = begin(database).await;
    let mut effects = TxEffects::default();
    effects.send(&"p/1".into(), first, rows.to_vec());
    tx.commit_with(effects).await.unwrap();
}

async fn numbers(database: &Database) -> Vec<u64> {
    let rows = outbox::load(database.own_reads(), "p/1", 0, 100).await.unwrap();
    rows.into_iter().map(|(number, _)| number).collect()
}

/// Of a message whose partition has another owner: nothing can be committed with it.
fn fenced() -> TxEffects {
    let mut effects = TxEffects::default();
    let id = essaim_contract::MessageId::planned("m", 1).unwrap();
    effects.apply(7, 1, AppliedMessage { id, offset: 0, at_ms: 1, contested: false });
    effects
}

#[tokio::test]
async fn what_is_sent_is_handed_on_with_its_commit_in_order_and_only_then() {
    on_both(async |bench: Bench| {
        let database = bench.open(&schema(1)).await;
        let handed: Arc<Mutex<Vec<u64>>> = Arc::default();
        let taken = handed.clone();
        database.give_outgoing(move |sent| {
            taken.lock().extend(sent.into_values().flatten().map(|(number, _)| number));
        });
        send(&database, 1, &[row(b"a"), row(b"b")]).await;
        let (tx, _) = begin(&database).await;
        let mut refused = fenced();
        refused.send(&"p/1".into(), 3, [row(b"c")]);
        assert!(matches!(tx.commit_with(refused).await, Err(NotCommitted::Fenced)));
        send(&database, 4, &[row(b"d")]).await;
        assert_eq!(*handed.lock(), [1, 2, 4]);
        assert_eq!(numbers(&database).await, [1, 2, 4]);
    })
    .await;
}

#[tokio::test]
async fn what_rides_along_is_written_by_the_next_commit_and_waits_for_another_if_that_fails() {
    on_both(async |bench: Bench| {
        let database = bench.open(&schema(1)).await;
        send(&database, 1, &[row(b"a"), row(b"b"), row(b"c")]).await;
        database.forget_later(&"p/1".into(), [1, 2]);
        assert_eq!((numbers(&database).await, database.has_riding()), (vec![1, 2, 3], true));
        let (tx, _) = begin(&database).await;
        assert!(matches!(tx.commit_with(fenced()).await, Err(NotCommitted::Fenced)));
        assert_eq!((numbers(&database).await, database.has_riding()), (vec![1, 2, 3], true));
        send(&database, 4, &[row(b"d")]).await;
        assert_eq!((numbers(&database).await, database.has_riding()), (vec![3, 4], false));
        database.forget_later(&"p/1".into(), [3]);
        database.write_riding().await.unwrap();
        assert_eq!((numbers(&database).await, database.has_riding()), (vec![4], false));
    })
    .await;
}
