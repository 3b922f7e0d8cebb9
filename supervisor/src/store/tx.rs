//! The transaction of one handler.

use std::marker::PhantomData;
use std::sync::Arc;

use essaim_contract::{Failure, FailureKind, Unknown};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, sqlx,
};
use tokio::time::{Instant, timeout_at};

use crate::slot::{Progress, Track};
use crate::{Cx, Fault};

/// A transaction of the capability's own database; rolled back unless [`Tx::commit`] is called.
///
/// It borrows the handler's [`Cx`], so a handler cannot ask while it holds one: waits come before the transaction. It
/// has a time limit (`store.transaction_limit_ms`), after which statements and the commit fail.
pub struct Tx<'cx> {
    inner: DatabaseTransaction,
    limit: Instant,
    progress: Arc<dyn Track>,
    cx: PhantomData<&'cx mut Cx>,
}

/// Why a transaction could not begin or commit.
#[derive(Debug, thiserror::Error)]
pub enum TxError {
    /// The capability declares no schema.
    #[error("the capability has no database: declare a schema in `Actor::schema`")]
    NoDatabase,
    /// The database refused; nothing was committed.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// The commit was sent and not answered.
    #[error("the database did not answer the commit: {0}")]
    CommitUnanswered(DbErr),
}

impl<'cx> Tx<'cx> {
    pub(crate) fn new(inner: DatabaseTransaction, limit: Instant, progress: Arc<dyn Track>) -> Self {
        Self { inner, limit, progress, cx: PhantomData }
    }

    /// Makes the transaction's writes durable.
    ///
    /// # Errors
    /// [`TxError::Database`] if surely nothing was committed, [`TxError::CommitUnanswered`] if that is not known.
    pub async fn commit(self) -> Result<(), TxError> {
        if Instant::now() >= self.limit {
            return Err(TxError::Database(too_long()));
        }
        self.progress.set_progress(Progress::Committing);
        match self.inner.commit().await {
            Ok(()) => {
                self.progress.set_progress(Progress::Committed);
                Ok(())
            }
            Err(error) if refused(&error) => {
                self.progress.set_progress(Progress::Nothing);
                Err(TxError::Database(error))
            }
            Err(error) => Err(TxError::CommitUnanswered(error)),
        }
    }

    /// Undoes the transaction's writes; dropping it does the same.
    ///
    /// # Errors
    /// If the database does not answer; the writes are undone all the same.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.inner.rollback().await
    }
}

/// Whether the database itself answered with an error, so that nothing was committed.
fn refused(error: &DbErr) -> bool {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(e))
        | DbErr::Query(RuntimeErr::SqlxError(e))
        | DbErr::Conn(RuntimeErr::SqlxError(e)) => {
            matches!(**e, sqlx::Error::Database(_))
        }
        _ => false,
    }
}

fn too_long() -> DbErr {
    DbErr::Custom("the transaction is older than store.transaction_limit_ms; do the waiting before cx.begin()".into())
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        timeout_at(self.limit, self.inner.execute_raw(statement)).await.unwrap_or_else(|_| Err(too_long()))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        timeout_at(self.limit, self.inner.execute_unprepared(sql)).await.unwrap_or_else(|_| Err(too_long()))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        timeout_at(self.limit, self.inner.query_one_raw(statement)).await.unwrap_or_else(|_| Err(too_long()))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        timeout_at(self.limit, self.inner.query_all_raw(statement)).await.unwrap_or_else(|_| Err(too_long()))
    }
}

impl<E> From<TxError> for Fault<E> {
    fn from(error: TxError) -> Self {
        match error {
            TxError::CommitUnanswered(_) => Self::Unknown(Unknown::CommitUnanswered),
            TxError::Database(e) => e.into(),
            e @ TxError::NoDatabase => Self::Failed(Failure { kind: FailureKind::Database, detail: e.to_string() }),
        }
    }
}
