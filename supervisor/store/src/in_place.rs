//! The connection that writes to a SQLite database. It is called in place: a statement runs on the thread that asks for it, since to
//! change threads costs more than most statements.
//!
//! So a statement is never left half-way by who asked for it. It ends, or is interrupted when its time is over; SQLite undoes the
//! whole transaction then.

use std::cell::Cell;
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use essaim_base::lock::Mutex;
use essaim_base::threads;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};
use sea_orm::sqlx::Error;
use sea_orm::{ExecResult, QueryResult, Statement};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::in_place_statement::{InPlaceRows, SqlValue, fetch, run, run_all, value_in_place};
use super::sqlite_failure::{SqliteFailure, failed};
use super::sqlx_rows::SqlxRows;

/// SQLite asks after so many of its virtual machine's instructions whether to go on.
const INSTRUCTIONS_BETWEEN_CHECKS: c_int = 10_000;

/// Pages in the journal after which a checkpoint follows a commit, as in SQLite itself.
const PAGES_FOR_CHECKPOINT: c_int = 1_000;

thread_local! {
    /// The pages of the journal after the commit that this thread has just made.
    static JOURNAL_PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// How to make such a connection.
#[derive(Debug, Clone)]
pub struct InPlaceOptions {
    pub path: PathBuf,
    pub pragmas: Vec<(&'static str, &'static str)>,
    pub statement_cache: usize,
    /// How long another program's lock is waited for while the connection is made. Later it is not waited for in place.
    pub lock: Duration,
    /// A COMMIT waits for the disk, and must not keep its thread waiting.
    pub waits_for_disk: bool,
}

/// A connection that is called in place.
pub struct InPlaceConnection {
    /// Absent while a commit is under way on another thread, and for good if nobody heard its end.
    connection: Option<Connection>,
    savepoint: Savepoint,
    signals: Arc<Signals>,
    rows: SqlxRows,
    /// How long others are waited for where no thread is kept waiting by it.
    lock: Duration,
    waits_for_disk: bool,
}

/// The savepoint behind which the transaction is that joined last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// There is none: the first transaction of all.
    None,
    /// It is to be made before the next statement, in place of an earlier one if there is one.
    Owed {
        earlier: bool,
    },
    Made,
}

/// What SQLite's callbacks read and write.
#[derive(Default)]
struct Signals {
    /// When the statement that runs is interrupted.
    limit: Mutex<Option<Instant>>,
    /// A whole transaction was undone since the last one began. SQLite does so by itself after some errors (a full disk, an
    /// I/O error, no memory, an interruption, a conflict whose resolution is `ROLLBACK`), and only its hook says so: the error does
    /// not, the savepoints are gone without a word, and what comes next would be a transaction of its own.
    undone: AtomicBool,
}

impl InPlaceOptions {
    /// Opens the file, on another thread: another program may have locked it.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn connect(&self) -> Result<InPlaceConnection, Error> {
        let options = self.clone();
        #[allow(clippy::disallowed_methods)] // One for each connection that is being made.
        let opened = spawn_blocking(move || options.open()).await;
        opened.map_err(|_| Error::WorkerCrashed)?.map_err(failed)
    }

    fn open(&self) -> rusqlite::Result<InPlaceConnection> {
        // Not as a URI: a path is a path.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.lock)?;
        for (name, value) in &self.pragmas {
            connection.pragma_update(None, name, value)?;
        }
        connection.busy_timeout(Duration::ZERO)?;
        // Without it a statement is parsed again whenever a value is bound that its plan could depend on, such as a LIMIT.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(self.statement_cache);
        let signals = Arc::new(Signals::default());
        let (ends, undoes) = (signals.clone(), signals.clone());
        connection.progress_handler(INSTRUCTIONS_BETWEEN_CHECKS, Some(move || ends.is_over()))?;
        connection.rollback_hook(Some(move || undoes.undone.store(true, Ordering::Release)))?;
        connection.wal_hook(Some(note_pages));
        Ok(InPlaceConnection {
            connection: Some(connection),
            savepoint: Savepoint::None,
            signals,
            rows: SqlxRows::default(),
            lock: self.lock,
            waits_for_disk: self.waits_for_disk,
        })
    }
}

impl Signals {
    fn is_over(&self) -> bool {
        self.limit.lock().is_some_and(|limit| Instant::now() >= limit)
    }
}

/// Takes the place of SQLite's own checkpoints, which would be a part of the COMMIT.
fn note_pages(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    JOURNAL_PAGES.set(pages);
    Ok(())
}

impl InPlaceConnection {
    /// Has statements interrupted from then on.
    pub fn interrupt_at(&mut self, limit: Instant) {
        *self.signals.limit.lock() = Some(limit);
    }

    /// Whether the transaction that was begun last was undone as a whole, with all that shared it.
    pub fn is_undone(&self) -> bool {
        self.signals.undone.load(Ordering::Acquire)
    }

    pub async fn execute(&mut self, statement: Statement) -> Result<ExecResult, Error> {
        let values = self.values(&statement).await?;
        self.statement(move |connection| run(connection, &statement.sql, &values)).await
    }

    pub async fn execute_unprepared(&mut self, sql: String) -> Result<ExecResult, Error> {
        self.statement(move |connection| run_all(connection, &sql, &[])).await
    }

    /// The rows that a statement finds, at most so many.
    pub async fn query(&mut self, statement: Statement, most: usize) -> Result<Vec<QueryResult>, Error> {
        let found = self.found(statement, most).await?;
        self.rows.rows(found).await
    }

    /// Rows that were found, for sea-orm.
    pub async fn decoded(&mut self, found: InPlaceRows) -> Result<Vec<QueryResult>, Error> {
        self.rows.rows(found).await
    }

    /// The rows that a statement finds, at most so many, as SQLite has them.
    pub async fn found(&mut self, statement: Statement, most: usize) -> Result<InPlaceRows, Error> {
        let values = self.values(&statement).await?;
        self.statement(move |connection| fetch(connection, &statement.sql, &values, most)).await
    }

    /// The values of a statement. They come before the savepoint is made: what cannot be converted leaves the neighbours alone.
    async fn values(&mut self, statement: &Statement) -> Result<Vec<SqlValue>, Error> {
        let Some(values) = &statement.values else { return Ok(Vec::new()) };
        let mut all = Vec::with_capacity(values.0.len());
        for value in &values.0 {
            all.push(match value_in_place(value) {
                Some(value) => value?,
                None => self.rows.value(value.clone()).await?,
            });
        }
        Ok(all)
    }

    /// Runs a statement, behind the savepoint that is owed.
    async fn statement<T: Send + 'static>(
        &mut self,
        run_it: impl FnOnce(&Connection) -> Result<T, SqliteFailure> + Send + 'static,
    ) -> Result<T, Error> {
        let owed: &[&str] = match self.savepoint {
            Savepoint::Owed { earlier: true } => &["RELEASE essaim", "SAVEPOINT essaim"],
            Savepoint::Owed { earlier: false } => &["SAVEPOINT essaim"],
            Savepoint::None | Savepoint::Made => &[],
        };
        if !owed.is_empty() {
            self.savepoint = Savepoint::Made;
        }
        let done = self.call(move |connection| {
            owed.iter().try_for_each(|sql| run(connection, sql, &[]).map(drop))?;
            run_it(connection)
        });
        match done.await? {
            Ok(done) => Ok(done),
            Err(failure) => Err(self.rows.error(failure).await),
        }
    }

    async fn control(&mut self, sql: &'static str) -> Result<(), Error> {
        self.call(move |connection| run(connection, sql, &[])).await?.map(drop).map_err(Error::from)
    }

    /// Works here; or, if nothing may block this thread, on another.
    async fn call<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> Result<T, Error> {
        match &self.connection {
            Some(connection) if !threads::must_not_block() => Ok(work(connection)),
            _ => self.elsewhere(work).await,
        }
    }

    /// Begins a transaction that may write at once, so that it never fails half-way for want of the write lock.
    pub async fn begin(&mut self) -> Result<(), Error> {
        self.savepoint = Savepoint::None;
        self.signals.undone.store(false, Ordering::Release);
        self.control("BEGIN IMMEDIATE").await
    }

    /// Commits, and empties the journal into the file if it has become long.
    pub async fn commit(&mut self) -> Result<(), Error> {
        self.savepoint = Savepoint::None;
        let commit = |connection: &Connection| {
            let committed = run(connection, "COMMIT", &[]);
            (committed, JOURNAL_PAGES.replace(0) >= PAGES_FOR_CHECKPOINT)
        };
        let (committed, is_long) =
            if self.waits_for_disk { self.elsewhere(commit).await? } else { self.call(commit).await? };
        committed?;
        if is_long {
            // What it did not empty the next one does.
            let _ = self.elsewhere(checkpoint).await?;
        }
        Ok(())
    }

    /// Works on another thread: it waits for the disk.
    async fn elsewhere<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let connection = self.connection.take().ok_or(Error::WorkerCrashed)?;
        #[allow(clippy::disallowed_methods)] // One for each connection.
        let worked = spawn_blocking(move || {
            let done = work(&connection);
            (connection, done)
        });
        let (connection, done) = worked.await.map_err(|_| Error::WorkerCrashed)?;
        self.connection = Some(connection);
        Ok(done)
    }

    pub async fn rollback(&mut self) -> Result<(), Error> {
        self.savepoint = Savepoint::None;
        self.control("ROLLBACK").await
    }

    /// Begins a transaction within the one that is open, behind what others wrote.
    pub fn join(&mut self) {
        self.savepoint = match self.savepoint {
            Savepoint::None => Savepoint::Owed { earlier: false },
            Savepoint::Made => Savepoint::Owed { earlier: true },
            owed @ Savepoint::Owed { .. } => owed,
        };
    }

    /// Undoes what was done since [`Self::join`].
    ///
    /// # Errors
    /// Also if what others did before is undone as well.
    pub async fn leave(&mut self) -> Result<(), Error> {
        if self.savepoint != Savepoint::Made {
            return Ok(());
        }
        if self.is_undone() {
            return Err(Error::Protocol("SQLite has undone the transaction with all that shared it".into()));
        }
        self.control("ROLLBACK TO essaim").await
    }

    /// Empties the journal into the file; whether it is empty then. Those who read from it are waited for.
    pub async fn settle(&mut self) -> Result<bool, Error> {
        let patience = self.lock;
        let truncated = self.elsewhere(move |connection: &Connection| {
            connection.busy_timeout(patience)?;
            let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i32>(0))?;
            connection.busy_timeout(Duration::ZERO)?;
            Ok(is_busy == 0)
        });
        truncated.await?.map_err(failed)
    }
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
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
        let endless =
            "INSERT INTO words WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
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

    #[tokio::test]
    async fn a_long_journal_is_emptied_into_the_file() {
        let directory = Directory::new();
        let mut c = opened(&directory).await;
        let file = directory.path().join("a.db");
        let before = std::fs::metadata(&file).unwrap().len();
        for _ in 0..2 {
            c.begin().await.unwrap();
            c.execute_unprepared("INSERT INTO words VALUES (hex(randomblob(3000000)))".into()).await.unwrap();
            c.commit().await.unwrap();
        }
        assert!(std::fs::metadata(&file).unwrap().len() > before + 6_000_000);
    }
}
