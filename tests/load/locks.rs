//! Holding up a database from outside, so that a process stands still exactly where a test wants it.

use std::path::Path;

use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqliteConnection, query_scalar,
};
use tokio::runtime::{Builder, Runtime};

use crate::support::{Database, PATIENCE};

/// A session of the test's own on a capability's database. It ends, and its locks with it, when it is dropped.
pub struct Session<C: Connection> {
    // The connection goes first: it may need the runtime to say good-bye.
    connection: Option<C>,
    runtime: Runtime,
}

impl Session<PgConnection> {
    /// On a PostgreSQL server.
    pub fn on(database: &Database) -> Self {
        let runtime = runtime();
        let connection = runtime.block_on(PgConnection::connect(database.url())).expect("the server takes connections");
        Self { connection: Some(connection), runtime }
    }

    /// This session, holding what the statement locks until it is released.
    #[track_caller]
    pub fn holding(mut self, statement: &str) -> Self {
        self.run(|c| async move { c.execute("BEGIN").await.map(drop) });
        let statement = statement.to_string();
        self.run(|c| async move { c.execute(AssertSqlSafe(statement)).await.map(drop) });
        self
    }
}

impl Session<SqliteConnection> {
    /// On a SQLite file that a process has open.
    pub fn on_file(path: &Path) -> Self {
        let runtime = runtime();
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
        let connection = runtime.block_on(options.connect()).expect("the file is a database");
        Self { connection: Some(connection), runtime }
    }

    /// This session, holding the lock of SQLite's one writer.
    #[track_caller]
    pub fn locked(mut self) -> Self {
        self.run(|c| async move { c.execute("BEGIN IMMEDIATE").await.map(drop) });
        self
    }

    /// The one text that a query finds, if it finds one.
    #[track_caller]
    pub fn text(&mut self, query: &'static str) -> Option<String> {
        self.run(|c| async move { query_scalar(query).fetch_optional(c).await })
    }
}

impl<C: Connection> Session<C> {
    /// Releases the locks, so that all that wait for them go on.
    pub fn release(mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.runtime.block_on(connection.close());
        }
    }

    #[track_caller]
    fn run<'a, T, F>(&'a mut self, work: impl FnOnce(&'a mut C) -> F) -> T
    where
        F: Future<Output = Result<T, sea_orm::sqlx::Error>>,
    {
        let connection = self.connection.as_mut().expect("it has not been released");
        self.runtime.block_on(work(connection)).expect("the database takes the statement")
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}
