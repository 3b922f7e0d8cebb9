//! Reading outside a transaction.

use std::fmt;
use std::sync::Arc;

use sea_orm::sqlx::Error;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::lanes::{Lanes, TRIES};
use super::lease::AtWork;
use super::sql::StatementKind;
use super::trouble::{Trouble, refusal};

/// The connections for reads outside a transaction; each statement has the time limit of a transaction.
///
/// It refuses to write: what a handler has committed decides what its failure may claim, so every write goes through a
/// transaction.
#[derive(Clone)]
pub struct Reads(pub(crate) Arc<Lanes>);

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reads")
    }
}

impl Reads {
    /// Reads once, and a second time on a fresh connection if the server had closed the first: reading again is
    /// harmless.
    async fn read<T, F>(&self, work: impl Fn(AtWork) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let lanes = &self.0;
        let mut tries = 0;
        loop {
            tries += 1;
            let now = lanes.env.now();
            let mut lease = lanes.lease(now + lanes.limits.acquire).await.map_err(Trouble::Refused)?;
            let limit = lanes.env.now() + lanes.limits.transaction;
            match lease.work(limit, &work).await {
                Err(trouble) if tries < TRIES && lease.is_stale(&trouble) => {}
                Err(Trouble::Database(error)) if lanes.is_refusal(&error) => {
                    return Err(Trouble::Refused(refusal(ONLY_READS)));
                }
                done => return done,
            }
        }
    }
}

const ONLY_READS: &str = "cx.db() only reads: write in a transaction (cx.begin())";

fn check(sql: &str) -> Result<(), DbErr> {
    match StatementKind::of(sql) {
        StatementKind::Read => Ok(()),
        _ => Err(refusal(ONLY_READS)),
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Reads {
    fn get_database_backend(&self) -> DbBackend {
        self.0.connector().backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        check(&statement.sql)?;
        let run = |mut c: AtWork| {
            let statement = statement.clone();
            async move { c.execute(statement).await }
        };
        self.read(run).await.map_err(Trouble::into_exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        check(sql)?;
        let run = |mut c: AtWork| {
            let sql = sql.to_string();
            async move { c.execute_unprepared(sql).await }
        };
        self.read(run).await.map_err(Trouble::into_exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        check(&statement.sql)?;
        let run = |mut c: AtWork| {
            let statement = statement.clone();
            async move { c.query_one(statement).await }
        };
        self.read(run).await.map_err(Trouble::into_query_error)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        check(&statement.sql)?;
        let run = |mut c: AtWork| {
            let statement = statement.clone();
            async move { c.query_all(statement).await }
        };
        self.read(run).await.map_err(Trouble::into_query_error)
    }
}
