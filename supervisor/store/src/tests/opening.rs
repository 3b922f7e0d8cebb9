//! What is said when a database cannot be opened, and what it is like when it is open.

use std::time::Duration;

use essaim_config::Durability;

use super::bench::{Bench, begin, on_both, texts};
use crate::testing::schema;
use crate::{DatabaseKind, check};

#[tokio::test]
async fn a_sqlite_file_has_one_live_host_and_can_be_opened_again_afterwards() {
    let bench = Bench::sqlite();
    let first = bench.open(&schema(1)).await;
    let refused = bench.try_open(&schema(1)).await.unwrap_err().to_string();
    assert!(refused.contains("is in use by") && refused.contains(".sqlite3"), "{refused}");
    let report = check(&bench.capability, &bench.settings, &schema(1)).await;
    assert_eq!((report.problem, report.note.as_deref()), (None, Some("in use by this process itself")));
    drop(first);
    bench.open(&schema(1)).await;
}

#[tokio::test]
async fn a_start_that_fails_frees_the_lock_for_the_next_try() {
    let bench = Bench::sqlite();
    drop(bench.open(&schema(2)).await);
    assert!(bench.try_open(&schema(1)).await.is_err());
    bench.open(&schema(2)).await;
}

#[tokio::test]
async fn paths_that_cannot_hold_a_database_are_named() {
    let mut bench = Bench::sqlite();
    let file = bench.dir.path().join("a-file");
    std::fs::write(&file, "not a database, and longer than the header of one would be ........................")
        .unwrap();
    let mut error_at = async |database: String| {
        bench.settings.capabilities.entry(bench.capability.clone()).or_default().database = database;
        let error = bench.try_open(&schema(1)).await.unwrap_err().to_string();
        let reported = check(&bench.capability, &bench.settings, &schema(1)).await;
        assert!(reported.problem.is_some(), "{reported}");
        error
    };
    let below = error_at(format!("sqlite://{}/below/x.db", file.display())).await;
    assert!(below.contains("cannot make the data directory") && below.contains("--data-dir"), "{below}");
    let directory = error_at(format!("sqlite://{}", file.parent().unwrap().display())).await;
    assert!(directory.contains("is a directory"), "{directory}");
    let foreign = error_at(format!("sqlite://{}", file.display())).await;
    assert!(foreign.contains("is no SQLite database"), "{foreign}");
}

#[tokio::test]
async fn looking_at_a_database_makes_and_changes_nothing() {
    on_both(async |bench| {
        let look = async |steps| check(&bench.capability, &bench.settings, &schema(steps)).await;
        let before = look(1).await;
        assert_eq!((before.schema_version, &before.problem), (None, &None), "{before}");
        assert!(before.to_string().contains("made at the first start"), "{before}");
        assert!(!bench.settings.node.data_dir.exists());
        drop(bench.open(&schema(2)).await);
        assert_eq!(look(2).await.schema_version, Some(2));
        let behind = look(3).await;
        assert_eq!(behind.note.as_deref(), Some("migrated at the next start"));
        assert!(look(1).await.problem.unwrap().contains("run the newer binary"));
        assert_eq!(look(2).await.schema_version, Some(2));
    })
    .await;
}

#[tokio::test]
async fn an_open_database_reports_itself() {
    on_both(async |bench| {
        let database = bench.open(&schema(2)).await;
        let (_tx, _) = begin(&database).await;
        let report = database.report(Duration::from_secs(5)).await;
        assert_eq!((report.schema_version, report.connections_in_use, &report.problem), (Some(2), 1, &None));
        assert_eq!(report.kind.has_one_host(), report.kind == DatabaseKind::Sqlite);
    })
    .await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_server_that_refuses_is_one_line_without_the_password() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut bench = Bench::sqlite();
    bench.settings.store.acquire_timeout_ms = 200;
    let url = format!("postgres://shop:s3cret@127.0.0.1:{port}/main");
    bench.settings.capabilities.entry(bench.capability.clone()).or_default().database = url;
    // It listens and never answers.
    let silent = bench.try_open(&schema(1)).await.unwrap_err().to_string();
    assert!(silent.contains("does not answer"), "{silent}");
    drop(listener);
    let refused = bench.try_open(&schema(1)).await.unwrap_err().to_string();
    assert!(refused.contains("refuses connections: start it"), "{refused}");
    for line in [silent, refused, check(&bench.capability, &bench.settings, &schema(1)).await.to_string()] {
        assert!(line.contains(&format!("127.0.0.1:{port}")) && !line.contains("s3cret") && !line.contains('\n'));
    }
}

#[tokio::test]
async fn sqlite_is_set_up_for_the_durability_that_is_configured() {
    for (durability, synchronous) in [(Durability::Process, 1), (Durability::Machine, 2)] {
        let mut bench = Bench::sqlite();
        bench.settings.store.durability = durability;
        let database = bench.open(&schema(1)).await;
        let (tx, _) = begin(&database).await;
        let pragma = async |name: &str| {
            let asked = format!("SELECT cast({name} AS TEXT) FROM pragma_{name}");
            texts(&tx, &asked).await.remove(0)
        };
        assert_eq!(pragma("journal_mode").await, "wal");
        assert_eq!(pragma("synchronous").await, synchronous.to_string());
        assert_eq!(pragma("foreign_keys").await, "1");
    }
}
