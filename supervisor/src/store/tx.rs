//! The transaction of one handler.

use std::marker::PhantomData;
use std::sync::Arc;

use essaim_contract::{Command, Event, Failure, FailureKind, MessageId, SendError, Unknown};
use sea_orm::sqlx::Error;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::classify;
use super::error::{StoreError, connection_error, refusal};
use super::group::NotCommitted;
use super::lease::{BusyConnection, ConnectionLease};
use super::outdated_keys::OutdatedKeys;
use super::pool::Pool;
use super::statement_kind::StatementKind;
use super::tables::effects::TxEffects;
use super::tables::inbox::{self, InboxMark};
use crate::SendOptions;
use crate::durable::{HandlerEffects, PendingCommit};
use crate::near::Near;
use crate::tx_tracker::{CommitState, LastCommit, TxTracker};
use crate::{Cx, Fault, crash};

/// A transaction of the capability's own database; rolled back unless [`Tx::commit`] is called.
///
/// A handler that returns `Ok` has committed or rolled back each of its transactions: one that it has only dropped is a
/// failure of the handler, since its writes are lost. One in which a statement has failed is over, and may be dropped.
/// So is `Ok` after a commit that has failed, unless a later one has done what it was to do. The same holds for a start.
///
/// It borrows the handler's [`Cx`], so a handler cannot ask while it holds one: waits come before the transaction. It
/// has a time limit (`store.transaction_limit_ms`), after which statements and the commit fail. The commit also fails once
/// the deadline of the handler's message has passed: its asker no longer waits.
///
/// On SQLite transactions that wait for the one writer share a commit: each commits or fails for itself, sees what those
/// before it wrote, and hears of its commit when that of all of them is done; a handler that has dropped one answers then,
/// since it may have read what is not certain before. Whoever lingers in a transaction keeps the others waiting.
///
/// After a statement failed the transaction cannot go on, on SQLite as on PostgreSQL: where a conflict is expected,
/// write with `ON CONFLICT`.
#[must_use = "its writes are lost unless it is committed"]
pub struct Tx<'cx> {
    state: Mutex<TxState>,
    pool: Arc<Pool>,
    limit: Instant,
    /// When the handler's answer is due.
    due: Option<Instant>,
    tracker: TxTracker,
    /// What the runtime writes with it; absent in transactions of the runtime's own.
    effects: Option<HandlerEffects>,
    outdated: OutdatedKeys,
    /// The handler has said how it ends.
    ended: bool,
    /// Absent where nobody reads this capability's entries.
    near: Option<Near>,
    cx: PhantomData<&'cx mut Cx>,
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
    /// The partition of the handler's message has another owner by now; nothing was committed.
    #[error("the partition of the message has another owner by now")]
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

impl<'cx> Tx<'cx> {
    /// Begins a transaction; every transaction of a handler begins here. Nothing is committed after `due`.
    pub(crate) async fn begin(
        pool: &Arc<Pool>,
        patience: Instant,
        due: Option<Instant>,
        tracker: TxTracker,
    ) -> Result<Self, DbErr> {
        let lease = pool.begin(patience).await?;
        let limit = pool.env.now() + pool.limits.transaction;
        let state = Mutex::new(TxState { lease: Some(lease), failed: None });
        let (outdated, pool) = (OutdatedKeys::by(pool), pool.clone());
        let (effects, near) = (None, None);
        Ok(Self { state, pool, limit, due, tracker, effects, outdated, ended: false, near, cx: PhantomData })
    }

    /// This transaction, with what the runtime writes with it.
    pub(crate) fn enclosing(mut self, effects: HandlerEffects) -> Self {
        self.effects = Some(effects);
        self
    }

    /// Sends a command once the transaction is committed: it is kept in the same transaction, so it is sent if and only if
    /// the handler's writes are there.
    ///
    /// # Errors
    /// [`SendError::Full`] from an ask whose capability's outbox is full, and [`SendError::Invalid`].
    pub async fn send<M: Command>(&self, message: M) -> Result<MessageId, SendError> {
        self.send_with(message, SendOptions::new()).await
    }

    /// As [`Tx::send`], with options.
    ///
    /// # Errors
    /// As [`Tx::send`].
    pub async fn send_with<M: Command>(&self, message: M, options: SendOptions) -> Result<MessageId, SendError> {
        self.effects()?.command(&message, options)
    }

    /// Publishes an event once the transaction is committed, to every capability that subscribes.
    ///
    /// # Errors
    /// As [`Tx::send`].
    pub async fn publish<E: Event>(&self, event: E) -> Result<MessageId, SendError> {
        self.publish_with(event, SendOptions::new()).await
    }

    /// As [`Tx::publish`], with options.
    ///
    /// # Errors
    /// As [`Tx::send`].
    pub async fn publish_with<E: Event>(&self, event: E, options: SendOptions) -> Result<MessageId, SendError> {
        self.effects()?.event(&event, options)
    }

    fn effects(&self) -> Result<&HandlerEffects, SendError> {
        let reason = || "this transaction is no handler's".to_string();
        self.effects.as_ref().ok_or_else(|| SendError::NotStored { reason: reason() })
    }

    /// This transaction, of a capability whose entries are in this near cache.
    pub(crate) fn beside(mut self, near: &Near) -> Self {
        // Only the one host of a SQLite database keeps entries exact.
        self.near = (self.get_database_backend() == DbBackend::Sqlite).then(|| near.clone());
        self
    }

    /// Says that the transaction changes what an entry of the near cache says which is kept exact: from now on until the
    /// outcome is certain, this node reads it from its owner alone.
    ///
    /// It has no effect on other nodes, nor where the database is shared by several hosts: there nobody may take such
    /// entries from the cache ([`Client::is_sole_host_of`](crate::Client::is_sole_host_of)).
    pub fn outdates(&self, ns: &str, key: &str) {
        if let Some(near) = &self.near {
            self.outdated.add(near, ns, key);
        }
    }

    /// Makes the transaction's writes durable.
    ///
    /// # Errors
    /// [`TxError::Database`] if surely nothing was committed, [`TxError::CommitUnanswered`] if that is not known.
    pub async fn commit(self) -> Result<(), TxError> {
        let tracker = self.tracker.clone();
        tracker.set_last_commit(LastCommit::Unanswered);
        let committed = self.try_commit().await;
        tracker.set_last_commit(match &committed {
            Ok(()) | Err(TxError::Repeated) => LastCommit::Done,
            Err(error) => error.failure().map_or(LastCommit::Unanswered, LastCommit::Refused),
        });
        committed
    }

    /// As [`Tx::commit`], for a transaction without which its handler may succeed.
    pub(crate) async fn try_commit(mut self) -> Result<(), TxError> {
        self.ended = true;
        let state = self.state.get_mut();
        if let Some(failed) = &state.failed {
            return Err(TxError::Database(already_failed(failed)));
        }
        if self.pool.env.now() >= self.limit {
            return Err(TxError::Database(too_long()));
        }
        // A handler is dropped at its deadline, but whoever slept through it may wake up right here.
        if self.due.is_some_and(|due| self.pool.env.now() >= due) {
            return Err(TxError::Database(too_late()));
        }
        let effects = match &self.effects {
            Some(effects) => effects.enclosed().ok_or_else(|| self.fenced())?,
            None => TxEffects::default(),
        };
        let lease = self.state.get_mut().lease.take();
        let Some(lease) = lease else { return Err(TxError::Database(over())) };
        self.effects.as_ref().inspect(|e| crash::point(e.before_commit()));
        // A handler may commit more than once; what an earlier transaction committed stays committed.
        let before = self.tracker.commit_state();
        self.tracker.set_commit_state(CommitState::Committing);
        self.outdated.set_unresolved(true);
        let pending = PendingCommit::of(self.effects.as_ref());
        let committed = lease.commit(effects, self.limit).await;
        self.outdated.set_unresolved(matches!(committed, Err(NotCommitted::Perhaps(_))));
        match committed {
            Ok(()) => {
                self.tracker.set_commit_state(CommitState::Committed);
                self.effects.as_ref().inspect(|e| crash::point(e.after_commit()));
                pending.end(true);
                Ok(())
            }
            Err(NotCommitted::Surely(error)) => {
                self.tracker.set_commit_state(before);
                pending.end(false);
                Err(TxError::Database(error))
            }
            Err(NotCommitted::Fenced) => {
                self.tracker.set_commit_state(before);
                pending.end(false);
                Err(self.fenced())
            }
            Err(NotCommitted::Repeated) => {
                self.tracker.set_commit_state(before);
                pending.end(false);
                self.effects.as_ref().inspect(|e| e.repeated());
                Err(TxError::Repeated)
            }
            Err(NotCommitted::Perhaps(error)) => Err(TxError::CommitUnanswered(error)),
        }
    }

    /// What is said where a partition has another owner: this message's, or that of a neighbour who shared the commit.
    fn fenced(&self) -> TxError {
        match &self.effects {
            Some(effects) if effects.is_delivery() => TxError::Fenced,
            _ => TxError::Database(NotCommitted::Fenced.into_error()),
        }
    }

    /// Marks a message in the inbox; `false` if its place is marked already, or if it is to have an effect that another copy
    /// has, perhaps in a transaction that shares the commit.
    pub(crate) async fn mark(&self, mark: InboxMark<'_>) -> Result<bool, DbErr> {
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
    pub async fn rollback(mut self) -> Result<(), DbErr> {
        self.ended = true;
        let Some(lease) = self.state.get_mut().lease.take() else { return Ok(()) };
        lease.undo(self.pool.env.now() + self.pool.limits.transaction).await
    }

    /// Runs one statement. The first one that fails ends the use of the transaction.
    async fn run<T, F>(&self, kind: StatementKind, work: impl FnOnce(BusyConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let refuse = |error| Err(StoreError::Refused(error));
        if kind == StatementKind::Transaction {
            return refuse(refusal("the transaction is the runtime's: use tx.commit(), or drop it"));
        }
        let mut state = self.state.lock().await;
        if let Some(failed) = &state.failed {
            return refuse(already_failed(failed));
        }
        if self.pool.env.now() >= self.limit {
            return refuse(too_long());
        }
        let Some(lease) = &mut state.lease else { return refuse(over()) };
        let mut result = lease.work(self.limit, work).await;
        if result.is_ok() && lease.is_undone() {
            // A text of several statements can hide one that undoes everything; what came next would be committed at once.
            result = refuse(refusal("a statement undid the whole transaction: use tx.rollback(), or drop it"));
        }
        if let Err(trouble) = &result {
            state.failed = Some(FailedStatement { how: trouble.to_string(), is_away: trouble.is_away() });
        }
        result
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
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

fn too_long() -> DbErr {
    refusal("the transaction is older than store.transaction_limit_ms; do the waiting before cx.begin()")
}

fn too_late() -> DbErr {
    refusal("the deadline of the message has passed: its asker may have been told so, and have looked")
}

fn already_failed(FailedStatement { how, is_away }: &FailedStatement) -> DbErr {
    let why = format!("the transaction cannot go on after an earlier failure ({how})");
    if *is_away { connection_error(why) } else { refusal(why) }
}

fn over() -> DbErr {
    refusal("the transaction has ended")
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.connector().backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let kind = StatementKind::of(&statement.sql);
        self.run(kind, |mut c| async move { c.execute(statement).await }).await.map_err(StoreError::into_exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let (kind, sql) = (StatementKind::of(sql), sql.to_string());
        self.run(kind, |mut c| async move { c.execute_unprepared(sql).await })
            .await
            .map_err(StoreError::into_exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let kind = StatementKind::of(&statement.sql);
        self.run(kind, |mut c| async move { c.query_one(statement).await }).await.map_err(StoreError::into_query_error)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let kind = StatementKind::of(&statement.sql);
        self.run(kind, |mut c| async move { c.query_all(statement).await }).await.map_err(StoreError::into_query_error)
    }
}

impl TxError {
    /// The failure of a handler for which nothing was committed, if that is sure.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let kind = match self {
            Self::CommitUnanswered(_) => return None,
            Self::Fenced => FailureKind::Unavailable,
            Self::Database(error) => classify::failure_kind(error),
            Self::NoDatabase | Self::Second | Self::Repeated => FailureKind::Database,
        };
        Some(Failure { kind, detail: self.to_string() })
    }
}

impl<E> From<TxError> for Fault<E> {
    fn from(error: TxError) -> Self {
        error.failure().map_or(Self::Unknown(Unknown::CommitUnanswered), Self::Failed)
    }
}
