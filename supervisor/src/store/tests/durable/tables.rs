//! The runtime's tables beside a capability's.

use sea_orm::ConnectionTrait;

use super::super::bench::{Bench, begin, insert, texts, words};
use super::{committed, fences, on_both, schema};
use crate::store::durable::tables;
use crate::store::{Database, Schema, check};

const MIGRATIONS: [&str; 3] = ["essaim_durable_messages", "essaim_kept_events", "essaim_logs"];
const HISTORY: &str = "SELECT name FROM essaim_runtime ORDER BY version";

async fn run(database: &Database, sql: &str) {
    committed(database, async |tx| tx.execute_unprepared(sql).await.unwrap()).await;
}

/// Notes what a later release of the runtime would.
async fn as_if_newer(database: &Database, min_compatible: u32) {
    let insert = format!("INSERT INTO essaim_runtime VALUES (4, 'later', {min_compatible}, 0)");
    run(database, &format!("DELETE FROM essaim_runtime WHERE version = 4; {insert}")).await;
}

#[test]
fn the_runtimes_own_schema_is_sound() {
    tables::schema().check().unwrap();
}

#[tokio::test]
async fn a_database_of_an_earlier_binary_gets_the_runtimes_tables_at_the_next_start() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, _) = begin(&database).await;
        insert(&tx, "stays").await.unwrap();
        tx.commit().await.unwrap();
        for table in ["runtime", "fence", "inbox", "outbox", "parked", "dead", "schedule", "kept", "caught_up", "logs"]
        {
            run(&database, &format!("DROP TABLE essaim_{table}")).await;
        }
        drop(database);
        let before = check(&bench.capability, &bench.settings, &schema(1)).await;
        assert_eq!((before.problem.as_deref(), before.note.as_deref()), (None, Some("migrated at the next start")));
        let database = bench.open(&schema(1)).await;
        assert_eq!(texts(database.reads(), HISTORY).await, MIGRATIONS);
        assert_eq!(words(&database).await, ["stays"]);
        assert_eq!(fences(database.reads()).await, []);
        drop(database);
        let after = check(&bench.capability, &bench.settings, &schema(1)).await;
        assert_eq!((after.problem, after.note), (None, None));
    })
    .await;
}

#[tokio::test]
async fn a_capability_with_a_schema_of_nothing_has_them_too() {
    on_both(async |bench| {
        let database = bench.open(&Schema::new(Vec::new())).await;
        assert_eq!(texts(database.reads(), HISTORY).await, MIGRATIONS);
    })
    .await;
}

#[tokio::test]
async fn a_newer_runtimes_tables_are_used_if_they_are_compatible_and_refused_if_not() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        as_if_newer(&database, 1).await;
        drop(database);
        let database = bench.open(&schema(2)).await;
        assert_eq!(texts(database.reads(), HISTORY).await, [&MIGRATIONS[..], &["later"]].concat());
        as_if_newer(&database, 4).await;
        drop(database);
        let error = bench.try_open(&schema(2)).await.unwrap_err().to_string();
        assert!(error.contains("for the runtime's own tables, its schema has version 4 and needs"), "{error}");
        let report = check(&bench.capability, &bench.settings, &schema(2)).await;
        assert!(report.problem.is_some_and(|p| p.contains("the runtime's own tables")));
    })
    .await;
}

#[tokio::test]
async fn nodes_that_start_at_once_make_the_tables_once() {
    let Some(bench) = Bench::postgres() else { return };
    let one = schema(1);
    let opened = futures_util::future::join_all((0..4).map(|_| bench.try_open(&one))).await;
    for database in opened {
        assert_eq!(texts(database.unwrap().reads(), HISTORY).await, MIGRATIONS);
    }
}
