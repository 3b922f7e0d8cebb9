//! One connection to a database, of either kind, and how to make one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sea_orm::sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Error, Executor, Sqlite, SqliteConnection, query, query_with,
};
use sea_orm::{DbBackend, ExecResult, QueryResult, Statement, sea_query::Values};
use sea_query_sqlx::SqlxValues;
use tokio::time::Instant;

use super::in_place::{InPlaceConnection, InPlaceOptions};
use super::in_place_statement::InPlaceRows;
use super::own_rows::OwnRow;
use super::{postgres, sqlite};

/// SQLite asks after so many of its virtual machine's instructions whether to go on.
const INSTRUCTIONS_BETWEEN_CHECKS: i32 = 10_000;

/// How to make connections.
#[derive(Debug, Clone)]
pub enum Connector {
    /// Beside the one that writes, on threads of sqlx.
    Sqlite(Box<SqliteConnectOptions>),
    /// The one that writes, and how others connect that write for a moment.
    InPlace(Box<InPlaceOptions>, Box<SqliteConnectOptions>),
    Postgres(postgres::Options),
}

/// A connection. Dropping it ends its work: a transaction is rolled back, a statement interrupted.
pub enum Connection {
    Sqlite { inner: Box<SqliteConnection>, _stop: StopWhenDropped },
    InPlace(Box<InPlaceConnection>),
    Postgres(postgres::Connection),
}

/// Rows that a statement has found.
pub enum FoundRows {
    InPlace(InPlaceRows),
    Sqlx(Vec<QueryResult>),
}

impl FoundRows {
    pub fn count(&self) -> usize {
        match self {
            Self::InPlace(found) => found.rows.len(),
            Self::Sqlx(rows) => rows.len(),
        }
    }

    /// For the runtime itself.
    pub fn into_own(self) -> Vec<OwnRow> {
        match self {
            Self::InPlace(found) => found.rows.into_iter().map(OwnRow::InPlace).collect(),
            Self::Sqlx(rows) => rows.into_iter().map(OwnRow::Sqlx).collect(),
        }
    }
}

/// Stops the statement that runs on SQLite's thread when it is dropped.
#[derive(Default)]
pub struct StopWhenDropped(Arc<AtomicBool>);

impl StopWhenDropped {
    async fn of(connection: &mut SqliteConnection) -> Result<Self, Error> {
        let stop = Self::default();
        let stopped = stop.0.clone();
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(INSTRUCTIONS_BETWEEN_CHECKS, move || !stopped.load(Ordering::Relaxed));
        Ok(stop)
    }
}

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connector {
    pub fn sqlite(options: SqliteConnectOptions) -> Self {
        Self::Sqlite(Box::new(options))
    }

    pub fn backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) | Self::InPlace(..) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    pub async fn connect(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite(options) => {
                let mut inner = Box::new(options.connect().await?);
                let stop = StopWhenDropped::of(&mut inner).await?;
                Ok(Connection::Sqlite { inner, _stop: stop })
            }
            Self::InPlace(options, _) => Ok(Connection::InPlace(Box::new(options.connect().await?))),
            Self::Postgres(options) => Ok(Connection::Postgres(postgres::connect(options).await?)),
        }
    }

    /// The same for a check of the database that takes no longer than `limit`.
    pub fn looking(&self, limit: Duration) -> Self {
        match self {
            Self::Sqlite(options) | Self::InPlace(_, options) => {
                Self::Sqlite(Box::new((**options).clone().busy_timeout(limit / 2).create_if_missing(false)))
            }
            Self::Postgres(options) => Self::Postgres(options.clone()),
        }
    }

    /// Why a connection cannot be made, in words that say what to do.
    pub fn explain(&self, error: &Error) -> String {
        match self {
            Self::Sqlite(options) | Self::InPlace(_, options) => sqlite::explain(options.get_filename(), error),
            Self::Postgres(options) => postgres::explain(options, error),
        }
    }

    /// The message when a check has found a file damaged in this way.
    pub fn damaged(&self, how: &str) -> String {
        match self {
            Self::Sqlite(options) | Self::InPlace(_, options) => sqlite::damaged(options.get_filename(), how),
            Self::Postgres(_) => how.into(),
        }
    }

    /// The message when making a connection takes too long.
    pub fn silent(&self) -> String {
        match self {
            Self::Sqlite(options) | Self::InPlace(_, options) => sqlite::silent(options.get_filename()),
            Self::Postgres(options) => postgres::silent(options),
        }
    }
}

impl Connection {
    /// Has statements that are run in place interrupted from then on; others are given up by who waits for them.
    pub fn interrupt_at(&mut self, limit: Instant) {
        if let Self::InPlace(inner) = self {
            inner.interrupt_at(limit);
        }
    }

    pub async fn execute(&mut self, statement: Statement) -> Result<ExecResult, Error> {
        match self {
            Self::Sqlite { inner, .. } => on_sqlite(statement).execute(&mut **inner).await.map(Into::into),
            Self::InPlace(inner) => inner.execute(statement).await,
            Self::Postgres(inner) => inner.execute(statement).await,
        }
    }

    pub async fn execute_unprepared(&mut self, sql: String) -> Result<ExecResult, Error> {
        match self {
            Self::Sqlite { inner, .. } => Executor::execute(&mut **inner, AssertSqlSafe(sql)).await.map(Into::into),
            Self::InPlace(inner) => inner.execute_unprepared(sql).await,
            Self::Postgres(inner) => inner.execute_unprepared(sql).await,
        }
    }

    pub async fn query_one(&mut self, statement: Statement) -> Result<Option<QueryResult>, Error> {
        match self {
            Self::Sqlite { inner, .. } => Ok(on_sqlite(statement).fetch_optional(&mut **inner).await?.map(Into::into)),
            Self::InPlace(inner) => Ok(inner.query(statement, 1).await?.pop()),
            Self::Postgres(inner) => inner.query_one(statement).await,
        }
    }

    pub async fn query_all(&mut self, statement: Statement) -> Result<Vec<QueryResult>, Error> {
        match self {
            Self::Sqlite { inner, .. } => {
                Ok(on_sqlite(statement).fetch_all(&mut **inner).await?.into_iter().map(Into::into).collect())
            }
            Self::InPlace(inner) => inner.query(statement, usize::MAX).await,
            Self::Postgres(inner) => inner.query_all(statement).await,
        }
    }

    /// The rows that a statement finds, as they are at this connection.
    pub async fn found(&mut self, statement: Statement) -> Result<FoundRows, Error> {
        match self {
            Self::InPlace(inner) => inner.found(statement, usize::MAX).await.map(FoundRows::InPlace),
            _ => self.query_all(statement).await.map(FoundRows::Sqlx),
        }
    }

    /// Rows that were found in place, for sea-orm.
    pub async fn decoded(&mut self, found: InPlaceRows) -> Result<Vec<QueryResult>, Error> {
        match self {
            Self::InPlace(inner) => inner.decoded(found).await,
            _ => Err(Error::Protocol("nothing is found in place at this connection".into())),
        }
    }

    /// Begins a transaction; on SQLite one that may write at once, so that it never fails half-way for want of the
    /// write lock.
    pub async fn begin(&mut self) -> Result<(), Error> {
        match self {
            Self::Sqlite { inner, .. } => query("BEGIN IMMEDIATE").execute(&mut **inner).await.map(drop),
            Self::InPlace(inner) => inner.begin().await,
            Self::Postgres(inner) => inner.control("BEGIN").await,
        }
    }

    /// Whether the transaction that was begun last was undone as a whole, with all that shared it.
    pub fn is_undone(&self) -> bool {
        matches!(self, Self::InPlace(inner) if inner.is_undone())
    }

    pub async fn commit(&mut self) -> Result<(), Error> {
        match self {
            Self::Sqlite { inner, .. } => query("COMMIT").execute(&mut **inner).await.map(drop),
            Self::InPlace(inner) => inner.commit().await,
            Self::Postgres(inner) => inner.control("COMMIT").await,
        }
    }

    /// Undoes the transaction.
    pub async fn rollback(&mut self) -> Result<(), Error> {
        match self {
            Self::Sqlite { inner, .. } => query("ROLLBACK").execute(&mut **inner).await.map(drop),
            Self::InPlace(inner) => inner.rollback().await,
            Self::Postgres(inner) => inner.control("ROLLBACK").await,
        }
    }

    /// Begins a transaction within the one that is open, behind what others wrote.
    pub fn join(&mut self) {
        if let Self::InPlace(inner) = self {
            inner.join();
        }
    }

    /// Ends what [`Connection::join`] began: what follows can only be undone with all that share the transaction.
    pub async fn release(&mut self) -> Result<(), Error> {
        match self {
            Self::InPlace(inner) => inner.release().await,
            _ => Ok(()),
        }
    }

    /// Undoes what was done since [`Connection::join`].
    ///
    /// # Errors
    /// Also if what others did before is undone as well.
    pub async fn leave(&mut self) -> Result<(), Error> {
        match self {
            Self::InPlace(inner) => inner.leave().await,
            _ => Ok(()),
        }
    }

    /// Moves what is only in the journal of a file into the file; whether the journal is empty then.
    pub async fn settle(&mut self) -> Result<bool, Error> {
        match self {
            Self::InPlace(inner) => inner.settle().await,
            _ => Ok(true),
        }
    }

    /// Closes the connection and waits for the end.
    pub async fn close(self) -> Result<(), Error> {
        match self {
            Self::Sqlite { inner, .. } => inner.close().await,
            Self::InPlace(inner) => {
                drop(inner);
                Ok(())
            }
            Self::Postgres(inner) => inner.close().await,
        }
    }
}

fn on_sqlite(statement: Statement) -> Query<'static, Sqlite, SqliteArguments> {
    let values = SqlxValues(statement.values.unwrap_or_else(|| Values(Vec::new())));
    query_with(AssertSqlSafe(statement.sql), sea_orm::sqlx::IntoArguments::<Sqlite>::into_arguments(values))
}
