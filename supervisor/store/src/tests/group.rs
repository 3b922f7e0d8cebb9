//! Transactions that share a commit on SQLite's one writer.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{FutureExt, poll};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::pin;

use super::bench::{Bench, begin, insert, texts, words};
use crate::statement_log::StatementLog;
use crate::testing::schema;
use crate::tx_tracker::CommitState;
use crate::{Database, Transaction, TxError};

async fn open(set: impl FnOnce(&mut Bench)) -> (Bench, Database) {
    let mut bench = Bench::sqlite();
    // Slow machines must not end groups early; one test sets a bound of its own.
    bench.settings.store.group_commit_ms = 60_000;
    set(&mut bench);
    let database = bench.open(&schema(1)).await;
    (bench, database)
}

/// A transaction that has written a word.
async fn wrote(database: &Database, word: &str) -> Transaction {
    let (tx, _) = begin(database).await;
    insert(&tx, word).await.unwrap();
    tx
}

/// Commits `first` while `then` waits for the writer and goes on; what both came to.
async fn both<T>(first: Transaction, then: impl Future<Output = T>) -> (Result<(), TxError>, T) {
    // `then` is polled first, so it waits before the commit begins.
    let (then, first) = join(then, first.commit()).await;
    (first, then)
}

#[tokio::test]
async fn those_who_wait_join_and_all_are_committed_at_once() {
    let (_bench, database) = open(|_| ()).await;
    let a = wrote(&database, "a").await;
    let others = ["b", "c", "d"].map(|word| {
        let database = database.clone();
        async move {
            let tx = wrote(&database, word).await;
            assert_eq!(words(&database).await, [""; 0], "nothing is committed before the last that joined has ended");
            tx.commit().await
        }
    });
    let (a, others) = both(a, join_all(others)).await;
    assert!(a.is_ok() && others.iter().all(Result::is_ok));
    assert_eq!(words(&database).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn one_that_fails_leaves_the_others_committed() {
    let (_bench, database) = open(|_| ()).await;
    let a = wrote(&database, "a").await;
    let fails = async {
        let (tx, tracker) = begin(&database).await;
        insert(&tx, "b").await.unwrap();
        assert!(insert(&tx, "a").await.is_err(), "a neighbour has the word already");
        assert!(matches!(tx.commit().await, Err(TxError::Database(_))));
        tracker.commit_state()
    };
    let rolls_back = async { wrote(&database, "c").await.rollback().await };
    let goes_on = async { wrote(&database, "d").await.commit().await };
    let (a, (commit_state, (rolled_back, d))) = both(a, join(fails, join(rolls_back, goes_on))).await;
    assert!(a.is_ok() && rolled_back.is_ok() && d.is_ok());
    assert_eq!(commit_state, CommitState::Nothing);
    assert_eq!(words(&database).await, ["a", "d"]);
}

#[tokio::test]
async fn one_that_is_rehearsed_leaves_the_others_committed_and_nothing_of_its_own() {
    let (_bench, database) = open(|_| ()).await;
    let a = wrote(&database, "a").await;
    let rehearsed = async {
        let (mut tx, tracker) = begin(&database).await;
        let log = Arc::new(StatementLog::default());
        tx.rehearse(log.clone());
        insert(&tx, "b").await.unwrap();
        tx.prepare_commit().unwrap();
        tx.end_rehearsed().await.unwrap();
        assert_eq!((tracker.commit_state(), log.is_committed()), (CommitState::Committed, true));
        log.statements().0
    };
    let goes_on = async { wrote(&database, "c").await.commit().await };
    let (a, (statements, c)) = both(a, join(rehearsed, goes_on)).await;
    assert!(a.is_ok() && c.is_ok());
    assert_eq!((statements.len(), &statements[0].rows, statements[0].values), (1, &Ok(1), 1), "{statements:?}");
    assert_eq!(words(&database).await, ["a", "c"]);
}

#[tokio::test]
async fn one_that_is_dropped_at_any_moment_leaves_the_others_committed() {
    let (_bench, database) = open(|_| ()).await;
    let a = wrote(&database, "a").await;
    // Between statements, in a statement, in the first one, while it joins, and before any.
    let between = async { drop(wrote(&database, "b").await) };
    let within = async {
        let tx = wrote(&database, "c").await;
        let _ = insert(&tx, "d").now_or_never();
    };
    let first = async {
        let (tx, _) = begin(&database).await;
        let _ = insert(&tx, "f").now_or_never();
    };
    let joins = async {
        let begins = begin(&database);
        pin!(begins);
        let mut polls = 0;
        // The first poll waits for the writer; the second, once the writer is free, gets it.
        poll_fn(|cx| {
            polls += 1;
            let begun = begins.as_mut().poll(cx).is_ready();
            if begun || polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    };
    let nothing = async {
        drop(begin(&database).await);
        begin(&database).await.0.rollback().await.unwrap();
    };
    let without_statements = async { begin(&database).await.0.commit().await };
    let goes_on = async { wrote(&database, "e").await.commit().await };
    let left = join(join(between, join(within, join(first, joins))), join(nothing, without_statements));
    let (a, ((_, (_, empty)), e)) = both(a, join(left, goes_on)).await;
    assert!(a.is_ok() && empty.is_ok() && e.is_ok(), "{a:?} {empty:?} {e:?}");
    assert_eq!(words(&database).await, ["a", "e"]);
}

#[tokio::test]
async fn one_that_is_dropped_while_it_waits_for_the_commit_is_committed_with_the_others() {
    let (_bench, database) = open(|_| ()).await;
    let (a, tracker) = begin(&database).await;
    insert(&a, "a").await.unwrap();
    let b = wrote(&database, "b");
    pin!(b);
    assert!(poll!(&mut b).is_pending());
    {
        let commit = a.commit();
        pin!(commit);
        assert!(poll!(&mut commit).is_pending());
    }
    assert_eq!(tracker.commit_state(), CommitState::Committing, "it is not known, and said so");
    b.await.commit().await.unwrap();
    assert_eq!(words(&database).await, ["a", "b"]);
}

#[tokio::test]
async fn a_group_whose_last_members_are_gone_is_committed_all_the_same() {
    let (_bench, database) = open(|_| ()).await;
    let a = wrote(&database, "a").await;
    let mut b = Box::pin(begin(&database));
    assert!(poll!(&mut b).is_pending());
    let commit = a.commit();
    pin!(commit);
    assert!(poll!(&mut commit).is_pending());
    drop(b);
    assert!(commit.await.is_ok(), "nobody joined, and nobody else comes");
    assert_eq!(words(&database).await, ["a"]);
}

#[tokio::test]
async fn an_outer_commit_that_fails_fails_for_all_and_the_next_transactions_answer_for_themselves() {
    let (_bench, database) = open(|_| ()).await;
    let (tx, _) = begin(&database).await;
    let child = "CREATE TABLE child (t1_id INTEGER REFERENCES t1 (id) DEFERRABLE INITIALLY DEFERRED)";
    tx.execute_unprepared(child).await.unwrap();
    tx.commit().await.unwrap();
    for (word, innocent_fails) in [("a", true), ("b", false)] {
        let a = wrote(&database, word).await;
        let orphan = async {
            let (tx, tracker) = begin(&database).await;
            tx.execute_unprepared("INSERT INTO child VALUES (7)").await.unwrap();
            (tx.commit().await, tracker.commit_state())
        };
        let (a, (orphan, commit_state)) = both(a, orphan).await;
        assert_eq!(matches!(a, Err(TxError::Database(_))), innocent_fails, "{a:?}");
        assert!(matches!(orphan, Err(TxError::Database(_))), "{orphan:?}");
        assert_eq!(commit_state, CommitState::Nothing);
    }
    assert_eq!(words(&database).await, ["b"]);
}

#[tokio::test]
async fn a_connection_that_is_lost_before_the_commit_has_committed_nothing_for_anybody() {
    let (_bench, database) = open(|bench| bench.settings.store.transaction_limit_ms = 500).await;
    let a = wrote(&database, "a").await;
    let endless = async {
        let (tx, tracker) = begin(&database).await;
        let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
        assert!(tx.execute_unprepared(sql).await.is_err());
        tracker.commit_state()
    };
    let (a, commit_state) = both(a, endless).await;
    assert!(matches!(a, Err(TxError::Database(_))), "{a:?}");
    assert_eq!(commit_state, CommitState::Nothing);
    wrote(&database, "b").await.commit().await.unwrap();
    assert_eq!(words(&database).await, ["b"]);
}

#[tokio::test]
async fn where_one_loses_the_whole_transaction_nobody_is_told_that_it_is_committed() {
    // A conflict that undoes everything, a file that is full, a trigger, and a text that hides what the runtime refuses.
    let losing = [
        "INSERT OR ROLLBACK INTO t1 (word) VALUES ('a')",
        "PRAGMA max_page_count = 1; INSERT INTO t1 (word) VALUES (hex(zeroblob(1000000)))",
        "INSERT INTO never VALUES (1)",
        "SELECT 1; ROLLBACK",
    ];
    for sql in losing {
        for written_before in [true, false] {
            let (_bench, database) = open(|_| ()).await;
            let (tx, _) = begin(&database).await;
            let never = "CREATE TABLE never (id INTEGER); CREATE TRIGGER not_now BEFORE INSERT ON never \
                         BEGIN SELECT RAISE(ROLLBACK, 'never'); END";
            tx.execute_unprepared(never).await.unwrap();
            tx.commit().await.unwrap();
            let a = wrote(&database, "a").await;
            let loses = async {
                let (tx, tracker) = begin(&database).await;
                if written_before {
                    insert(&tx, "b").await.unwrap();
                }
                let _ = tx.execute_unprepared(sql).await;
                assert!(insert(&tx, "b too").await.is_err(), "{sql}: there is no transaction that this could be in");
                assert!(matches!(tx.commit().await, Err(TxError::Database(_))));
                tracker.commit_state()
            };
            let goes_on = async { wrote(&database, "c").await.commit().await };
            let (a, (commit_state, c)) = both(a, join(loses, goes_on)).await;
            assert!(matches!(a, Err(TxError::Database(_))), "{sql}: {a:?}, and there is {:?}", words(&database).await);
            assert_eq!(commit_state, CommitState::Nothing);
            assert!(c.is_ok(), "{sql}: {c:?}");
            assert_eq!(words(&database).await, ["c"], "{sql}");
        }
    }
}

#[tokio::test]
async fn a_transaction_that_is_lost_by_a_statement_that_nobody_waits_for_is_missed_all_the_same() {
    let (_bench, database) = open(|_| ()).await;
    let a = wrote(&database, "a").await;
    let loses = async {
        let tx = wrote(&database, "b").await;
        let _ = tx.execute_unprepared("INSERT OR ROLLBACK INTO t1 (word) VALUES ('a')").now_or_never();
    };
    let goes_on = async { wrote(&database, "c").await.commit().await };
    let (a, ((), c)) = both(a, join(loses, goes_on)).await;
    assert!(matches!(a, Err(TxError::Database(_))) && c.is_ok(), "{a:?} {c:?}");
    assert_eq!(words(&database).await, ["c"]);
}

#[tokio::test]
async fn one_that_loses_its_transaction_alone_has_written_nothing() {
    let (_bench, database) = open(|_| ()).await;
    for sql in ["INSERT OR ROLLBACK INTO t1 (word) VALUES ('a'), ('a')", "SELECT 1; ROLLBACK"] {
        let (tx, tracker) = begin(&database).await;
        let _ = tx.execute_unprepared(sql).await;
        assert!(insert(&tx, "b").await.is_err(), "{sql}");
        assert!(matches!(tx.commit().await, Err(TxError::Database(_))));
        assert_eq!(tracker.commit_state(), CommitState::Nothing);
    }
    wrote(&database, "c").await.commit().await.unwrap();
    assert_eq!(words(&database).await, ["c"]);
}

#[tokio::test]
async fn one_whose_first_values_cannot_be_bound_undoes_nothing_of_its_neighbours() {
    let (_bench, database) = open(|_| ()).await;
    let a = wrote(&database, "a").await;
    let b = async { wrote(&database, "b").await.commit().await };
    let panics = async {
        let (tx, _) = begin(&database).await;
        let sql = "INSERT INTO t1 (id, word) VALUES ($1, 'c')";
        let too_large = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [u64::MAX.into()]);
        let done = AssertUnwindSafe(tx.execute_raw(too_large)).catch_unwind().await;
        assert!(!matches!(done, Ok(Ok(_))), "SQLite has no such number");
        tx.commit().await.is_err()
    };
    let goes_on = async { wrote(&database, "d").await.commit().await };
    let (a, (b, (failed, d))) = both(a, join(b, join(panics, goes_on))).await;
    assert!(a.is_ok() && b.is_ok() && failed && d.is_ok(), "{a:?} {b:?} {failed} {d:?}");
    assert_eq!(words(&database).await, ["a", "b", "d"]);
}

#[tokio::test]
async fn a_group_grows_no_further_than_its_bounds() {
    let bounds: [fn(&mut Bench); 2] =
        [|b| b.settings.store.group_commit_max = 2, |b| b.settings.store.group_commit_ms = 0];
    for bound in bounds {
        let (bench, database) = open(bound).await;
        let a = wrote(&database, "a").await;
        let b = async { wrote(&database, "b").await.commit().await };
        let c = async {
            let tx = wrote(&database, "c").await;
            let seen = words(&database).await;
            tx.commit().await.map(|()| seen)
        };
        let (a, (b, c)) = both(a, join(b, c)).await;
        assert!(a.is_ok() && b.is_ok());
        let group = if bench.settings.store.group_commit_max == 2 { vec!["a", "b"] } else { vec!["a"] };
        assert!(c.unwrap().starts_with(&group.into_iter().map(String::from).collect::<Vec<_>>()));
        assert_eq!(words(&database).await, ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn what_was_answered_is_there_and_what_failed_is_not_whatever_happens_beside_it() {
    let (_bench, database) = open(|bench| bench.settings.store.group_commit_ms = 2).await;
    let writers = (0..200_u32).map(|n| {
        let database = database.clone();
        tokio::spawn(async move {
            let word = format!("{n:03}");
            let (tx, _) = begin(&database).await;
            insert(&tx, &word).await.unwrap();
            match n % 5 {
                0 => drop(tx),
                1 => assert!(insert(&tx, &word).await.is_err()),
                2 => drop(tokio::time::timeout(Duration::from_micros(50), insert(&tx, "slow")).await),
                _ => {
                    tx.commit().await.unwrap();
                    return Some(word);
                }
            }
            None
        })
    });
    let expected: Vec<_> = join_all(writers).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(words(&database).await, expected);
}

#[tokio::test]
async fn what_a_dropped_transaction_has_read_is_certain_once_its_neighbours_are_committed_and_never_if_they_are_not() {
    let (_bench, database) = open(|_| ()).await;
    let (tx, _) = begin(&database).await;
    let child = "CREATE TABLE child (t1_id INTEGER REFERENCES t1 (id) DEFERRABLE INITIALLY DEFERRED)";
    tx.execute_unprepared(child).await.unwrap();
    tx.commit().await.unwrap();
    for (word, spoiled) in [("a", false), ("b", true)] {
        let a = wrote(&database, word).await;
        let reads = async {
            let (tx, tracker) = begin(&database).await;
            let seen = texts(&tx, "SELECT word FROM t1 ORDER BY word").await;
            assert_eq!(seen.last().map(String::as_str), Some(word), "it sees what is not committed");
            drop(tx);
            let certain = tracker.reads_committed();
            pin!(certain);
            assert!(poll!(&mut certain).is_pending(), "its handler may not answer yet");
            certain.await
        };
        let spoils = async {
            let (tx, _) = begin(&database).await;
            if spoiled {
                tx.execute_unprepared("INSERT INTO child VALUES (7)").await.unwrap();
            }
            tx.commit().await.is_err()
        };
        let (a, (certain, failed)) = both(a, join(reads, spoils)).await;
        assert_eq!((a.is_err(), certain.is_err(), failed), (spoiled, spoiled, spoiled));
    }
    let (tx, tracker) = begin(&database).await;
    drop(tx);
    tracker.reads_committed().await.unwrap();
}
