//! The runtime's tables beside a capability's.

use sea_orm::ConnectionTrait;

use super::super::bench::{Bench, begin, insert, texts, words};
use super::{committed, fences, on_both, schema};
use crate::tables::inbox::{self, InboxMark};
use crate::tables::migrations;
use crate::{Database, Schema, check};

const MIGRATIONS: [&str; 7] = [
    "essaim_durable_messages",
    "essaim_kept_events",
    "essaim_logs",
    "essaim_one_effect",
    "essaim_numbers",
    "essaim_recheck",
    "essaim_log_gaps",
];
/// The version after the last of them.
const LATER: u32 = MIGRATIONS.len() as u32 + 1;
const HISTORY: &str = "SELECT name FROM essaim_runtime ORDER BY version";

async fn run(database: &Database, sql: &str) {
    committed(database, async |tx| tx.execute_unprepared(sql).await.unwrap()).await;
}

/// Notes what a later release of the runtime would.
async fn as_if_newer(database: &Database, min_compatible: u32) {
    let insert = format!("INSERT INTO essaim_runtime VALUES ({LATER}, 'later', {min_compatible}, 0)");
    run(database, &format!("DELETE FROM essaim_runtime WHERE version = {LATER}; {insert}")).await;
}

#[test]
fn the_runtimes_own_schema_is_sound() {
    migrations::schema().check().unwrap();
}

#[tokio::test]
async fn a_database_of_an_earlier_binary_gets_the_runtimes_tables_at_the_next_start() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, _) = begin(&database).await;
        insert(&tx, "stays").await.unwrap();
        tx.commit().await.unwrap();
        for table in [
            "runtime",
            "fence",
            "inbox",
            "outbox",
            "parked",
            "dead",
            "schedule",
            "kept",
            "caught_up",
            "logs",
            "numbers",
            "recheck",
            "log_gaps",
        ] {
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
async fn a_database_that_holds_two_effects_of_an_id_opens_and_takes_no_third() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        // As the release before has left it.
        for sql in [
            "DROP TABLE essaim_numbers",
            "DROP TABLE essaim_recheck",
            "DROP TABLE essaim_log_gaps",
            "ALTER TABLE essaim_fence DROP COLUMN through",
            "DROP INDEX essaim_inbox_effects",
            "ALTER TABLE essaim_inbox DROP COLUMN effect",
            "DELETE FROM essaim_runtime WHERE version >= 4",
            "INSERT INTO essaim_inbox (id, msg_offset, at_ms) VALUES ('m/1', 1, 1), ('m/1', 2, 1), ('m/2', 3, 1)",
        ] {
            run(&database, sql).await;
        }
        drop(database);
        let database = bench.open(&schema(1)).await;
        assert_eq!(texts(database.reads(), HISTORY).await, MIGRATIONS);
        let seen = inbox::seen(database.reads(), &["m/1", "m/2"]).await.unwrap();
        assert_eq!((seen["m/1"].as_slice(), seen["m/2"].as_slice()), (&[1, 2][..], &[3][..]), "each copy is known");
        // What a binary of that release writes beside this one stands for no effect either.
        run(&database, "INSERT INTO essaim_inbox (id, msg_offset, at_ms) VALUES ('m/1', 4, 1)").await;
        let [one, two] = [5, 6].map(|offset| InboxMark { id: "m/3", offset, at_ms: 1, effect: true });
        let added = committed(&database, async |tx| inbox::insert(tx, &[one, two]).await.unwrap()).await;
        assert_eq!(added, 1, "from now on there is one");
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
        as_if_newer(&database, LATER).await;
        drop(database);
        let error = bench.try_open(&schema(2)).await.unwrap_err().to_string();
        let says = format!("for the runtime's own tables, its schema has version {LATER} and needs");
        assert!(error.contains(&says), "{error}");
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
