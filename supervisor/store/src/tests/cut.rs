//! Cuts of databases that are written to.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use rusqlite::Connection;
use sea_orm::ConnectionTrait;

use super::bench::{Bench, begin, insert};
use crate::cut::{CutError, CutFile, cut};
use crate::manifest::BackupOf;
use crate::testing::schema;
use crate::{Database, Transaction};

/// Writers, who share commits.
const WRITERS: usize = 6;
const CUTS: usize = 12;

async fn open(bench: &mut Bench, name: &str) -> Database {
    bench.capability = name.into();
    bench.open(&schema(1)).await
}

fn file(database: &Database) -> CutFile {
    let of = BackupOf::Capability(database.capability().into());
    CutFile { of, path: database.path().expect("a file").into(), database: Some(database.clone()) }
}

async fn write(database: &Database, word: &str) -> Transaction {
    let (tx, _) = begin(database).await;
    insert(&tx, word).await.unwrap();
    tx
}

fn words(path: &Path) -> BTreeSet<String> {
    let copy = Connection::open(path).unwrap();
    let checked: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(checked, "ok");
    let mut all = copy.prepare("SELECT word FROM t1").unwrap();
    all.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn in_a_cut_under_load_there_is_no_effect_without_its_cause_and_nothing_that_came_later() {
    let mut bench = Bench::sqlite();
    let (cause, effect) = (open(&mut bench, "a-cause").await, open(&mut bench, "b-effect").await);
    for database in [&cause, &effect] {
        // Several steps of a copy.
        let (tx, _) = begin(database).await;
        tx.execute_unprepared("INSERT INTO t1 (id, word) VALUES (1, hex(randomblob(1500000)))").await.unwrap();
        tx.commit().await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..WRITERS).map(|writer| {
        let (cause, effect, stop) = (cause.clone(), effect.clone(), stop.clone());
        tokio::spawn(async move {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                let word = format!("{writer}-{written}");
                for database in [&cause, &effect] {
                    write(database, &word).await.commit().await.unwrap();
                }
                written += 1;
            }
            written
        })
    });
    let writers: Vec<_> = writers.collect();
    let (mut before, mut grown) = (0, 0);
    for number in 0..CUTS {
        let snapshots = cut(vec![file(&effect), file(&cause)], &bench.env).await.unwrap().1;
        let [causes, effects] = [0, 1].map(|which| bench.dir.path().join(format!("{number}-{which}")));
        // The writers go on for a while before the first page is copied, and while they are.
        write(&cause, &format!("after {number}")).await.commit().await.unwrap();
        let copied = tokio::task::spawn_blocking(move || {
            assert_eq!(snapshots[0].of, BackupOf::Capability("a-cause".into()));
            snapshots[0].copy_to(&causes, &|| true).unwrap();
            snapshots[1].copy_to(&effects, &|| true).unwrap();
            (words(&causes), words(&effects))
        });
        let (causes, effects) = copied.await.unwrap();
        assert!(!causes.contains(&format!("after {number}")), "it was written after the cut");
        let lacking: Vec<_> = effects.iter().filter(|word| word.len() < 1_000 && !causes.contains(*word)).collect();
        assert!(lacking.is_empty(), "effects without a cause in cut {number}: {lacking:?}");
        grown += usize::from(effects.len() > before);
        before = effects.len();
    }
    assert!(grown > CUTS / 2, "too little was written meanwhile: {grown} of {CUTS}");
    stop.store(true, Ordering::Relaxed);
    assert!(join_all(writers).await.into_iter().all(|written| written.unwrap() > 0));
}

#[tokio::test]
async fn a_writer_that_is_kept_is_named_and_all_go_on() {
    let mut bench = Bench::sqlite();
    let (free, kept) = (open(&mut bench, "a-free").await, open(&mut bench, "b-kept").await);
    let long = write(&kept, "long").await;
    let error = cut(vec![file(&kept), file(&free)], &bench.env).await.err().expect("no cut");
    assert!(matches!(&error, CutError::Busy { of: BackupOf::Capability(name), .. } if name == "b-kept"), "{error}");
    write(&free, "at once").await.commit().await.unwrap();
    long.commit().await.unwrap();
    assert_eq!(cut(vec![file(&kept), file(&free)], &bench.env).await.unwrap().1.len(), 2);
}

#[tokio::test]
async fn a_copy_that_is_to_end_ends_between_its_steps() {
    let mut bench = Bench::sqlite();
    let database = open(&mut bench, "a").await;
    let (tx, _) = begin(&database).await;
    tx.execute_unprepared("INSERT INTO t1 (id, word) VALUES (1, hex(randomblob(3000000)))").await.unwrap();
    tx.commit().await.unwrap();
    let snapshots = cut(vec![file(&database)], &bench.env).await.unwrap().1;
    let ended = snapshots[0].copy_to(&bench.dir.path().join("copy"), &|| false);
    assert!(matches!(ended, Err(crate::cut::CopyError::Ended)), "{ended:?}");
}
