//! One connection to a database, of either kind, and how to make one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteQueryResult};
use sea_orm::sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Error, Executor, IntoArguments, Sqlite, SqliteConnection, query,
    query_with,
};
use sea_orm::{DbBackend, ExecResult, QueryResult, Statement, sea_query::Values};
use sea_query_sqlx::SqlxValues;

use super::savepoint::Savepoint;
use super::{postgres, sqlite};

/// SQLite asks after so many of its virtual machine's instructions whether to go on.
const INSTRUCTIONS_BETWEEN_CHECKS: i32 = 10_000;

/// How to make connections.
#[derive(Debug, Clone)]
pub enum Connector {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(postgres::Options),
}

/// A connection. Dropping it ends its work: a transaction is rolled back, a statement interrupted.
pub enum Connection {
    Sqlite { inner: Box<SqliteConnection>, savepoint: Savepoint, signals: SqliteSignals },
    Postgres(postgres::Connection),
}

/// Signals to and from SQLite's thread beside the statements. Dropping them stops the statement that runs.
#[derive(Default)]
pub struct SqliteSignals {
    stop: Arc<AtomicBool>,
    /// A whole transaction was undone since the last one began. SQLite does so by itself after some errors (a full disk, an
    /// I/O error, no memory, a conflict whose resolution is `ROLLBACK`), and only its hook says so: the error does not, the
    /// savepoints are gone without a word, and what comes next would be a transaction of its own.
    undone: Arc<AtomicBool>,
}

impl SqliteSignals {
    async fn of(connection: &mut SqliteConnection) -> Result<Self, Error> {
        let signals = Self::default();
        let (stop, undone) = (signals.stop.clone(), signals.undone.clone());
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(INSTRUCTIONS_BETWEEN_CHECKS, move || !stop.load(Ordering::Relaxed));
        handle.set_rollback_hook(move || undone.store(true, Ordering::Release));
        Ok(signals)
    }

    fn is_undone(&self) -> bool {
        self.undone.load(Ordering::Acquire)
    }
}

impl Drop for SqliteSignals {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Connector {
    pub fn sqlite(options: SqliteConnectOptions) -> Self {
        Self::Sqlite(Box::new(options))
    }

    pub fn backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    pub async fn connect(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite(options) => {
                let mut inner = Box::new(options.connect().await?);
                let signals = SqliteSignals::of(&mut inner).await?;
                Ok(Connection::Sqlite { inner, savepoint: Savepoint::default(), signals })
            }
            Self::Postgres(options) => Ok(Connection::Postgres(postgres::connect(options).await?)),
        }
    }

    /// The same for a check of the database that takes no longer than `limit`.
    pub fn looking(&self, limit: Duration) -> Self {
        match self {
            Self::Sqlite(options) => Self::sqlite((**options).clone().busy_timeout(limit / 2).create_if_missing(false)),
            Self::Postgres(options) => Self::Postgres(options.clone()),
        }
    }

    /// Why a connection cannot be made, in words that say what to do.
    pub fn explain(&self, error: &Error) -> String {
        match self {
            Self::Sqlite(options) => sqlite::explain(options.get_filename(), error),
            Self::Postgres(options) => postgres::explain(options, error),
        }
    }

    /// The message when making a connection takes too long.
    pub fn silent(&self) -> String {
        match self {
            Self::Sqlite(options) => sqlite::silent(options.get_filename()),
            Self::Postgres(options) => postgres::silent(options),
        }
    }
}

impl Connection {
    pub async fn execute(&mut self, statement: Statement) -> Result<ExecResult, Error> {
        match self {
            Self::Sqlite { inner, savepoint, .. } => match on_sqlite(savepoint, statement) {
                (query, 0) => query.execute(&mut **inner).await.map(Into::into),
                (query, before) => execute_after(inner, query, before).await.map(Into::into),
            },
            Self::Postgres(inner) => inner.execute(statement).await,
        }
    }

    pub async fn execute_unprepared(&mut self, sql: String) -> Result<ExecResult, Error> {
        match self {
            Self::Sqlite { inner, savepoint, .. } => {
                if savepoint.is_owed() {
                    Executor::execute(&mut **inner, savepoint.pay().0).await?;
                }
                Executor::execute(&mut **inner, AssertSqlSafe(sql)).await.map(Into::into)
            }
            Self::Postgres(inner) => inner.execute_unprepared(sql).await,
        }
    }

    pub async fn query_one(&mut self, statement: Statement) -> Result<Option<QueryResult>, Error> {
        match self {
            Self::Sqlite { inner, savepoint, .. } => {
                let (query, _) = on_sqlite(savepoint, statement);
                Ok(query.fetch_optional(&mut **inner).await?.map(Into::into))
            }
            Self::Postgres(inner) => inner.query_one(statement).await,
        }
    }

    pub async fn query_all(&mut self, statement: Statement) -> Result<Vec<QueryResult>, Error> {
        match self {
            Self::Sqlite { inner, savepoint, .. } => {
                let (query, _) = on_sqlite(savepoint, statement);
                Ok(query.fetch_all(&mut **inner).await?.into_iter().map(Into::into).collect())
            }
            Self::Postgres(inner) => inner.query_all(statement).await,
        }
    }

    /// Begins a transaction; on SQLite one that may write at once, so that it never fails half-way for want of the
    /// write lock.
    pub async fn begin(&mut self) -> Result<(), Error> {
        if let Self::Sqlite { savepoint, signals, .. } = self {
            *savepoint = Savepoint::default();
            signals.undone.store(false, Ordering::Release);
        }
        self.control("BEGIN IMMEDIATE", "BEGIN").await
    }

    /// Whether the transaction that was begun last was undone as a whole, with all that shared it; certain once the last
    /// statement has ended.
    pub fn is_undone(&self) -> bool {
        matches!(self, Self::Sqlite { signals, .. } if signals.is_undone())
    }

    pub async fn commit(&mut self) -> Result<(), Error> {
        self.control("COMMIT", "COMMIT").await
    }

    /// Undoes the transaction.
    pub async fn rollback(&mut self) -> Result<(), Error> {
        self.control("ROLLBACK", "ROLLBACK").await
    }

    /// Begins a transaction within the one that is open, behind what others wrote.
    pub fn join(&mut self) {
        if let Self::Sqlite { savepoint, .. } = self {
            savepoint.owe();
        }
    }

    /// Undoes what was done since [`Connection::join`].
    ///
    /// # Errors
    /// Also if what others did before is undone as well.
    pub async fn leave(&mut self) -> Result<(), Error> {
        let Self::Sqlite { inner, savepoint, signals } = self else { return Ok(()) };
        if savepoint.is_owed() {
            return Ok(());
        }
        let undone = query("ROLLBACK TO essaim").execute(&mut **inner).await;
        // Checked only now: an abandoned statement has come to its end before this one.
        if signals.is_undone() {
            return Err(Error::Protocol("SQLite has undone the transaction with all that shared it".into()));
        }
        match undone {
            // An abandoned statement came as far as to release the savepoint before it.
            Err(Error::Database(e)) if e.message().starts_with("no such savepoint") => {
                query("SAVEPOINT essaim").execute(&mut **inner).await.map(drop)
            }
            undone => undone.map(drop),
        }
    }

    /// SQLite keeps these prepared, which saves parsing; PostgreSQL takes them unprepared in one round trip.
    async fn control(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<(), Error> {
        match self {
            Self::Sqlite { inner, .. } => query(sqlite).execute(&mut **inner).await.map(drop),
            Self::Postgres(inner) => inner.control(postgres).await,
        }
    }

    /// Closes the connection and waits for the end.
    pub async fn close(self) -> Result<(), Error> {
        match self {
            Self::Sqlite { inner, .. } => inner.close().await,
            Self::Postgres(inner) => inner.close().await,
        }
    }
}

/// A statement with its values, behind the savepoint that is owed, and how many statements of the runtime's precede it.
///
/// The values come first: converting one that SQLite has no room for panics, and a savepoint that counted as made by then
/// would be the neighbour's.
fn on_sqlite(savepoint: &mut Savepoint, statement: Statement) -> (Query<'static, Sqlite, SqliteArguments>, usize) {
    let (sql, values) = (statement.sql, statement.values.unwrap_or_else(|| Values(Vec::new())));
    let arguments = IntoArguments::<Sqlite>::into_arguments(SqlxValues(values));
    let (owed, before) = savepoint.pay();
    let sql = if before == 0 { sql } else { format!("{owed}{sql}") };
    (query_with(AssertSqlSafe(sql), arguments), before)
}

/// Runs a text whose first statements are the runtime's, and counts what the others changed. (Of sqlx's drivers SQLite's
/// alone prepares several statements of one text.)
async fn execute_after(
    connection: &mut SqliteConnection,
    query: Query<'static, Sqlite, SqliteArguments>,
    before: usize,
) -> Result<SqliteQueryResult, Error> {
    let done = connection.fetch_many(query).try_filter_map(async |step| Ok(step.left()));
    done.skip(before).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    async fn names(connection: &mut Connection) -> Vec<String> {
        let all = Statement::from_string(DbBackend::Sqlite, "SELECT name FROM words ORDER BY name");
        let rows = connection.query_all(all).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    fn add(name: &str) -> Statement {
        Statement::from_sql_and_values(DbBackend::Sqlite, "INSERT INTO words VALUES ($1), ($1 || '!')", [name.into()])
    }

    #[tokio::test]
    async fn each_joins_behind_a_savepoint_that_comes_with_its_first_statement() {
        let directory = Directory::new();
        let options = SqliteConnectOptions::new().filename(directory.path().join("a.db")).create_if_missing(true);
        let mut c = Connector::sqlite(options).connect().await.unwrap();
        c.execute_unprepared("CREATE TABLE words (name TEXT)".into()).await.unwrap();
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
    async fn a_first_statement_that_came_no_further_than_the_release_is_undone() {
        let directory = Directory::new();
        let options = SqliteConnectOptions::new().filename(directory.path().join("a.db")).create_if_missing(true);
        let mut c = Connector::sqlite(options).connect().await.unwrap();
        c.execute_unprepared("CREATE TABLE words (name TEXT)".into()).await.unwrap();
        c.begin().await.unwrap();
        c.join();
        c.execute(add("a")).await.unwrap();
        c.join();
        let Connection::Sqlite { savepoint, .. } = &mut c else { unreachable!() };
        assert_eq!(savepoint.pay().1, 2);
        c.execute_unprepared("RELEASE essaim".into()).await.unwrap();
        c.leave().await.unwrap();
        c.join();
        c.execute(add("b")).await.unwrap();
        c.leave().await.unwrap();
        assert_eq!(names(&mut c).await, ["a", "a!"]);
    }
}
