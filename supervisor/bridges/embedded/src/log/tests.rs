//! The embedded log is a log, and what it promises beside.

use std::path::PathBuf;

use essaim_protocol::conformance::{self as log_tests, Fixture};
use essaim_protocol::log_conformance;
use essaim_store::testing::Directory;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;

/// A log in a directory of its own, whose time is tokio's.
struct Bench {
    log: EmbeddedLog,
    settings: Settings,
    env: Env,
    directory: Directory,
}

impl Bench {
    async fn with(env: Env) -> Self {
        let directory = Directory::new();
        let mut settings = Settings::default();
        settings.node.data_dir = directory.path().join("data");
        let log = EmbeddedLog::open(&settings, env.clone(), &Tasks::without_node()).await.unwrap();
        Self { log, settings, env, directory }
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.settings.node.data_dir.join(format!("{FILE}{ending}"))
    }
}

impl Fixture for Bench {
    const LEASE: Duration = Duration::from_secs(1);

    async fn new() -> Option<Self> {
        Some(Self::with(Env::simulated(1, Duration::from_secs(1_000_000))).await)
    }

    fn log(&self) -> &dyn Log {
        &self.log
    }

    async fn reopened(self) -> Self {
        let Self { log, settings, env, directory } = self;
        drop(log);
        while essaim_store::held("log", &settings).is_some() {
            tokio::task::yield_now().await;
        }
        let log = EmbeddedLog::open(&settings, env.clone(), &Tasks::without_node()).await.unwrap();
        Self { log, settings, env, directory }
    }
}

mod conforms {
    use super::*;

    log_conformance!(Bench, (start_paused = true));
}

#[tokio::test]
async fn what_an_older_file_is_given_before_a_database_tells_what_it_knows_comes_behind_that() {
    let bench = Bench::with(Env::system()).await;
    log_tests::open_shop(&bench.log, 1).await;
    log_tests::append(&bench.log, &[log_tests::messages(0, 3, "a")]).await;
    let bench = bench.reopened().await;
    log_tests::append(&bench.log, &[log_tests::messages(0, 2, "b")]).await;
    let of_shop = log_tests::partition(0);
    assert_eq!(bench.log.appended(&of_shop).await, Ok(3), "as it was found");
    bench.log.raise(&of_shop, 7).await.unwrap();
    assert_eq!(bench.log.appended(&of_shop).await, Ok(7 + 2));
}

#[tokio::test]
async fn its_file_holds_the_logs_own_tables_alone() {
    let bench = Bench::with(Env::system()).await;
    let reads = bench.log.database.reads();
    let sql = "SELECT name FROM sqlite_master WHERE name LIKE 'essaim_inbox' OR name = 'essaim_fence'";
    let query = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, sql);
    assert!(sea_orm::ConnectionTrait::query_one_raw(reads, query).await.unwrap().is_none());
}

#[tokio::test]
async fn a_second_process_is_refused_in_words_that_say_what_to_do() {
    let bench = Bench::with(Env::system()).await;
    let refused =
        EmbeddedLog::open(&bench.settings, bench.env.clone(), &Tasks::without_node()).await.err().unwrap().to_string();
    assert!(refused.contains("log.sqlite3 is in use by") && refused.contains("node.data_dir"), "{refused}");
}

#[tokio::test]
async fn what_was_answered_is_in_the_files_that_a_killed_process_leaves() {
    let bench = Bench::with(Env::system()).await;
    log_tests::open_shop(&bench.log, 1).await;
    let epochs = log_tests::own_all(&bench.log, "a", log_tests::SURELY).await;
    log_tests::append(&bench.log, &["a", "b"].map(|text| log_tests::messages(0, 1, text))).await;
    let first = log_tests::read(&bench.log, 0).await[0].position;
    bench.log.acknowledge(&[log_tests::acknowledge(0, epochs[0], &[first])]).await.unwrap();
    let mut settings = bench.settings.clone();
    settings.node.data_dir = bench.directory.path().join("copy");
    std::fs::create_dir_all(&settings.node.data_dir).unwrap();
    for ending in ["", "-wal"] {
        std::fs::copy(bench.file(ending), settings.node.data_dir.join(format!("{FILE}{ending}"))).unwrap();
    }
    let copy = EmbeddedLog::open(&settings, bench.env.clone(), &Tasks::without_node()).await.unwrap();
    assert_eq!(log_tests::texts(&log_tests::read(&copy, 0).await), ["b"]);
    let counted = log_tests::count(&copy, 0).await;
    assert_eq!((counted.appended, counted.waiting), (2, 1));
}

#[tokio::test]
async fn a_sender_that_goes_away_harms_nobody() {
    let bench = Bench::with(Env::system()).await;
    let log = &bench.log;
    log_tests::open_shop(log, 1).await;
    let sends = (0..200).map(|n| async move {
        let send = log_tests::messages(0, 1, &n.to_string());
        let sending = log_tests::append(log, std::slice::from_ref(&send));
        match n % 2 {
            0 => drop(tokio::time::timeout(Duration::from_micros(n), sending).await),
            _ => drop(sending.await),
        }
    });
    join_all(sends).await;
    let entries = log_tests::read(log, 0).await;
    let stored = log_tests::texts(&entries);
    assert!((0..200).filter(|n| n % 2 == 1).all(|n| stored.contains(&n.to_string().as_str())), "{stored:?}");
    assert!(entries.iter().zip(0..).all(|(entry, n)| entry.first == n), "{entries:?}");
    assert_eq!(log_tests::count(log, 0).await.waiting, entries.len() as u64);
}

#[tokio::test]
async fn what_cannot_be_written_is_surely_not_stored_and_later_sends_are() {
    let bench = Bench::with(Env::system()).await;
    let log = &bench.log;
    log_tests::open_shop(log, 1).await;
    log_tests::append(log, &[log_tests::messages(0, 1, "before")]).await;
    // A table that is gone stands for a disk that is full: the statement fails, and the transaction with it.
    let tx = log.database.begin().await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&tx, "ALTER TABLE entries RENAME TO hidden").await.unwrap();
    tx.commit().await.unwrap();
    let version = log.registry().await.unwrap().version;
    let send = [log_tests::messages(0, 1, "lost")];
    let failed = log.append(version, log_tests::MUCH, &send).await;
    assert!(matches!(&failed, Err(AppendError::NotStored(why)) if why.contains("entries")), "{failed:?}");
    let heartbeat = log_tests::host("a", "a", log_tests::SURELY);
    assert_eq!(log.heartbeat(&heartbeat).await.unwrap().len(), 1, "what needs no entries goes on");
    let tx = log.database.begin().await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&tx, "ALTER TABLE hidden RENAME TO entries").await.unwrap();
    tx.commit().await.unwrap();
    let stored = log_tests::append(log, &[log_tests::messages(0, 1, "after")]).await;
    assert_eq!(stored, [Appended::Stored { first: 1 }], "what failed left no gap");
    assert_eq!(log_tests::texts(&log_tests::read(log, 0).await), ["before", "after"]);
}

#[tokio::test]
async fn a_capability_that_nobody_registered_cannot_be_sent_to() {
    let bench = Bench::with(Env::system()).await;
    let unknown_partition = bench.log.append(0, log_tests::MUCH, &[log_tests::messages(7, 1, "a")]).await;
    assert!(matches!(&unknown_partition, Err(AppendError::NotStored(why)) if why.contains("no partition 7 of shop")));
}

/// Prints how many messages a second are stored, each appended alone.
#[tokio::test]
#[ignore = "a measurement"]
async fn appends_a_second_from_256_tasks() {
    const TASKS: u64 = 256;
    const EACH: u64 = 400;
    let bench = Bench::with(Env::system()).await;
    let log = &bench.log;
    log_tests::open_shop(log, 8).await;
    let version = log.registry().await.unwrap().version;
    let text = "x".repeat(256);
    let began = Instant::now();
    let tasks = (0..TASKS).map(|n| {
        let send = [log_tests::messages(n as u32 % 8, 1, &text)];
        async move {
            for _ in 0..EACH {
                log.append(version, u64::MAX, &send).await.unwrap();
            }
        }
    });
    join_all(tasks).await;
    let took = began.elapsed();
    println!("{:.0} appends a second", (TASKS * EACH) as f64 / took.as_secs_f64());
    let began = Instant::now();
    for _ in 0..1_000 {
        log.append(version, u64::MAX, &[log_tests::messages(0, 1, &text)]).await.unwrap();
    }
    println!("{:.0} µs for a lone append", began.elapsed().as_secs_f64() * 1e3);
}
