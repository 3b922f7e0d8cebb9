//! Ids that were applied.

use sea_orm::DbBackend;

use super::bench::begin;
use super::{AWKWARD, committed, in_a_transaction, on_both, schema};
use crate::tables::inbox::{self, InboxMark};

/// A mark that stands for no effect.
fn mark(id: &str, offset: u64, at_ms: u64) -> InboxMark<'_> {
    InboxMark { id, offset, at_ms, effect: false }
}

fn marks<'a>(ids: &'a [String], at_ms: u64) -> Vec<InboxMark<'a>> {
    ids.iter().zip(0..).map(|(id, offset)| mark(id, offset, at_ms)).collect()
}

#[tokio::test]
async fn any_number_of_ids_comes_back() {
    in_a_transaction(async |tx| {
        let mut all = 0;
        for count in [0, 1, 3, 256, 257, 1_000] {
            let ids: Vec<String> = (0..count).map(|n| format!("of-{count}/{n}")).collect();
            inbox::insert(tx, &marks(&ids, 5)).await.unwrap();
            all += count;
            let asked: Vec<&str> = ids.iter().map(String::as_str).chain(["unknown/1"]).collect();
            let seen = inbox::seen(tx, &asked).await.unwrap();
            assert_eq!(seen.len() as u64, count);
            assert!(ids.iter().zip(0..).all(|(id, offset)| seen[id] == [offset]));
        }
        assert_eq!(inbox::count(tx).await.unwrap(), all);
        assert!(inbox::seen(tx, &[]).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_redelivery_has_the_offset_that_is_there_and_a_duplicate_has_another() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let first = InboxMark { effect: true, ..mark("a/1", 7, 1) };
        assert_eq!(committed(&database, async |tx| inbox::insert(tx, &[first]).await.unwrap()).await, 1);
        let again = mark("a/1", 9, 1);
        assert_eq!(committed(&database, async |tx| inbox::insert(tx, &[again]).await.unwrap()).await, 1);
        let seen = inbox::seen(database.reads(), &["a/1", "a/1"]).await.unwrap();
        assert_eq!(seen["a/1"], [7, 9]);
        let (tx, _) = begin(&database).await;
        let added = inbox::insert(&tx, &[mark("b/1", 7, 1), first, again]).await.unwrap();
        assert_eq!(added, 1, "what is there stays as it is");
        tx.rollback().await.unwrap();
        assert_eq!(inbox::count(database.reads()).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_oldest_are_forgotten_first_and_the_young_never() {
    in_a_transaction(async |tx| {
        for at_ms in [30, 10, 40, 20] {
            let id = format!("m/{at_ms}");
            inbox::insert(tx, &[mark(&id, 0, at_ms)]).await.unwrap();
        }
        assert_eq!(inbox::prune(tx, 10, 100).await.unwrap(), 0);
        assert_eq!(inbox::prune(tx, 40, 2).await.unwrap(), 2);
        let seen = inbox::seen(tx, &["m/10", "m/20", "m/30", "m/40"]).await.unwrap();
        assert!(seen.len() == 2 && seen.contains_key("m/30") && seen.contains_key("m/40"), "{seen:?}");
        assert_eq!(inbox::prune(tx, 40, 2).await.unwrap(), 1);
        assert_eq!(inbox::prune(tx, 40, 2).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn awkward_ids_and_numbers_come_back() {
    in_a_transaction(async |tx| {
        let marks = AWKWARD.map(|id| mark(id, i64::MAX as u64, u64::MAX));
        inbox::insert(tx, &marks).await.unwrap();
        let seen = inbox::seen(tx, &AWKWARD).await.unwrap();
        assert!(AWKWARD.iter().all(|id| seen[*id] == [i64::MAX as u64]), "{seen:?}");
        assert!(inbox::seen(tx, &["IT'S", "it"]).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_nul_in_an_id_is_kept_by_sqlite_and_refused_by_postgresql() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, _) = begin(&database).await;
        let retained = inbox::insert(&tx, &[mark("a\0b/1", 1, 1)]).await;
        if sea_orm::ConnectionTrait::get_database_backend(&tx) == DbBackend::Postgres {
            assert!(retained.is_err());
            return;
        }
        retained.unwrap();
        assert_eq!(inbox::seen(&tx, &["a\0b/1", "a"]).await.unwrap().len(), 1);
    })
    .await;
}
