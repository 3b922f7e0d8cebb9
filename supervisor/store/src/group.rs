//! Group commit: transactions of several handlers that share one COMMIT on the one writer of a SQLite database.
//!
//! A transaction that commits leaves its writes in the outer transaction and hands the connection to the next, which works
//! behind a SAVEPOINT of its own. Its commit is answered when the outer COMMIT is.
//! One that fails, or whose handler is dropped, goes back to its savepoint, and the others do not notice; unless it failed
//! so that SQLite undid the outer transaction, which then has failed for all of them.
//!
//! The outer COMMIT is a task that stands in the same queue: as soon as its first transaction has ended it takes its turn behind
//! what its thread has to do at that moment, and behind those that wait for the connection then. So all of them get in, a
//! later one is in the next group, and none waits because a neighbour's handler went away. (The idea is
//! DeWitt's and others', "Implementation techniques for main memory database systems", 1984.)

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::classify;
use super::connection_lease::ConnectionLease;
use super::error::StoreError;
use super::pool::Pool;
use super::tables::tx_effects::TxEffects;
use super::tx_tracker::GroupCommitted;

/// How far a group may grow while others wait; it is committed by the first that reaches a bound.
#[derive(Debug, Clone, Copy)]
pub struct GroupLimits {
    /// Transactions in one group.
    pub members: u32,
    /// From the end of its first transaction to the end of the last that may hand on.
    pub age: Duration,
}

/// Why a commit did not succeed, as far as is known.
#[derive(Debug, Clone)]
pub enum NotCommitted {
    /// Surely nothing was committed.
    Surely(StoreError),
    /// Nothing was committed: the partition of this transaction's message, or of a neighbour's, has another owner.
    Fenced,
    /// Nothing was committed: another copy of the transaction's message has its effect.
    Repeated,
    /// The commit was sent and not answered.
    Perhaps(StoreError),
}

type CommitOutcome = Result<(), NotCommitted>;

/// The channel on which the members of a group hear how it ended.
#[derive(Clone)]
struct GroupEnd(Arc<watch::Sender<Option<CommitOutcome>>>);

/// An outer transaction with members. It stays with its connection, and tells its members when it is dropped.
pub struct OpenGroup {
    end: GroupEnd,
    members: u32,
    since: Instant,
    /// What the runtime writes with the members.
    pub effects: TxEffects,
    pub stage: GroupStage,
}

/// How far an outer transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupStage {
    /// Others may join.
    Open,
    /// The effects of its members are being written, and nothing else may be.
    Closing,
    /// The outer COMMIT was sent.
    Committing,
}

impl OpenGroup {
    fn begin(now: Instant) -> Self {
        let end = GroupEnd(Arc::new(watch::Sender::new(None)));
        Self { end, members: 0, since: now, effects: TxEffects::default(), stage: GroupStage::Open }
    }

    pub fn is_open(&self) -> bool {
        self.stage == GroupStage::Open
    }

    fn finish(self, outcome: CommitOutcome) {
        debug_assert!(self.end.0.borrow().is_none(), "a group ends once");
        self.end.0.send_replace(Some(outcome));
    }
}

impl Drop for OpenGroup {
    fn drop(&mut self) {
        let lost = "the connection was lost with all transactions that shared the commit".to_string();
        let outcome = match self.stage {
            GroupStage::Open | GroupStage::Closing => NotCommitted::Surely(StoreError::Unavailable(lost)),
            GroupStage::Committing => NotCommitted::Perhaps(StoreError::Unavailable(lost)),
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
            _ => Err(NotCommitted::Perhaps(StoreError::TimedOut)),
        }
    }
}

impl ConnectionLease {
    /// Makes the transaction durable with what the runtime writes with it, alone or together with others.
    pub async fn commit(mut self, mut effects: TxEffects, limit: Instant) -> CommitOutcome {
        if !self.is_ready() {
            // The end of a statement was not awaited; dropping the lease undoes it.
            return Err(NotCommitted::Surely(StoreError::ConnectionGone));
        }
        let pool = self.pool().clone();
        let now = pool.env.now();
        let limits = pool.grouping();
        let first = self.group.is_none();
        if first && limits.is_none() {
            let riding = pool.take_riding();
            effects.add(riding.effects());
            let committed = self.commit_alone(&effects, limit).await;
            if committed.is_ok() {
                riding.written();
                pool.hand_on(effects);
            }
            return committed;
        }
        if let Err(refused) = self.write_contested(&mut effects, limit).await {
            // The copy that a neighbour has applied counts once the group has committed.
            return Err(self.undo(limit).await.map_or_else(NotCommitted::Surely, |()| refused));
        }
        let group = self.group.get_or_insert_with(|| OpenGroup::begin(now));
        debug_assert!(group.is_open(), "a transaction joins an open group");
        group.members += 1;
        group.effects.add(effects);
        let end = group.end.clone();
        let age = now.saturating_duration_since(group.since);
        debug_assert!(limits.is_none_or(|limits| group.members <= limits.members), "a full group is committed");
        let full = limits.is_none_or(|limits| group.members >= limits.members || age >= limits.age);
        if full {
            // In a task of its own: this handler may be dropped, and the others' commit goes on. If the task panics, the
            // members hear that the connection is lost.
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

    /// Undoes the transaction. It may have read its neighbours' rows, so its handler goes on only when these are committed.
    pub async fn undo(mut self, limit: Instant) -> Result<(), StoreError> {
        let group_committed = self.group_committed();
        self.roll_back(limit).await?;
        drop(self);
        match group_committed {
            Some(group_committed) => group_committed.await,
            None => Ok(()),
        }
    }

    /// Resolves when the neighbours have committed whose rows the transaction may have read; absent without neighbours.
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
            Ok(()) => {
                self.pool().record_commit();
                Ok(())
            }
            Err(error) => {
                self.discard();
                Err(not_committed(error))
            }
        }
    }

    async fn close(&mut self, effects: &TxEffects, limit: Instant) -> CommitOutcome {
        let is_shared = self.group.as_ref().is_some_and(|group| group.members > 1);
        // Behind a savepoint SQLite copies each page that is changed.
        self.work(limit, |mut c| async move { c.release().await }).await.map_err(NotCommitted::Surely)?;
        self.write(effects, limit).await.map_err(|refused| match refused {
            // Which member's message it was is not known: each of them is tried again.
            NotCommitted::Repeated if is_shared => NotCommitted::Surely(refused.into_error()),
            refused => refused,
        })?;
        if let Some(group) = &mut self.group {
            group.stage = GroupStage::Committing;
        }
        let done = self.work(limit, |mut c| async move { c.commit().await }).await;
        done.inspect(|()| self.pool().record_commit()).map_err(|error| {
            self.pool().note_refusal(&error);
            not_committed(error)
        })
    }

    /// The outer COMMIT.
    async fn commit_all(mut self) {
        let Some(group) = &mut self.group else { return };
        group.stage = GroupStage::Closing;
        let mut effects = std::mem::take(&mut group.effects);
        let riding = self.pool().take_riding();
        effects.add(riding.effects());
        let limit = self.pool().env.now() + self.pool().limits.transaction;
        let outcome = self.close(&effects, limit).await;
        let group = self.group.take();
        match outcome {
            // Before its handlers hear of it, which may end.
            Ok(()) => {
                riding.written();
                self.pool().hand_on(effects);
            }
            Err(_) => self.discard(),
        }
        // First the connection, so that a member that hears of the end and begins anew finds it idle.
        drop(self);
        if let Some(group) = group {
            group.finish(outcome);
        }
    }
}

impl NotCommitted {
    /// The error of a statement that met it.
    pub fn into_error(self) -> StoreError {
        match self {
            Self::Surely(error) | Self::Perhaps(error) => error,
            Self::Fenced => {
                StoreError::Unavailable("a partition of those that shared the commit has another owner".into())
            }
            Self::Repeated => {
                StoreError::Unavailable("a message of those that shared the commit was applied before".into())
            }
        }
    }
}

impl Pool {
    /// Waits for its turn behind all transactions that wait now, and commits the group then if it is still open.
    async fn close_in_turn(self: Arc<Self>, end: GroupEnd) {
        let Some(lease) = self.turn().await else { return };
        if lease.group.as_ref().is_some_and(|group| Arc::ptr_eq(&group.end.0, &end.0)) {
            lease.commit_all().await;
        }
    }
}

fn not_committed(error: StoreError) -> NotCommitted {
    match &error {
        StoreError::Driver(e) if classify::nothing_committed(e) => NotCommitted::Surely(error),
        _ => NotCommitted::Perhaps(error),
    }
}
