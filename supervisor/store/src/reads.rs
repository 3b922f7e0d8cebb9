//! Reading outside a transaction.

use std::fmt;
use std::sync::Arc;

use essaim_base::activity::{Wait, waiting};
use sea_orm::sqlx::Error;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::connection::FoundRows;
use super::connection_lease::BusyConnection;
use super::error::{Refusal, StoreError};
use super::models::ModelQueries;
use super::own_rows::{OwnQueries, OwnRow};
use super::pool::{Pool, TRIES};
use super::statement_kind::StatementKind;

/// The connections for reads outside a transaction; each statement has the time limit of a transaction.
///
/// It refuses to write: what a handler has committed decides what its failure may claim, so every write goes through a
/// transaction.
#[derive(Clone)]
pub struct Reads(pub Arc<Pool>);

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reads")
    }
}

impl Reads {
    /// Reads once, and a second time on a fresh connection if the server had closed the first: reading again is
    /// harmless.
    async fn read<T, F>(&self, work: impl Fn(BusyConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let pool = &self.0;
        let mut tries = 0;
        loop {
            tries += 1;
            let now = pool.env.now();
            let mut lease = waiting(|| Wait::Connection, pool.lease(now + pool.limits.acquire)).await?;
            let limit = pool.env.now() + pool.limits.transaction;
            match waiting(|| Wait::Database, lease.work(limit, &work)).await {
                Err(error) if tries < TRIES && lease.is_stale(&error) => {}
                Err(StoreError::Driver(error)) if pool.is_refusal(&error) => return Err(Refusal::OnlyReads.into()),
                done => return done,
            }
        }
    }
}

fn check(sql: &str) -> Result<(), DbErr> {
    match StatementKind::of(sql) {
        StatementKind::Read => Ok(()),
        _ => Err(StoreError::from(Refusal::OnlyReads).into_exec_error()),
    }
}

impl ModelQueries for Reads {}

impl OwnQueries for Reads {
    async fn own_rows(&self, statement: Statement) -> Result<Vec<OwnRow>, DbErr> {
        let run = |mut c: BusyConnection| {
            let statement = statement.clone();
            async move { c.found(statement).await }
        };
        self.read(run).await.map(FoundRows::into_own).map_err(StoreError::into_query_error)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Reads {
    fn get_database_backend(&self) -> DbBackend {
        self.0.connector().backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        check(&statement.sql)?;
        let run = |mut c: BusyConnection| {
            let statement = statement.clone();
            async move { c.execute(statement).await }
        };
        self.read(run).await.map_err(StoreError::into_exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        check(sql)?;
        let run = |mut c: BusyConnection| {
            let sql = sql.to_string();
            async move { c.execute_unprepared(sql).await }
        };
        self.read(run).await.map_err(StoreError::into_exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        check(&statement.sql)?;
        let run = |mut c: BusyConnection| {
            let statement = statement.clone();
            async move { c.query_one(statement).await }
        };
        self.read(run).await.map_err(StoreError::into_query_error)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        check(&statement.sql)?;
        let run = |mut c: BusyConnection| {
            let statement = statement.clone();
            async move { c.query_all(statement).await }
        };
        self.read(run).await.map_err(StoreError::into_query_error)
    }
}
