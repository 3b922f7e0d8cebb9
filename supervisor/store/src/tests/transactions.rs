//! What a handler's transaction promises.

use std::time::Duration;

use essaim_contract::FailureKind;
use sea_orm::{ConnectionTrait, DbBackend};

use super::bench::{Bench, begin, insert, on_both, try_begin, words};
use crate::TxError;
use crate::classify::failure_kind;
use crate::testing::schema;
use crate::tx_tracker::CommitState;

#[tokio::test]
async fn a_commit_is_there_and_a_dropped_transaction_is_not() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, tracker) = begin(&database).await;
        insert(&tx, "kept").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(tracker.commit_state(), CommitState::Committed);
        let (tx, tracker) = begin(&database).await;
        insert(&tx, "dropped").await.unwrap();
        drop(tx);
        assert_eq!(tracker.commit_state(), CommitState::Nothing);
        let (tx, _) = begin(&database).await;
        insert(&tx, "rolled back").await.unwrap();
        tx.rollback().await.unwrap();
        // On SQLite the one writer has to be free again for this.
        let (tx, _) = begin(&database).await;
        insert(&tx, "later").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(words(&database).await, ["kept", "later"]);
    })
    .await;
}

#[tokio::test]
async fn after_a_failed_statement_nothing_more_happens_and_nothing_is_committed() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, tracker) = begin(&database).await;
        insert(&tx, "twice").await.unwrap();
        assert!(insert(&tx, "twice").await.is_err(), "the word is unique");
        let refused = insert(&tx, "another").await.unwrap_err().to_string().to_lowercase();
        assert!(refused.contains("cannot go on") && refused.contains("unique"), "{refused}");
        assert!(matches!(tx.commit().await, Err(TxError::Database(_))));
        assert_eq!(tracker.commit_state(), CommitState::Nothing);
        assert!(words(&database).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_constraint_that_fails_at_the_commit_is_a_failure_and_not_unknown() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, _) = begin(&database).await;
        let child = "CREATE TABLE child (t1_id INTEGER REFERENCES t1 (id) DEFERRABLE INITIALLY DEFERRED)";
        tx.execute_unprepared(child).await.unwrap();
        tx.commit().await.unwrap();
        let (tx, tracker) = begin(&database).await;
        tx.execute_unprepared("INSERT INTO child VALUES (7)").await.unwrap();
        assert!(matches!(tx.commit().await, Err(TxError::Database(_))));
        assert_eq!(tracker.commit_state(), CommitState::Nothing);
        let (tx, _) = begin(&database).await;
        insert(&tx, "goes on").await.unwrap();
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_handler_can_neither_end_the_transaction_by_itself_nor_write_outside_of_one() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, _) = begin(&database).await;
        insert(&tx, "a").await.unwrap();
        for sql in ["COMMIT", "rollback", "SAVEPOINT x"] {
            assert!(tx.execute_unprepared(sql).await.unwrap_err().to_string().contains("tx.commit()"), "{sql}");
        }
        tx.commit().await.unwrap();
        for sql in ["INSERT INTO t1 (word) VALUES ('b')", "DELETE FROM t1", "COMMIT"] {
            let refused = database.reads().execute_unprepared(sql).await.unwrap_err().to_string();
            assert!(refused.contains("cx.begin()"), "{refused}");
        }
        assert_eq!(words(&database).await, ["a"]);
    })
    .await;
}

#[tokio::test]
async fn sqlite_readers_cannot_write_even_if_the_text_looks_like_reading() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let sneaky = "WITH x AS (SELECT 1) INSERT INTO t1 (word) SELECT 'b' FROM x";
    let error = database.reads().execute_unprepared(sneaky).await.unwrap_err();
    assert!(error.to_string().contains("cx.db() only reads"), "{error}");
    assert_eq!(failure_kind(&error), FailureKind::Database, "it is the handler's, and no outage of the file");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_waits_too_long_fails_its_statements_and_its_commit() {
    let mut bench = Bench::sqlite();
    bench.env = essaim_base::Env::simulated(1, Duration::ZERO);
    let database = bench.open(&schema(1)).await;
    for commits in [false, true] {
        let (tx, tracker) = begin(&database).await;
        insert(&tx, "a").await.unwrap();
        tokio::time::sleep(Duration::from_millis(bench.settings.store.transaction_limit_ms)).await;
        let error = match commits {
            false => insert(&tx, "b").await.unwrap_err().to_string(),
            true => tx.commit().await.unwrap_err().to_string(),
        };
        assert!(error.contains("store.transaction_limit_ms"), "{error}");
        assert_eq!(tracker.commit_state(), CommitState::Nothing);
    }
    assert!(words(&database).await.is_empty());
}

#[tokio::test]
async fn a_statement_that_never_ends_is_cut_off_and_the_next_transaction_begins() {
    on_both(async |mut bench| {
        bench.settings.store.transaction_limit_ms = 1_000;
        let database = bench.open(&schema(1)).await;
        let endless = match database.reads().get_database_backend() {
            DbBackend::Postgres => "SELECT pg_sleep(600)",
            _ => "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
        };
        let (tx, _) = begin(&database).await;
        insert(&tx, "undone").await.unwrap();
        assert!(tx.execute_unprepared(endless).await.is_err());
        assert!(matches!(tx.commit().await, Err(TxError::Database(_))));
        assert!(database.reads().execute_unprepared(endless).await.is_err());
        let (tx, _) = begin(&database).await;
        insert(&tx, "done").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(words(&database).await, ["done"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_writer_ends_before_the_askers_deadline() {
    let mut bench = Bench::sqlite();
    bench.env = essaim_base::Env::simulated(1, Duration::ZERO);
    let database = bench.open(&schema(1)).await;
    let (_holds_the_writer, _) = begin(&database).await;
    let due = Duration::from_secs(2);
    let Ok(waited) = tokio::time::timeout(due, try_begin(&database, due)).await else { panic!("it waited too long") };
    let Err(TxError::Database(error)) = waited else { panic!("the writer is taken") };
    assert!(error.to_string().contains("none of its 1 connections"), "{error}");
}
