//! One connection to a database, of either kind, and how to make one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Error, Executor, PgConnection, SqliteConnection, query, query_with,
};
use sea_orm::{DbBackend, ExecResult, QueryResult, Statement, sea_query::Values};
use sea_query_sqlx::SqlxValues;

use super::{postgres, sqlite};

/// SQLite asks after so many of its virtual machine's instructions whether to go on.
const INSTRUCTIONS_BETWEEN_CHECKS: i32 = 10_000;

/// How to make connections.
#[derive(Debug, Clone)]
pub(crate) enum Connector {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

/// A connection. Dropping it ends whatever it is doing: a transaction is rolled back, a statement interrupted.
pub(crate) enum Connection {
    Sqlite { inner: Box<SqliteConnection>, _interrupt: Interrupt },
    Postgres(Box<PgConnection>),
}

/// Stops the statement that runs on a SQLite connection when it is dropped.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connector {
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
                let stop = Arc::new(AtomicBool::new(false));
                let asked = stop.clone();
                let go_on = move || !asked.load(Ordering::Relaxed);
                inner.lock_handle().await?.set_progress_handler(INSTRUCTIONS_BETWEEN_CHECKS, go_on);
                Ok(Connection::Sqlite { inner, _interrupt: Interrupt(stop) })
            }
            Self::Postgres(options) => Ok(Connection::Postgres(Box::new(options.connect().await?))),
        }
    }

    /// What keeps a connection from being made, in words that say what to do.
    pub fn explain(&self, error: &Error) -> String {
        match self {
            Self::Sqlite(options) => sqlite::explain(options.get_filename(), error),
            Self::Postgres(options) => postgres::explain(options, error),
        }
    }

    /// What is said when making a connection takes too long.
    pub fn silent(&self) -> String {
        match self {
            Self::Sqlite(options) => format!("{} cannot be opened in time", options.get_filename().display()),
            Self::Postgres(options) => postgres::silent(options),
        }
    }
}

/// Runs the same code on either kind of connection.
macro_rules! on {
    ($connection:expr, $c:ident => $body:expr) => {
        match $connection {
            Connection::Sqlite { inner: $c, .. } => $body,
            Connection::Postgres($c) => $body,
        }
    };
}

impl Connection {
    pub async fn execute(&mut self, statement: Statement) -> Result<ExecResult, Error> {
        let (sql, values) = parts(statement);
        on!(self, c => query_with(sql, values).execute(&mut **c).await.map(Into::into))
    }

    pub async fn execute_unprepared(&mut self, sql: String) -> Result<ExecResult, Error> {
        on!(self, c => Executor::execute(&mut **c, AssertSqlSafe(sql)).await.map(Into::into))
    }

    pub async fn query_one(&mut self, statement: Statement) -> Result<Option<QueryResult>, Error> {
        let (sql, values) = parts(statement);
        on!(self, c => Ok(query_with(sql, values).fetch_optional(&mut **c).await?.map(Into::into)))
    }

    pub async fn query_all(&mut self, statement: Statement) -> Result<Vec<QueryResult>, Error> {
        let (sql, values) = parts(statement);
        on!(self, c => Ok(query_with(sql, values).fetch_all(&mut **c).await?.into_iter().map(Into::into).collect()))
    }

    /// Begins a transaction; on SQLite one that may write at once, so that it never fails half-way for want of the
    /// write lock.
    pub async fn begin(&mut self) -> Result<(), Error> {
        self.control("BEGIN IMMEDIATE", "BEGIN").await
    }

    pub async fn commit(&mut self) -> Result<(), Error> {
        self.control("COMMIT", "COMMIT").await
    }

    /// Undoes the transaction, or what was done behind the last savepoint.
    pub async fn rollback(&mut self, to_savepoint: bool) -> Result<(), Error> {
        match to_savepoint {
            true => self.control("ROLLBACK TO essaim", "ROLLBACK TO essaim").await,
            false => self.control("ROLLBACK", "ROLLBACK").await,
        }
    }

    /// Makes a savepoint, in place of the last one if it is made `again`.
    pub async fn save(&mut self, again: bool) -> Result<(), Error> {
        let sql = if again { "RELEASE essaim; SAVEPOINT essaim" } else { "SAVEPOINT essaim" };
        self.control(sql, sql).await
    }

    /// SQLite keeps these prepared, which saves parsing; PostgreSQL takes them unprepared in one round trip.
    async fn control(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<(), Error> {
        match self {
            Self::Sqlite { inner, .. } => query(sqlite).execute(&mut **inner).await.map(drop),
            Self::Postgres(inner) => Executor::execute(&mut **inner, postgres).await.map(drop),
        }
    }

    /// Says good-bye to the server and waits until it is gone.
    pub async fn close(self) -> Result<(), Error> {
        match self {
            Self::Sqlite { inner, .. } => inner.close().await,
            Self::Postgres(inner) => inner.close().await,
        }
    }
}

fn parts(statement: Statement) -> (AssertSqlSafe<String>, SqlxValues) {
    let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
    (AssertSqlSafe(statement.sql), SqlxValues(values))
}
