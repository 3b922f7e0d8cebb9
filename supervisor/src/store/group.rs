//! Group commit: transactions of several handlers that share one COMMIT on the one writer of a SQLite database.
//!
//! While others wait for the writer, a transaction that commits leaves its writes in the outer transaction and hands the
//! connection to the next, which works behind a SAVEPOINT of its own. Its commit is answered when the outer COMMIT is.
//! One that fails, or whose handler is dropped, goes back to its savepoint, and the others do not notice; unless it failed
//! so that SQLite undid the outer transaction, which then has failed for all of them.
//!
//! The outer COMMIT is a task that stands in the same queue: as soon as its first transaction has ended it queues behind
//! those who wait at that moment. So all of them get in, whoever comes later is in the next group, and nobody waits
//! because of a neighbour's handler that went away. A transaction that nobody waits behind commits by itself, as it would
//! alone. (The idea is DeWitt's and others', "Implementation techniques for main memory database systems", 1984.)

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sea_orm::DbErr;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::classify;
use super::error::{StoreError, connection_error};
use super::lease::ConnectionLease;
use super::pool::Pool;
use super::tables::effects::TxEffects;
use super::tx_tracker::GroupCommitted;

/// How far a group may grow while others wait; it is committed by the first that reaches a bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    /// Transactions in one group.
    pub members: u32,
    /// From the end of its first transaction to the end of the last that may hand on.
    pub age: Duration,
}

/// Why a commit did not succeed, as far as is known.
#[derive(Debug, Clone)]
pub(crate) enum NotCommitted {
    /// Surely nothing was committed.
    Surely(DbErr),
    /// Nothing was: the partition of a message, whose handler's transaction it was or a neighbour's, has another owner.
    Fenced,
    /// Nothing was: another copy of the message, whose handler's transaction it was, has its effect.
    Repeated,
    /// The commit was sent and not answered.
    Perhaps(DbErr),
}

type CommitOutcome = Result<(), NotCommitted>;

/// Where the members of a group hear how it ended.
#[derive(Clone)]
struct GroupEnd(Arc<watch::Sender<Option<CommitOutcome>>>);

/// An outer transaction with members; it stays with its connection. However it goes, its members hear of it.
pub(crate) struct OpenGroup {
    end: GroupEnd,
    members: u32,
    since: Instant,
    /// What the runtime writes with them.
    pub effects: TxEffects,
    pub stage: GroupStage,
}

/// How far an outer transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupStage {
    /// Others may join.
    Open,
    /// What it encloses is being written, and nothing else may be.
    Closing,
    /// The outer COMMIT was sent.
    Committing,
}

impl OpenGroup {
    fn begin(now: Instant) -> Self {
        let end = GroupEnd(Arc::new(watch::Sender::new(None)));
        Self { end, members: 0, since: now, effects: TxEffects::default(), stage: GroupStage::Open }
    }

    fn finish(self, outcome: CommitOutcome) {
        self.end.0.send_replace(Some(outcome));
    }
}

impl Drop for OpenGroup {
    fn drop(&mut self) {
        let lost = || connection_error("the connection was lost with all transactions that shared the commit".into());
        let outcome = match self.stage {
            GroupStage::Open | GroupStage::Closing => NotCommitted::Surely(lost()),
            GroupStage::Committing => NotCommitted::Perhaps(lost()),
        };
        self.end.0.send_if_modified(|ended| {
            let lost = ended.is_none();
            if lost {
                *ended = Some(Err(outcome));
            }
            lost
        });
    }
}

impl GroupEnd {
    async fn heard(&self, limit: Instant) -> CommitOutcome {
        let mut outcome = self.0.subscribe();
        let ended = timeout_at(limit, outcome.wait_for(Option::is_some)).await;
        match ended.map(|outcome| outcome.map(|o| o.clone())) {
            Ok(Ok(Some(outcome))) => outcome,
            _ => Err(NotCommitted::Perhaps(StoreError::TimedOut.into_exec_error())),
        }
    }
}

impl ConnectionLease {
    /// Makes the transaction durable with what the runtime writes with it, alone or together with others.
    pub async fn commit(mut self, mut effects: TxEffects, limit: Instant) -> CommitOutcome {
        if !self.is_ready() {
            // A statement that nobody waited for to its end; the lease undoes it as it falls.
            return Err(NotCommitted::Surely(StoreError::Gone.into_exec_error()));
        }
        let pool = self.pool().clone();
        let now = pool.env.now();
        let limits = pool.grouping();
        let first = self.group.is_none();
        if first && !(limits.is_some() && pool.is_awaited()) {
            return self.commit_alone(&effects, limit).await;
        }
        if let Err(refused) = self.write_contested(&mut effects, limit).await {
            // A copy that a neighbour has applied counts once that is certain.
            return Err(self.undo(limit).await.map_or_else(NotCommitted::Surely, |()| refused));
        }
        let group = self.group.get_or_insert_with(|| OpenGroup::begin(now));
        group.members += 1;
        group.effects.add(effects);
        let end = group.end.clone();
        let age = now.saturating_duration_since(group.since);
        let full = limits.is_none_or(|limits| group.members >= limits.members || age >= limits.age);
        if full {
            // In a task of its own: this handler may be dropped, and the others' commit not with it. Were it to panic, its
            // members would hear that the connection is lost.
            #[allow(clippy::disallowed_methods)]
            tokio::spawn(self.commit_all());
        } else {
            if first {
                #[allow(clippy::disallowed_methods)] // As above.
                tokio::spawn(pool.clone().close_in_turn(end.clone()));
            }
            drop(self);
        }
        end.heard(now + pool.longest_doubt()).await
    }

    /// Undoes the transaction. What it has read may be its neighbours', so its handler goes on only when that is committed.
    pub async fn undo(mut self, limit: Instant) -> Result<(), DbErr> {
        let group_committed = self.group_committed();
        self.roll_back(limit).await.map_err(StoreError::into_exec_error)?;
        drop(self);
        match group_committed {
            Some(group_committed) => group_committed.await,
            None => Ok(()),
        }
    }

    /// When what the transaction may have read of its neighbours is certain, if there are any.
    pub fn group_committed(&self) -> Option<GroupCommitted> {
        let end = self.group.as_ref()?.end.clone();
        let pool = self.pool().clone();
        let certain = async move {
            let heard = end.heard(pool.env.now() + pool.longest_doubt()).await;
            heard.map_err(NotCommitted::into_error)
        };
        Some(certain.boxed())
    }

    async fn commit_alone(&mut self, effects: &TxEffects, limit: Instant) -> CommitOutcome {
        if let Err(refused) = self.write(effects, limit).await {
            let _ = self.roll_back(limit).await;
            return Err(refused);
        }
        match self.work(limit, |mut c| async move { c.commit().await }).await {
            Ok(()) => Ok(()),
            Err(trouble) => {
                self.discard();
                Err(not_committed(trouble))
            }
        }
    }

    async fn close(&mut self, effects: &TxEffects, limit: Instant) -> CommitOutcome {
        self.write(effects, limit).await.map_err(|refused| match refused {
            // It is not known whose: each of them is tried again.
            NotCommitted::Repeated => NotCommitted::Surely(refused.into_error()),
            refused => refused,
        })?;
        if let Some(group) = &mut self.group {
            group.stage = GroupStage::Committing;
        }
        let done = self.work(limit, |mut c| async move { c.commit().await }).await;
        done.map_err(|trouble| {
            self.pool().note_refusal(&trouble);
            not_committed(trouble)
        })
    }

    /// The outer COMMIT.
    async fn commit_all(mut self) {
        let Some(group) = &mut self.group else { return };
        group.stage = GroupStage::Closing;
        let effects = std::mem::take(&mut group.effects);
        let limit = self.pool().env.now() + self.pool().limits.transaction;
        let outcome = self.close(&effects, limit).await;
        let group = self.group.take();
        if outcome.is_err() {
            self.discard();
        }
        // First the connection, so that whoever hears of the end and begins anew finds it free.
        drop(self);
        if let Some(group) = group {
            group.finish(outcome);
        }
    }
}

impl NotCommitted {
    /// What a statement would say.
    pub fn into_error(self) -> DbErr {
        match self {
            Self::Surely(error) | Self::Perhaps(error) => error,
            Self::Fenced => connection_error("a partition of those that shared the commit has another owner".into()),
            Self::Repeated => connection_error("a message of those that shared the commit was applied before".into()),
        }
    }
}

impl Pool {
    /// Waits for its turn behind all who wait now, and commits the group then if it is still open.
    async fn close_in_turn(self: Arc<Self>, end: GroupEnd) {
        let Some(lease) = self.turn().await else { return };
        if lease.group.as_ref().is_some_and(|group| Arc::ptr_eq(&group.end.0, &end.0)) {
            lease.commit_all().await;
        }
    }
}

fn not_committed(trouble: StoreError) -> NotCommitted {
    match &trouble {
        StoreError::Database(e) if classify::nothing_committed(e) => NotCommitted::Surely(trouble.into_exec_error()),
        _ => NotCommitted::Perhaps(trouble.into_exec_error()),
    }
}
