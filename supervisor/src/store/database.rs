//! A capability's connection to its database.

use std::path::Path;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database as SeaOrm, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::SchemaManager;

use super::Schema;

/// The database of one capability in this node.
///
/// SQLite has one writer at a time, so its writes go through one connection and its reads through others; on
/// PostgreSQL both are one pool.
#[derive(Debug, Clone)]
pub struct Database {
    reads: Reads,
    writes: DatabaseConnection,
    pub(crate) transaction_limit: Duration,
}

/// The connection for reads outside a transaction.
#[derive(Debug, Clone)]
pub struct Reads(DatabaseConnection);

#[async_trait::async_trait]
impl ConnectionTrait for Reads {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.0.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.0.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.0.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.0.query_all_raw(statement).await
    }
}

/// Why a database could not be opened or brought to the schema this binary needs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseError(pub String);

impl Database {
    /// The connection for reads outside a transaction.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.writes
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            })
            .await
    }

    /// TO BE REPLACED by the store work: opens a SQLite file without WAL tuning, locks or version checks.
    pub(crate) async fn open(path: &Path, schema: &Schema, limit: Duration) -> Result<Self, DatabaseError> {
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        let conn = SeaOrm::connect(options).await.map_err(|e| DatabaseError(e.to_string()))?;
        let manager = SchemaManager::new(&conn);
        for migration in &schema.migrations {
            migration.up(&manager).await.map_err(|e| DatabaseError(e.to_string()))?;
        }
        Ok(Self { reads: Reads(conn.clone()), writes: conn, transaction_limit: limit })
    }
}
