//! Bringing a database to the schema of this binary, while other nodes may be doing the same.
//!
//! Each migration and its row in the bookkeeping are one transaction that begins by taking the lock, and the next migration
//! is determined under that lock: a node that dies half-way leaves nothing behind, and one that waited for another finds
//! that nothing is left to do.
//!
//! The runtime's own tables come first, and have a bookkeeping of their own: they change with the runtime's releases,
//! the capability's with its own.

use std::fmt::Display;
use std::time::Duration;

use essaim_base::Env;
use sea_orm::sqlx;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, Value,
};
use sea_orm_migration::SchemaManager;
use tokio::time::timeout;

use super::connection::Connector;
use super::location::DatabaseLocation;
use super::schema::{AppliedMigration, NextMigration};
use super::{DatabaseError, Schema, postgres, sqlite};

/// A table of applied migrations: one row each; the last one is the version of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bookkeeping {
    /// For the tables of the runtime.
    Runtime,
    /// For the tables of the capability.
    Capability,
}

impl Bookkeeping {
    fn table(self) -> &'static str {
        match self {
            Self::Runtime => "essaim_runtime",
            Self::Capability => "essaim_schema",
        }
    }

    /// Asks whether the table exists; a row means yes.
    pub fn find(self, backend: DbBackend) -> String {
        let table = self.table();
        match backend {
            DbBackend::Postgres => format!("SELECT 1 AS one WHERE to_regclass('{table}') IS NOT NULL"),
            _ => format!("SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
        }
    }

    /// Reads it, oldest migration first.
    pub fn read(self) -> String {
        format!("SELECT version, name, min_compatible FROM {} ORDER BY version", self.table())
    }

    fn create(self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (version INTEGER PRIMARY KEY, name TEXT NOT NULL, \
             min_compatible INTEGER NOT NULL, applied_at_ms BIGINT NOT NULL)",
            self.table()
        )
    }

    fn insert(self) -> String {
        format!("INSERT INTO {} (version, name, min_compatible, applied_at_ms) VALUES ($1, $2, $3, $4)", self.table())
    }

    fn relabel(self) -> String {
        format!("UPDATE {} SET min_compatible = $1 WHERE version = $2", self.table())
    }

    /// An error that says whose tables it is about; a capability's need no mention.
    pub fn of(self, error: DatabaseError) -> DatabaseError {
        match self {
            Self::Runtime => DatabaseError::RuntimeTables(Box::new(error)),
            Self::Capability => error,
        }
    }
}

/// Applies the migrations that are missing, the runtime's own before the capability's where there are to be any, and
/// returns the version that the capability's tables have then.
///
/// # Errors
/// If this binary cannot work with the schema, a migration fails, or it takes longer than `limit`.
pub async fn migrate(
    connector: &Connector,
    location: &DatabaseLocation,
    capability: &str,
    schema: &Schema,
    own: Option<&Schema>,
    limit: Duration,
    env: &Env,
) -> Result<u32, DatabaseError> {
    schema.check()?;
    let here = |error| DatabaseError::At { location: location.to_string(), error: Box::new(error) };
    let work = async {
        let connection = connect(connector).await.map_err(|e| DatabaseError::Unusable(connector.explain(&e)))?;
        let connection = &connection;
        let migration = |books, schema| Migration { connection, capability, books, schema, env };
        let mut migrations = 0;
        let first = match own {
            Some(own) => migration(Bookkeeping::Runtime, own).run(&mut migrations).await.map(drop),
            None => Ok(()),
        };
        let result = match first {
            Ok(()) => migration(Bookkeeping::Capability, schema).run(&mut migrations).await,
            Err(error) => Err(error),
        };
        if migrations > 0 {
            tracing::info!(capability, migrations, "migrated");
        }
        // An error of closing says nothing about the migrations.
        let _ = connection.close_by_ref().await;
        result.map_err(here)
    };
    let too_long = || here(DatabaseError::MigrationLimit { limit_ms: limit.as_millis() });
    timeout(limit, work).await.unwrap_or_else(|_| Err(too_long()))
}

/// A pool of one connection, which is what migrations are written against.
async fn connect(connector: &Connector) -> Result<DatabaseConnection, sqlx::Error> {
    match connector {
        Connector::Sqlite(options) | Connector::InPlace(_, options) => sqlite::migration_pool(options).await,
        Connector::Postgres(options) => postgres::migration_pool(options).await,
    }
}

struct Migration<'a> {
    connection: &'a DatabaseConnection,
    capability: &'a str,
    books: Bookkeeping,
    schema: &'a Schema,
    env: &'a Env,
}

impl Migration<'_> {
    /// Applies what is missing and counts it; the version of the tables then.
    async fn run(&self, migrations: &mut u32) -> Result<u32, DatabaseError> {
        self.catch_up(migrations).await.map_err(|error| self.books.of(error))
    }

    async fn catch_up(&self, migrations: &mut u32) -> Result<u32, DatabaseError> {
        let table = self.books.table();
        loop {
            let tx = self.begin().await.map_err(failed)?;
            let applied = self.read_applied(&tx).await.map_err(failed)?;
            let version = applied.last().map_or(0, |a| a.version);
            match self.schema.next(&applied)? {
                NextMigration::Ready => {
                    tx.rollback().await.map_err(failed)?;
                    if version > self.schema.version() {
                        let known = self.schema.version();
                        tracing::warn!(
                            capability = self.capability,
                            table,
                            version,
                            known,
                            "the schema is newer, and compatible"
                        );
                    }
                    return Ok(version);
                }
                NextMigration::Relabel => {
                    let min = self.schema.min_compatible_at(version);
                    let values = [Value::from(min as i32), Value::from(version as i32)];
                    run(&tx, &self.books.relabel(), values).await.map_err(failed)?;
                    tx.commit().await.map_err(failed)?;
                }
                NextMigration::Apply(index) => {
                    self.apply(tx, index).await?;
                    *migrations += 1;
                }
            }
        }
    }

    /// Begins a transaction that no other node's migrations run beside.
    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        // On SQLite this is the write lock; only one migrates at a time.
        let mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        let tx = self.connection.begin_with_options(options).await?;
        if tx.get_database_backend() == DbBackend::Postgres {
            self.lock_schema(&tx).await?;
        }
        // Looked for first: a user without the right to create may use an existing table.
        let find = statement(&tx, &self.books.find(tx.get_database_backend()), []);
        if tx.query_one_raw(find).await?.is_none() {
            tx.execute_unprepared(&self.books.create()).await?;
        }
        Ok(tx)
    }

    /// Takes the capability's advisory lock, which ends with the transaction, and makes its schema.
    async fn lock_schema(&self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let key = || [Value::from(format!("essaim/{}", self.capability))];
        let try_lock = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS locked";
        let tried = tx.query_one_raw(statement(tx, try_lock, key())).await?;
        let locked = tried.map(|row| row.try_get::<bool>("", "locked")).transpose()?;
        if locked != Some(true) {
            tracing::info!(capability = self.capability, "waiting for another node that migrates this database");
            run(tx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key()).await?;
        }
        let find = "SELECT 1 AS one FROM pg_namespace WHERE nspname = $1";
        if tx.query_one_raw(statement(tx, find, [Value::from(self.capability)])).await?.is_none() {
            tx.execute_unprepared(&format!("CREATE SCHEMA \"{}\"", self.capability)).await?;
        }
        Ok(())
    }

    async fn apply(&self, tx: DatabaseTransaction, index: usize) -> Result<(), DatabaseError> {
        let (migration, version) = (&self.schema.migrations[index], index as u32 + 1);
        let name = migration.name().to_string();
        let rolled_back =
            |why: &dyn Display| DatabaseError::Migration { version, name: name.clone(), why: why.to_string() };
        let broken = |e: DbErr| rolled_back(&e);
        migration.up(&SchemaManager::new(&tx)).await.map_err(broken)?;
        if tx.get_database_backend() == DbBackend::Sqlite {
            let check = statement(&tx, "PRAGMA foreign_key_check", []);
            if tx.query_one_raw(check).await.map_err(broken)?.is_some() {
                return Err(rolled_back(&"it leaves rows whose foreign keys point nowhere"));
            }
        }
        let values = [
            Value::from(version as i32),
            Value::from(name.clone()),
            Value::from(self.schema.min_compatible_at(version) as i32),
            Value::from(self.env.wall_ms() as i64),
        ];
        run(&tx, &self.books.insert(), values).await.map_err(broken)?;
        tx.commit().await.map_err(broken)?;
        tracing::debug!(capability = self.capability, version, migration = name, "migrated");
        Ok(())
    }

    async fn read_applied(&self, tx: &DatabaseTransaction) -> Result<Vec<AppliedMigration>, DbErr> {
        tx.query_all_raw(statement(tx, &self.books.read(), [])).await?.iter().map(applied).collect()
    }
}

/// One row of the bookkeeping.
pub fn applied(row: &sea_orm::QueryResult) -> Result<AppliedMigration, DbErr> {
    Ok(AppliedMigration {
        version: row.try_get_by_index::<i32>(0)? as u32,
        name: row.try_get_by_index(1)?,
        min_compatible: row.try_get_by_index::<i32>(2)? as u32,
    })
}

fn statement<const N: usize>(tx: &DatabaseTransaction, sql: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(tx.get_database_backend(), sql, values)
}

async fn run<const N: usize>(tx: &DatabaseTransaction, sql: &str, values: [Value; N]) -> Result<ExecResult, DbErr> {
    tx.execute_raw(statement(tx, sql, values)).await
}

fn failed(error: DbErr) -> DatabaseError {
    DatabaseError::Bookkeeping(error.to_string())
}
