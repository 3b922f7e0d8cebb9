//! Databases that are there and do not work.

use std::time::Duration;

use essaim_base::outages::{Dependency, Outages};
use essaim_contract::FailureKind;
use sea_orm::{ConnectionTrait, DbErr, ExecResult};
use tokio::time::timeout;

use super::bench::{Bench, begin, insert, on_both, try_begin, words};
use crate::classify::failure_kind;
use crate::testing::schema;
use crate::{Database, Transaction, TxError};

/// The outages of the node that has opened this database.
fn told(bench: &Bench, database: &Database) -> (Outages, Dependency) {
    let dependency = Dependency::database(&bench.capability, !database.kind().has_one_host());
    (bench.tasks.outages().clone(), dependency)
}

/// Waits until the outage is over, without asking the database for anything.
async fn ended(outages: &Outages, dependency: &Dependency) {
    let over = async {
        while outages.has(dependency) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), over).await.expect("it is looked at until it works");
}

/// Writes more than there is room for on this connection.
async fn fill(tx: &Transaction) -> Result<ExecResult, DbErr> {
    tx.execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    tx.execute_unprepared("INSERT INTO t1 (word) VALUES (hex(randomblob(4000000)))").await
}

#[tokio::test]
async fn a_full_file_is_an_outage_for_all_that_share_a_commit_and_ends_by_itself() {
    let mut bench = Bench::sqlite();
    // Nobody looks before what is told has been seen.
    (bench.settings.store.recheck_first_ms, bench.settings.store.recheck_most_ms) = (2_000, 2_000);
    let database = bench.open(&schema(1)).await;
    let (outages, dependency) = told(&bench, &database);
    let (first, _) = begin(&database).await;
    insert(&first, "neighbour").await.unwrap();
    let (second, commit) = tokio::join!(
        async {
            let (tx, _) = begin(&database).await;
            let error = fill(&tx).await.unwrap_err();
            (failure_kind(&error), outages.status(), tx.commit().await.unwrap_err())
        },
        first.commit()
    );
    let (kind, shown, ended_so) = second;
    assert_eq!(kind, FailureKind::Unavailable);
    assert!(shown[0].cause.contains("is full: free some space"), "{shown:?}");
    assert_eq!(ended_so.failure().unwrap().kind, FailureKind::Unavailable, "however late it is looked at");
    if let Err(TxError::Database(error)) = &commit {
        assert_eq!(failure_kind(error), FailureKind::Unavailable, "{error}");
    }
    ended(&outages, &dependency).await;
    let (tx, _) = begin(&database).await;
    insert(&tx, "after").await.unwrap();
    tx.commit().await.unwrap();
    assert!(words(&database).await.contains(&"after".to_string()));
}

#[tokio::test]
async fn a_lock_of_another_program_is_named_before_whoever_waits_gives_up() {
    let mut bench = Bench::sqlite();
    bench.settings.store.acquire_timeout_ms = 400;
    let database = bench.open(&schema(1)).await;
    let (outages, dependency) = told(&bench, &database);
    // Another program, as far as SQLite can tell.
    let other = bench.settings.node.data_dir.join(format!("{}.sqlite3", bench.capability));
    let other = crate::sqlite::writer(&other, &bench.settings.store);
    let mut other = other.connect().await.unwrap();
    other.begin().await.unwrap();
    let Err(error) = try_begin(&database, Duration::from_secs(60)).await else { panic!("it is locked") };
    assert_eq!(error.failure().unwrap().kind, FailureKind::Unavailable);
    let shown = outages.status();
    assert!(shown[0].cause.contains("is locked by another program: end whatever has it open"), "{shown:?}");
    other.rollback().await.unwrap();
    ended(&outages, &dependency).await;
    begin(&database).await.0.rollback().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_soon_released_is_no_outage() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (outages, dependency) = told(&bench, &database);
    let other = bench.settings.node.data_dir.join(format!("{}.sqlite3", bench.capability));
    let mut other = crate::sqlite::writer(&other, &bench.settings.store).connect().await.unwrap();
    other.begin().await.unwrap();
    let released = async {
        // So long that it is met.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let met = outages.has(&dependency);
        other.rollback().await.unwrap();
        met
    };
    let ((tx, _), met) = tokio::join!(begin(&database), released);
    tx.rollback().await.unwrap();
    assert!(!met && outages.status().is_empty(), "{:?}", outages.status());
}

#[tokio::test]
async fn what_a_statement_has_done_wrong_is_no_outage() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (outages, dependency) = told(&bench, &database);
        let (tx, _) = begin(&database).await;
        let error = tx.execute_unprepared("INSERT INTO nowhere VALUES (1)").await.unwrap_err();
        assert_eq!(failure_kind(&error), FailureKind::Database);
        assert!(!outages.has(&dependency));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_an_outage() {
    let mut bench = Bench::sqlite();
    (bench.settings.store.recheck_first_ms, bench.settings.store.recheck_most_ms) = (2_000, 2_000);
    let database = bench.open(&schema(1)).await;
    let (outages, dependency) = told(&bench, &database);
    let (tx, _) = begin(&database).await;
    tx.execute_unprepared("PRAGMA query_only = ON").await.unwrap();
    let error = insert(&tx, "refused").await.unwrap_err();
    assert_eq!(failure_kind(&error), FailureKind::Unavailable);
    let shown = outages.status();
    assert!(shown[0].cause.contains("is read-only: make it and its directory writable"), "{shown:?}");
    drop(tx);
    ended(&outages, &dependency).await;
}

#[tokio::test]
async fn a_server_without_a_connection_is_an_outage_and_one_with_fewer_than_wanted_is_none() {
    let (Some(admin), Some(mut bench)) = (Bench::postgres(), Bench::postgres()) else { return };
    let admin = admin.open(&schema(1)).await;
    let role = format!("few_{}", bench.env.id().simple());
    let run = async |sql: String| {
        let (tx, _) = begin(&admin).await;
        tx.execute_unprepared(&sql).await.unwrap();
        tx.commit().await.unwrap();
    };
    run(format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 2")).await;
    run(format!("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END $$"))
        .await;
    let url = &mut bench.settings.capabilities.get_mut(&bench.capability).unwrap().database;
    let (before, after) = url.split_once("://").unwrap();
    *url = format!("{before}://{role}@{}", after.rsplit_once('@').map_or(after, |(_, host)| host));
    let database = bench.open(&schema(1)).await;
    let other = bench.open(&schema(1)).await;
    let (outages, dependency) = told(&bench, &database);
    let (first, _) = begin(&database).await;
    let (second, _) = begin(&database).await;
    let Err(error) = try_begin(&database, Duration::from_secs(60)).await else { panic!("there are two") };
    assert_eq!(error.failure().unwrap().kind, FailureKind::Unavailable);
    assert!(!outages.has(&dependency), "it has two");
    // Its own two go, and others have them.
    for tx in [first, second] {
        tx.execute_unprepared("SELECT pg_terminate_backend(pg_backend_pid())").await.unwrap_err();
        drop(tx);
    }
    let mut others = Vec::new();
    while others.len() < 2 {
        // The server takes a moment to end a session.
        others.extend(try_begin(&other, Duration::from_secs(60)).await);
    }
    let Err(error) = try_begin(&database, Duration::from_secs(60)).await else { panic!("others have them") };
    assert_eq!(error.failure().unwrap().kind, FailureKind::Unavailable);
    let shown = outages.status();
    assert!(shown[0].cause.contains("has no connection left"), "{shown:?}");
    drop(others);
    drop(other);
    ended(&outages, &dependency).await;
    begin(&database).await.0.rollback().await.unwrap();
}
