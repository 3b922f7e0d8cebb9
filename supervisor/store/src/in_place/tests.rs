use sea_orm::DbBackend;

use super::*;
use crate::connection::{Connection, Connector};
use crate::sqlite;
use crate::testing::Directory;

async fn opened(directory: &Directory) -> Box<InPlaceConnection> {
    let file = directory.path().join("a.db");
    sqlite::make_private_file(&file).unwrap();
    let writer: Connector = sqlite::writer(&file, &essaim_config::StoreConfig::default());
    let Connection::InPlace(mut connection) = writer.connect().await.unwrap() else { unreachable!() };
    connection.execute_unprepared("CREATE TABLE words (name TEXT)".into()).await.unwrap();
    connection
}

async fn names(connection: &mut InPlaceConnection) -> Vec<String> {
    let all = Statement::from_string(DbBackend::Sqlite, "SELECT name FROM words ORDER BY name");
    let rows = connection.query(all, usize::MAX).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

fn add(name: &str) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, "INSERT INTO words VALUES ($1), ($1 || '!')", [name.into()])
}

#[tokio::test]
async fn each_joins_behind_a_savepoint_that_is_made_with_its_first_statement() {
    let directory = Directory::new();
    let mut c = opened(&directory).await;
    c.begin().await.unwrap();
    c.execute(add("a")).await.unwrap();
    for (name, stays) in [("b", false), ("c", true), ("d", false), ("e", true)] {
        c.join();
        assert_eq!(c.execute(add(name)).await.unwrap().rows_affected(), 2, "the savepoint's do not count");
        if !stays {
            c.leave().await.unwrap();
        }
    }
    // One that has done nothing leaves those before it as they are, and so does one whose statement reads or is raw.
    c.join();
    c.leave().await.unwrap();
    c.join();
    c.execute_unprepared("INSERT INTO words VALUES ('f'); INSERT INTO words VALUES ('g')".into()).await.unwrap();
    c.leave().await.unwrap();
    c.join();
    assert_eq!(names(&mut c).await, ["a", "a!", "c", "c!", "e", "e!"]);
    c.leave().await.unwrap();
    c.commit().await.unwrap();
    assert_eq!(names(&mut c).await, ["a", "a!", "c", "c!", "e", "e!"]);
}

#[tokio::test]
async fn an_interrupted_statement_undoes_the_transaction_and_all_that_joined_it() {
    let directory = Directory::new();
    let mut c = opened(&directory).await;
    c.begin().await.unwrap();
    c.execute(add("a")).await.unwrap();
    c.join();
    c.interrupt_at(Instant::now());
    let endless = "INSERT INTO words WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let error = c.execute_unprepared(endless.into()).await.unwrap_err();
    assert!(crate::classify::is_interrupted(&error) && c.is_undone(), "{error}");
    assert!(c.leave().await.is_err());
    c.interrupt_at(Instant::now() + Duration::from_secs(60));
    assert_eq!(names(&mut c).await, [""; 0]);
}

#[tokio::test]
async fn nothing_that_was_owed_in_a_transaction_is_made_after_its_end() {
    let directory = Directory::new();
    let mut c = opened(&directory).await;
    for commits in [true, false] {
        c.begin().await.unwrap();
        c.join();
        if commits {
            c.commit().await.unwrap()
        } else {
            c.rollback().await.unwrap()
        }
        let copy = directory.path().join(format!("copy-{commits}.db"));
        c.execute_unprepared(format!("VACUUM INTO '{}'", copy.display())).await.unwrap();
    }
}

/// Writes pages to the journal.
async fn write(connection: &mut InPlaceConnection, pages: u32) {
    connection.begin().await.unwrap();
    let sql = format!("INSERT INTO words VALUES (zeroblob({}))", pages * 4_096);
    connection.execute_unprepared(sql).await.unwrap();
    connection.commit().await.unwrap();
}

#[tokio::test]
async fn a_long_journal_is_emptied_into_the_file_beside_the_writer() {
    let directory = Directory::new();
    let (mut c, file) = (opened(&directory).await, directory.path().join("a.db"));
    let length = || std::fs::metadata(&file).unwrap().len();
    write(&mut c, 500).await;
    let before = length();
    write(&mut c, 600).await;
    let moved = async {
        while length() < before + 4_400_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), moved).await.expect("what is in the journal moves");
}

#[tokio::test]
async fn a_journal_does_not_grow_for_ever_however_fast_it_is_written_to() {
    let directory = Directory::new();
    let (mut c, journal) = (opened(&directory).await, directory.path().join("a.db-wal"));
    for _ in 0..300 {
        write(&mut c, 100).await;
    }
    let length = std::fs::metadata(&journal).unwrap().len();
    assert!(length < 5_000 * 4_120, "{length}");
}
