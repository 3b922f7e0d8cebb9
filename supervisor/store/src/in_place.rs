//! The connection that writes to a SQLite database. It is called in place: a statement runs on the thread that asks for it, since to
//! change threads costs more than most statements.
//!
//! So a statement is never left half-way by who asked for it. It ends, or is interrupted when its time is over; SQLite undoes the
//! whole transaction then.

#[cfg(test)]
mod tests;

use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use essaim_base::lock::Mutex;
use essaim_base::threads;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use sea_orm::sqlx::Error;
use sea_orm::{ExecResult, QueryResult, Statement};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::checkpoints::{self, Checkpoints, count_pages};
use super::in_place_statement::{InPlaceRows, SqlValue, fetch, run, run_all, value_in_place};
use super::sqlite_failure::{SqliteFailure, failed};
use super::sqlx_rows::SqlxRows;

/// SQLite asks after so many of its virtual machine's instructions whether to go on.
const INSTRUCTIONS_BETWEEN_CHECKS: c_int = 10_000;

/// The C library gives the end of its heap back to the operating system whenever 128 KiB of it are free, and SQLite's pages are: under
/// load that would be at each transaction. Of what was freed once as one piece it keeps twice as much.
const KEEP_MEMORY: &str = "SELECT substr(zeroblob(8388608), 1, 1)";

static MEMORY_IS_KEPT: Once = Once::new();

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
    /// It writes, and has its journal emptied.
    pub writes: bool,
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
    /// Absent where it only reads.
    checkpoints: Option<Checkpoints>,
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

    fn open_file(&self) -> rusqlite::Result<Connection> {
        // Not as a URI: a path is a path.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.lock)?;
        for (name, value) in &self.pragmas {
            connection.pragma_update(None, name, value)?;
        }
        connection.busy_timeout(Duration::ZERO)?;
        Ok(connection)
    }

    fn open(&self) -> rusqlite::Result<InPlaceConnection> {
        let connection = self.open_file()?;
        MEMORY_IS_KEPT.call_once(|| drop(connection.query_row(KEEP_MEMORY, [], |_| Ok(()))));
        let checkpoints = if self.writes { Some(Checkpoints::by(self.open_file()?)) } else { None };
        // Without it a statement is parsed again whenever a value is bound that its plan could depend on, such as a LIMIT.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(self.statement_cache);
        let signals = Arc::new(Signals::default());
        let (ends, undoes) = (signals.clone(), signals.clone());
        connection.progress_handler(INSTRUCTIONS_BETWEEN_CHECKS, Some(move || ends.is_over()))?;
        connection.rollback_hook(Some(move || undoes.undone.store(true, Ordering::Release)))?;
        connection.wal_hook(Some(count_pages));
        Ok(InPlaceConnection {
            connection: Some(connection),
            savepoint: Savepoint::None,
            signals,
            rows: SqlxRows::default(),
            lock: self.lock,
            waits_for_disk: self.waits_for_disk,
            checkpoints,
        })
    }
}

impl Signals {
    fn is_over(&self) -> bool {
        self.limit.lock().is_some_and(|limit| Instant::now() >= limit)
    }
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
        debug_assert_eq!(self.savepoint, Savepoint::None, "the end of a transaction is the end of its savepoints");
        self.signals.undone.store(false, Ordering::Release);
        self.control("BEGIN IMMEDIATE").await
    }

    /// Commits, and has the journal emptied into the file if it has become long.
    pub async fn commit(&mut self) -> Result<(), Error> {
        self.savepoint = Savepoint::None;
        let commit = |connection: &Connection| {
            let committed = run(connection, "COMMIT", &[]);
            (committed, checkpoints::journal_pages())
        };
        let (committed, pages) =
            if self.waits_for_disk { self.elsewhere(commit).await? } else { self.call(commit).await? };
        committed?;
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.after_commit(pages).await;
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

    /// Ends the savepoint of the transaction that joined last: what follows is everybody's.
    pub async fn release(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.savepoint, Savepoint::None) {
            Savepoint::Made | Savepoint::Owed { earlier: true } => self.control("RELEASE essaim").await,
            Savepoint::Owed { earlier: false } | Savepoint::None => Ok(()),
        }
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
