//! An id has one effect, and a copy that comes too late fails for itself alone.

use futures_util::future::{join, join_all};

use sea_orm::{ConnectionTrait, Statement};

use super::bench::{Bench, begin, words};
use super::tx_effects::{applying_copy, id, take_two};
use super::{committed, fences, on_both, schema};
use crate::group::NotCommitted;
use crate::tables::inbox::{self, InboxMark};
use crate::{Database, Transaction};

fn mark(id: &str, offset: u64, effect: bool) -> InboxMark<'_> {
    InboxMark { id, offset, at_ms: 1, effect }
}

#[tokio::test]
async fn of_the_rows_of_an_id_one_stands_for_its_effect() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let add = async |mark| committed(&database, async |tx| inbox::insert(tx, &[mark]).await.unwrap()).await;
        assert_eq!((add(mark("a/1", 1, false)).await, add(mark("a/1", 2, true)).await), (1, 1));
        assert_eq!((add(mark("a/1", 3, true)).await, add(mark("a/1", 4, false)).await), (0, 1));
        assert_eq!(add(mark("b/1", 3, true)).await, 1, "another id has its own");
        committed(&database, async |tx| inbox::release(tx, "a/1").await.unwrap()).await;
        assert_eq!((add(mark("a/1", 5, true)).await, add(mark("b/1", 6, true)).await), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn one_who_waits_for_anothers_end_has_the_effect_if_that_is_undone() {
    let Some(bench) = Bench::postgres() else { return };
    let database = bench.open(&schema(1)).await;
    for (ends_well, added) in [(true, 0), (false, 1)] {
        let id = format!("m/{added}");
        let (first, second) = (begin(&database).await.0, begin(&database).await.0);
        assert!(first.mark(mark(&id, 1, true)).await.unwrap());
        let (second, ()) = join(second.mark(mark(&id, 2, true)), async {
            super::fence::somebody_waits(&bench, &database).await;
            if ends_well { first.commit().await.unwrap() } else { first.rollback().await.unwrap() }
        })
        .await;
        assert_eq!(u64::from(second.unwrap()), added);
    }
}

/// Writes a word that no other message writes.
async fn write(tx: &Transaction, number: i64) {
    let sql = "INSERT INTO t1 (id, word) VALUES ($1, $2)";
    let values = [number.into(), format!("word {number}").into()];
    tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await.unwrap();
}

/// Applies a copy of message 1; another may be under way beside a contested one.
async fn apply(database: &Database, contested: bool, offset: u64, word: i64) -> Result<(), NotCommitted> {
    let tx = applying_copy(database, 0, 7, (1, offset), contested).await;
    write(&tx.0, word).await;
    tx.commit().await
}

#[tokio::test]
async fn of_copies_that_are_applied_at_once_one_has_an_effect_and_their_neighbours_are_committed() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        take_two(&database).await;
        let neighbours = (2..12).map(async |number| {
            let tx = applying_copy(&database, 1, 7, (number, number), false).await;
            write(&tx.0, number as i64).await;
            tx.commit().await
        });
        // The first holds the writer, so that all others wait for it, and SQLite's share commits.
        let first = applying_copy(&database, 0, 7, (1, 0), true).await;
        let others = join_all((1..6).map(|offset| apply(&database, true, offset, 100 + offset as i64)));
        let ((others, neighbours), first) = join(join(others, join_all(neighbours)), first.commit()).await;
        assert!(first.is_ok(), "{first:?}");
        assert!(neighbours.iter().all(Result::is_ok), "{neighbours:?}");
        for committed in others {
            assert!(matches!(committed, Err(NotCommitted::Repeated)), "{committed:?}");
        }
        assert_eq!(words(&database).await.len(), 10, "nothing of the copies that came too late");
        let handled: Vec<_> = fences(database.reads()).await.iter().map(|f| f.tally.handled).collect();
        assert_eq!(handled, [1, 10]);
    })
    .await;
}

#[tokio::test]
async fn a_copy_is_a_duplicate_once_its_effect_is_certain_and_not_before() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    take_two(&database).await;
    // The neighbour of the first is of an owner that has lost its partition, which takes the first back with its own.
    let late = applying_copy(&database, 1, 6, (9, 9), false).await;
    let first = apply(&database, false, 1, 1);
    let second = async {
        let (tx, _) = begin(&database).await;
        let is_marked = tx.mark(mark(id(1).as_str(), 2, true)).await.unwrap();
        (is_marked, tx.rollback().await)
    };
    let ((first, (is_marked, certain)), late) = join(join(first, second), late.commit()).await;
    assert!(matches!((&late, &first), (Err(NotCommitted::Fenced), Err(NotCommitted::Fenced))), "{late:?} {first:?}");
    assert!(!is_marked && certain.is_err(), "whoever saw the effect of the first hears that it is not there");
    assert!(apply(&database, false, 1, 1).await.is_ok());
}

#[tokio::test]
async fn a_copy_whose_effect_is_there_is_a_duplicate_and_so_is_a_message_that_is_delivered_again() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        take_two(&database).await;
        assert!(apply(&database, false, 1, 1).await.is_ok());
        for offset in [1, 2] {
            let committed = apply(&database, false, offset, 2).await;
            assert!(matches!(committed, Err(NotCommitted::Repeated)), "{offset}: {committed:?}");
        }
        assert_eq!(words(&database).await, ["word 1"]);
    })
    .await;
}
