//! The transaction of one handler: the store's, with what the runtime writes with it.

use std::marker::PhantomData;

use essaim_base::crash;
use essaim_contract::{Command, Event, Failure, MessageId, SendError, Unknown};
use essaim_durable::SendOptions;
use essaim_durable::{HandlerEffects, PendingCommit};
use essaim_near::Near;
use essaim_store::error::StoreError;
use essaim_store::group::NotCommitted;
use essaim_store::models::ModelQueries;
use essaim_store::tables::tx_effects::TxEffects;
use essaim_store::tx_tracker::{FalseSuccess, LastCommit};
use essaim_store::{Transaction, TxError};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, ExecResult, QueryResult, Statement, StatementBuilder, TryIntoModel,
};

use crate::{Cx, Fault, fail};

#[cfg(test)]
mod tests;

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
/// since it may have read what is not certain before. A handler that lingers in a transaction keeps the others waiting.
///
/// After a statement failed the transaction cannot go on, on SQLite as on PostgreSQL: where a conflict is expected,
/// write with `ON CONFLICT`.
#[must_use = "its writes are lost unless it is committed"]
pub struct Tx<'cx> {
    transaction: Transaction,
    /// What the runtime writes with it; absent in those of a start.
    effects: Option<HandlerEffects>,
    /// Absent where no near cache keeps exact entries of this capability.
    near: Option<Near>,
    cx: PhantomData<&'cx mut Cx>,
}

impl Tx<'_> {
    /// A transaction of a capability whose entries are in this near cache, and what the runtime writes with it.
    #[doc(hidden)]
    pub fn new(transaction: Transaction, effects: Option<HandlerEffects>, near: &Near) -> Self {
        // Only the one host of a SQLite database keeps entries exact.
        let near = (transaction.get_database_backend() == DbBackend::Sqlite).then(|| near.clone());
        Self { transaction, effects, near, cx: PhantomData }
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

    /// Says that the transaction changes what an entry of the near cache says which is kept exact: from now on until the
    /// outcome is certain, this node reads it from its owner alone.
    ///
    /// It has no effect on other nodes, nor where the database is shared by several hosts: there no reader may take such
    /// entries from the cache ([`Client::is_sole_host_of`](crate::Client::is_sole_host_of)).
    pub fn outdates(&self, ns: &str, key: &str) {
        if let Some(near) = &self.near {
            self.transaction.hold(Box::new(near.bar(ns, key)));
        }
    }

    /// Makes the transaction's writes durable.
    ///
    /// # Errors
    /// [`TxError::Database`] if surely nothing was committed, [`TxError::CommitUnanswered`] if that is not known.
    pub async fn commit(self) -> Result<(), TxError> {
        let tracker = self.transaction.tracker().clone();
        tracker.set_last_commit(LastCommit::Unanswered);
        let committed = self.try_commit().await;
        tracker.set_last_commit(match &committed {
            Ok(()) | Err(TxError::Repeated) => LastCommit::Done,
            Err(error) => error.failure().map_or(LastCommit::Unanswered, LastCommit::Refused),
        });
        committed
    }

    /// As [`Tx::commit`], for a transaction without which its handler may succeed.
    pub(crate) async fn try_commit(self) -> Result<(), TxError> {
        let Self { mut transaction, effects, .. } = self;
        transaction.prepare_commit()?;
        let Some(effects) = effects else { return Ok(transaction.commit_prepared(TxEffects::default()).await?) };
        if let Some(rehearsal) = effects.rehearsal() {
            transaction.end_rehearsed().await?;
            effects.rehearse_sends(rehearsal);
            return Ok(());
        }
        let fenced = if effects.is_delivery() { TxError::Fenced } else { NotCommitted::Fenced.into() };
        let Some(written) = effects.tx_effects() else { return Err(fenced) };
        crash::point(effects.before_commit());
        let pending = PendingCommit::of(&effects);
        match transaction.commit_prepared(written).await {
            Ok(()) => {
                crash::point(effects.after_commit());
                pending.end(true);
                Ok(())
            }
            // What it sends leaves all the same if it is committed: `pending` falls.
            Err(unanswered @ NotCommitted::Perhaps(_)) => Err(unanswered.into()),
            Err(refused) => {
                pending.end(false);
                match refused {
                    NotCommitted::Fenced => return Err(fenced),
                    NotCommitted::Repeated => effects.set_repeated(),
                    NotCommitted::Surely(_) | NotCommitted::Perhaps(_) => {}
                }
                Err(refused.into())
            }
        }
    }

    /// Undoes the transaction's writes; dropping it does the same without waiting.
    ///
    /// # Errors
    /// If the database does not answer; the writes are undone all the same.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.transaction.rollback().await.map_err(StoreError::into_exec_error)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.transaction.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.transaction.run_statement(statement).await.map_err(StoreError::into_exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.transaction.run_text(sql).await.map_err(StoreError::into_exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.transaction.fetch_one(statement).await.map_err(StoreError::into_query_error)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.transaction.fetch_all(statement).await.map_err(StoreError::into_query_error)
    }
}

impl ModelQueries for Tx<'_> {
    async fn models<E>(&self, statement: &impl StatementBuilder) -> Result<Vec<E::Model>, DbErr>
    where
        E: EntityTrait,
        E::ActiveModel: TryIntoModel<E::Model>,
    {
        self.transaction.models::<E>(statement).await
    }
}

impl<E> From<TxError> for Fault<E> {
    fn from(error: TxError) -> Self {
        error.failure().map_or(Self::Unknown(Unknown::CommitUnanswered), Self::Failed)
    }
}

impl<E> From<FalseSuccess> for Fault<E> {
    fn from(success: FalseSuccess) -> Self {
        match success {
            FalseSuccess::LeftOpen => fail(LEFT_OPEN),
            FalseSuccess::Refused(Failure { kind, detail }) => {
                let lost = "Ok was returned although the commit had failed, so its writes are lost";
                Self::Failed(Failure { kind, detail: format!("{lost}: {detail}") })
            }
            FalseSuccess::Unanswered => Self::Unknown(Unknown::CommitUnanswered),
        }
    }
}

const LEFT_OPEN: &str = "Ok was returned with a transaction that was neither committed nor rolled back, so its writes are lost: \
                         end it with tx.commit() or tx.rollback()";
