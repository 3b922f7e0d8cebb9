//! Reading outside a transaction.
//!
//! On SQLite a statement changes threads to be run and back, which takes longer than most reads do. So what finds models is run in
//! place first, as long as that takes no longer than a moment; one that takes longer begins again on a thread that may be kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::activity::{Wait, waiting};
use sea_orm::sqlx::Error;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, ExecResult, QueryResult, Statement, StatementBuilder, TryIntoModel,
};

use super::connection::FoundRows;
use super::connection_lease::BusyConnection;
use super::error::{Refusal, StoreError};
use super::in_place_statement::InPlaceRows;
use super::models::{self, ModelQueries};
use super::own_rows::{OwnQueries, OwnRow};
use super::pool::{Pool, TRIES};
use super::statement_kind::StatementKind;

/// How long a read may keep its thread. What takes longer is begun again elsewhere, so this is little beside that.
const MOMENT: Duration = Duration::from_millis(1);

/// The connections for reads outside a transaction; each statement has the time limit of a transaction.
///
/// It refuses to write: what a handler has committed decides what its failure may claim, so every write goes through a
/// transaction.
#[derive(Clone)]
pub struct Reads {
    pool: Arc<Pool>,
    /// For reads that take no longer than a moment; absent where nothing is called in place.
    in_place: Option<Arc<Pool>>,
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reads")
    }
}

impl Reads {
    pub fn of(pool: Arc<Pool>) -> Self {
        Self { pool, in_place: None }
    }

    /// These, of which short ones go to connections that are called in place.
    pub fn and_in_place(self, in_place: Arc<Pool>) -> Self {
        Self { in_place: Some(in_place), ..self }
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The rows that a statement finds, if a connection to read in place is free and it takes no longer than a moment.
    /// What goes wrong does so again where it is told.
    async fn found_in_a_moment(&self, statement: &Statement) -> Option<InPlaceRows> {
        let pool = self.in_place.as_ref()?;
        let mut lease = pool.lease_free(pool.env.now() + pool.limits.acquire).await?;
        let (statement, limit) = (statement.clone(), pool.env.now() + MOMENT);
        match lease.work(limit, |mut c| async move { c.found(statement).await }).await {
            Ok(FoundRows::InPlace(found)) => Some(found),
            Ok(FoundRows::Sqlx(_)) | Err(_) => None,
        }
    }

    /// Reads once, and a second time on a fresh connection if the server had closed the first: reading again is
    /// harmless.
    async fn read<T, F>(&self, work: impl Fn(BusyConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let pool = &self.pool;
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

impl ModelQueries for Reads {
    async fn models<E>(&self, statement: &impl StatementBuilder) -> Result<Vec<E::Model>, DbErr>
    where
        E: EntityTrait,
        E::ActiveModel: TryIntoModel<E::Model>,
    {
        let statement = self.get_database_backend().build(statement);
        check(&statement.sql)?;
        if let Some(found) = self.found_in_a_moment(&statement).await
            && let Some(models) = models::decode::<E>(&found)
        {
            return Ok(models);
        }
        models::of_rows::<E>(&self.query_all_raw(statement).await?)
    }
}

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
        self.pool.connector().backend()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::bench::Bench;
    use crate::testing::schema;

    #[tokio::test]
    async fn only_what_takes_a_moment_is_read_in_place() {
        let bench = Bench::sqlite();
        let database = bench.open(&schema(1)).await;
        let statement = |sql: &str| Statement::from_string(DbBackend::Sqlite, sql);
        let short = statement("SELECT id FROM t1");
        let long = statement(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT count(*) FROM n",
        );
        for _ in 0..2 {
            assert!(database.reads().found_in_a_moment(&short).await.is_some());
            assert!(database.reads().found_in_a_moment(&long).await.is_none());
        }
        let all = database.reads().query_one_raw(long).await.unwrap().unwrap();
        assert_eq!(all.try_get_by_index::<i64>(0).unwrap(), 2_000_000);
    }
}
