//! A transaction of a capability's database.

use std::sync::Arc;

use essaim_base::activity::{Wait, waiting};
use essaim_contract::{Failure, FailureKind};
use sea_orm::sqlx::Error;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, ExecResult, QueryResult, Statement, StatementBuilder, TryIntoModel,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::classify;
use super::connection::FoundRows;
use super::connection_lease::{BusyConnection, ConnectionLease};
use super::error::{Refusal, StoreError};
use super::group::NotCommitted;
use super::in_place_statement::InPlaceRows;
use super::models::{self, ModelQueries};
use super::outcome_guards::{OutcomeGuard, OutcomeGuards};
use super::own_rows::{OwnQueries, OwnRow};
use super::pool::Pool;
use super::statement_kind::StatementKind;
use super::statement_log::{BegunStatement, StatementLog};
use super::tables::inbox::{self, InboxMark};
use super::tables::tx_effects::TxEffects;
use super::tx_tracker::{CommitState, TxTracker};

/// Has PostgreSQL check now what it would check at the commit.
const CHECK_NOW: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// A transaction; rolled back unless it is committed. The runtime's own work with it directly, those of handlers are wrapped
/// for their authors.
#[must_use = "its writes are lost unless it is committed"]
pub struct Transaction {
    state: Mutex<TxState>,
    pool: Arc<Pool>,
    limit: Instant,
    /// When the handler's answer is due.
    due: Option<Instant>,
    tracker: TxTracker,
    guards: OutcomeGuards,
    /// Its owner has said how it ends.
    ended: bool,
    /// Its number, where transactions have one connection in turn.
    turn: Option<u64>,
    /// What it is told of its statements, if it is only rehearsed.
    log: Option<Arc<StatementLog>>,
}

struct TxState {
    /// Absent once the transaction has ended.
    lease: Option<ConnectionLease>,
    /// The first error of a statement.
    failed: Option<FailedStatement>,
}

/// Why a transaction cannot go on.
struct FailedStatement {
    how: String,
    /// It was no fault of the statement.
    is_away: bool,
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
    /// The partition of the handler's message has another owner by now, or its worker here has ended; nothing was committed.
    #[error("the partition of the message has another owner by now, or is worked on here no longer")]
    Fenced,
    /// Another copy of the handler's durable message has its effect; nothing was committed, and nothing is left to be done.
    #[error(
        "the message was applied already, by another copy of it: nothing was committed, and nothing is left to be done"
    )]
    Repeated,
    /// A handler of a durable message commits at most once.
    #[error("the handler of a durable message has committed already: its effect is one transaction")]
    Second,
}

impl Transaction {
    /// Begins a transaction; all transactions begin here. Nothing is committed after `due`.
    pub async fn begin(
        pool: &Arc<Pool>,
        patience: Instant,
        due: Option<Instant>,
        tracker: TxTracker,
    ) -> Result<Self, StoreError> {
        let lease = waiting(|| Wait::Connection, pool.begin(patience)).await?;
        let limit = pool.env.now() + pool.limits.transaction;
        let state = Mutex::new(TxState { lease: Some(lease), failed: None });
        let (guards, pool) = (OutcomeGuards::new(pool), pool.clone());
        let turn = pool.has_one_writer().then(|| pool.holder.begin());
        Ok(Self { state, pool, limit, due, tracker, guards, ended: false, turn, log: None })
    }

    /// Holds `guard` until the outcome of the transaction is certain; if its commit is not answered, until a later
    /// transaction has begun.
    pub fn hold(&self, guard: OutcomeGuard) {
        self.guards.add(guard);
    }

    /// Has its statements logged: it is rehearsed, and never committed.
    pub fn rehearse(&mut self, log: Arc<StatementLog>) {
        self.log = Some(log);
    }

    /// The tracker of the message whose transaction it is.
    pub fn tracker(&self) -> &TxTracker {
        &self.tracker
    }

    /// Ends the use of the transaction by statements, and checks that it can commit now.
    ///
    /// # Errors
    /// If a statement has failed, or it is too late; nothing is committed then.
    pub fn prepare_commit(&mut self) -> Result<(), StoreError> {
        self.ended = true;
        let state = self.state.get_mut();
        if let Some(failed) = &state.failed {
            return Err(failed.refusal());
        }
        let now = self.pool.env.now();
        if now >= self.limit {
            return Err(Refusal::TooOld.into());
        }
        // A handler is dropped at its deadline, but one that blocked its thread past it may wake up right here.
        if self.due.is_some_and(|due| now >= due) {
            return Err(Refusal::DeadlinePassed.into());
        }
        if state.lease.is_none() { Err(Refusal::Ended.into()) } else { Ok(()) }
    }

    /// Makes the transaction's writes durable, for a transaction of the runtime's own.
    ///
    /// # Errors
    /// [`TxError::Database`] if surely nothing was committed, [`TxError::CommitUnanswered`] if that is not known.
    pub async fn commit(self) -> Result<(), TxError> {
        Ok(self.commit_with(TxEffects::default()).await?)
    }

    /// Makes the transaction's writes durable together with `effects`.
    pub async fn commit_with(mut self, effects: TxEffects) -> Result<(), NotCommitted> {
        self.prepare_commit().map_err(NotCommitted::Surely)?;
        self.commit_prepared(effects).await
    }

    /// As [`Transaction::commit_with`], after [`Transaction::prepare_commit`].
    pub async fn commit_prepared(mut self, effects: TxEffects) -> Result<(), NotCommitted> {
        debug_assert!(self.ended, "its commit is prepared");
        let lease = self.state.get_mut().lease.take();
        let Some(lease) = lease else { return Err(NotCommitted::Surely(Refusal::Ended.into())) };
        // A handler may commit more than once; what an earlier transaction committed stays committed.
        let before = self.tracker.commit_state();
        self.tracker.set_commit_state(CommitState::Committing);
        self.guards.set_unresolved(true);
        let committed = waiting(|| Wait::Commit, lease.commit(effects, self.limit)).await;
        self.guards.set_unresolved(matches!(committed, Err(NotCommitted::Perhaps(_))));
        match &committed {
            Ok(()) => self.tracker.set_commit_state(CommitState::Committed),
            Err(NotCommitted::Perhaps(_)) => {}
            Err(NotCommitted::Surely(_) | NotCommitted::Fenced | NotCommitted::Repeated) => {
                self.tracker.set_commit_state(before);
            }
        }
        committed
    }

    /// Ends a rehearsed transaction where it would be committed, after [`Transaction::prepare_commit`]: what the database checks at
    /// a commit is checked, where it can be, and all writes are undone. Its handler goes on as if they were committed.
    ///
    /// # Errors
    /// What the commit would have met.
    pub async fn end_rehearsed(mut self) -> Result<(), StoreError> {
        debug_assert!(self.ended, "its end is prepared");
        let Some(mut lease) = self.state.get_mut().lease.take() else { return Err(Refusal::Ended.into()) };
        let is_postgres = self.pool.connector().backend() == DbBackend::Postgres;
        let checked = match is_postgres {
            true => {
                let check = |mut c: BusyConnection| async move { c.execute_unprepared(CHECK_NOW.into()).await };
                lease.work(self.limit, check).await.map(drop)
            }
            false => Ok(()),
        };
        lease.undo(self.pool.env.now() + self.pool.limits.transaction).await?;
        checked?;
        if let Some(log) = &self.log {
            log.set_committed();
        }
        self.tracker.set_commit_state(CommitState::Committed);
        Ok(())
    }

    /// Marks a message in the inbox; `false` if its offset is marked already, or if it is to have an effect that another copy
    /// has, perhaps in a transaction that shares the commit.
    pub async fn mark(&self, mark: InboxMark<'_>) -> Result<bool, DbErr> {
        let shared = {
            let state = self.state.lock().await;
            mark.effect && state.lease.as_ref().is_some_and(|lease| lease.shares_effect(mark.id))
        };
        Ok(!shared && inbox::insert(self, &[mark]).await? == 1)
    }

    /// Undoes the transaction's writes; dropping it does the same without waiting.
    ///
    /// # Errors
    /// If the database does not answer; the writes are undone all the same.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        self.ended = true;
        let Some(lease) = self.state.get_mut().lease.take() else { return Ok(()) };
        lease.undo(self.pool.env.now() + self.pool.limits.transaction).await
    }

    /// Runs a statement; how many rows it changed.
    pub async fn run_statement(&self, statement: Statement) -> Result<ExecResult, StoreError> {
        let (kind, begun) = (StatementKind::of(&statement.sql), self.begun(&statement));
        let done = self.run(kind, |mut c| async move { c.execute(statement).await }).await;
        self.logged(begun, done, ExecResult::rows_affected)
    }

    /// Runs a text, which may hold several statements.
    pub async fn run_text(&self, sql: &str) -> Result<ExecResult, StoreError> {
        let begun = self.log.as_ref().map(|_| BegunStatement::of_text(sql));
        let (kind, sql) = (StatementKind::of(sql), sql.to_string());
        let done = self.run(kind, |mut c| async move { c.execute_unprepared(sql).await }).await;
        self.logged(begun, done, ExecResult::rows_affected)
    }

    pub async fn fetch_one(&self, statement: Statement) -> Result<Option<QueryResult>, StoreError> {
        let (kind, begun) = (StatementKind::of(&statement.sql), self.begun(&statement));
        let done = self.run(kind, |mut c| async move { c.query_one(statement).await }).await;
        self.logged(begun, done, |row| u64::from(row.is_some()))
    }

    pub async fn fetch_all(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        let (kind, begun) = (StatementKind::of(&statement.sql), self.begun(&statement));
        let done = self.run(kind, |mut c| async move { c.query_all(statement).await }).await;
        self.logged(begun, done, |rows| rows.len() as u64)
    }

    async fn fetch_found(&self, statement: Statement) -> Result<FoundRows, StoreError> {
        let (kind, begun) = (StatementKind::of(&statement.sql), self.begun(&statement));
        let found = self.run(kind, |mut c| async move { c.found(statement).await }).await;
        self.logged(begun, found, |found| found.count() as u64)
    }

    /// The same rows for sea-orm.
    async fn decoded(&self, found: InPlaceRows) -> Result<Vec<QueryResult>, StoreError> {
        self.run(StatementKind::Read, |mut c| async move { c.decoded(found).await }).await
    }

    fn begun(&self, statement: &Statement) -> Option<BegunStatement> {
        self.log.as_ref().map(|_| BegunStatement::of(statement))
    }

    fn logged<T>(
        &self,
        begun: Option<BegunStatement>,
        done: Result<T, StoreError>,
        rows: impl FnOnce(&T) -> u64,
    ) -> Result<T, StoreError> {
        if let (Some(log), Some(begun)) = (&self.log, begun) {
            log.ended(begun, &done, rows);
        }
        done
    }

    /// Runs one statement. The first one that fails ends the use of the transaction.
    async fn run<T, F>(&self, kind: StatementKind, work: impl FnOnce(BusyConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if kind == StatementKind::Transaction {
            return Err(Refusal::RuntimesTransaction.into());
        }
        let mut state = self.state.lock().await;
        if let Some(failed) = &state.failed {
            return Err(failed.refusal());
        }
        if self.pool.env.now() >= self.limit {
            return Err(Refusal::TooOld.into());
        }
        let Some(lease) = &mut state.lease else { return Err(Refusal::Ended.into()) };
        let mut result = waiting(|| Wait::Database, lease.work(self.limit, work)).await;
        if result.is_ok() && lease.is_undone() {
            // A text of several statements can hide one that undoes everything; what came next would be committed at once.
            result = Err(Refusal::Undone.into());
        }
        if let Err(error) = &result {
            state.failed = Some(FailedStatement { how: error.to_string(), is_away: error.is_away() });
        }
        result
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(turn) = self.turn {
            self.pool.holder.end(turn);
        }
        let state = self.state.get_mut();
        if let Some(lease) = state.lease.take() {
            if !self.ended && state.failed.is_none() {
                self.tracker.set_left_open();
            }
            if let Some(group_committed) = lease.group_committed() {
                self.tracker.record_uncommitted_read(group_committed);
            }
            lease.roll_back_later();
        }
    }
}

impl FailedStatement {
    /// Why a later statement, or the commit, is refused.
    fn refusal(&self) -> StoreError {
        let refusal = Refusal::AfterFailure(self.how.clone());
        if self.is_away { StoreError::Unavailable(refusal.to_string()) } else { refusal.into() }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.connector().backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.run_statement(statement).await.map_err(StoreError::into_exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run_text(sql).await.map_err(StoreError::into_exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.fetch_one(statement).await.map_err(StoreError::into_query_error)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.fetch_all(statement).await.map_err(StoreError::into_query_error)
    }
}

impl ModelQueries for Transaction {
    async fn models<E>(&self, statement: &impl StatementBuilder) -> Result<Vec<E::Model>, DbErr>
    where
        E: EntityTrait,
        E::ActiveModel: TryIntoModel<E::Model>,
    {
        let statement = self.get_database_backend().build(statement);
        let rows = match self.fetch_found(statement).await.map_err(StoreError::into_query_error)? {
            FoundRows::Sqlx(rows) => rows,
            FoundRows::InPlace(found) => match models::decode::<E>(&found) {
                Some(models) => return Ok(models),
                None => self.decoded(found).await.map_err(StoreError::into_query_error)?,
            },
        };
        models::of_rows::<E>(&rows)
    }
}

impl OwnQueries for Transaction {
    async fn own_rows(&self, statement: Statement) -> Result<Vec<OwnRow>, DbErr> {
        self.fetch_found(statement).await.map(FoundRows::into_own).map_err(StoreError::into_query_error)
    }
}

impl From<StoreError> for TxError {
    fn from(error: StoreError) -> Self {
        Self::Database(error.into_exec_error())
    }
}

impl From<NotCommitted> for TxError {
    fn from(error: NotCommitted) -> Self {
        match error {
            NotCommitted::Surely(error) => error.into(),
            // A neighbour's partition: the owner of a message's own partition says `Fenced`.
            NotCommitted::Fenced => NotCommitted::Fenced.into_error().into(),
            NotCommitted::Repeated => Self::Repeated,
            NotCommitted::Perhaps(error) => Self::CommitUnanswered(error.into_exec_error()),
        }
    }
}

impl TxError {
    /// The failure of a handler for which nothing was committed, if that is sure.
    pub fn failure(&self) -> Option<Failure> {
        let kind = match self {
            Self::CommitUnanswered(_) => return None,
            Self::Fenced => FailureKind::Unavailable,
            Self::Database(error) => classify::failure_kind(error),
            Self::NoDatabase | Self::Second | Self::Repeated => FailureKind::Database,
        };
        Some(Failure { kind, detail: self.to_string() })
    }
}
