//! How far the own writes of a handler have come, which decides what a failure may claim; what it has read that was not
//! certain; and whether all that it has written is kept, without which success is none.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use essaim_contract::{Failure, Unknown};
use futures_util::future::BoxFuture;
use sea_orm::DbErr;

use crate::{Fault, fail};

/// How far the writes of one message have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CommitState {
    /// Nothing was committed.
    Nothing = 0,
    /// A commit was sent and not answered.
    Committing = 1,
    /// Something was committed.
    Committed = 2,
}

/// Follows the writes of one message; what its transactions and its runner share.
#[derive(Clone, Default)]
pub(crate) struct TxTracker(Arc<TrackedCommits>);

#[derive(Default)]
struct TrackedCommits {
    commit_state: AtomicU8,
    left_open: AtomicBool,
    /// Success was claimed, and is none.
    belied: AtomicBool,
    last_commit: Mutex<LastCommit>,
    uncommitted_reads: Mutex<Vec<GroupCommitted>>,
}

/// How the last commit of a handler has ended. One that succeeds makes up for one that did not.
#[derive(Debug, Clone, Default)]
pub(crate) enum LastCommit {
    /// Well, as far as there was one.
    #[default]
    Done,
    /// Nothing was committed.
    Refused(Failure),
    /// It was sent, and nobody has heard how it ended.
    Unanswered,
}

/// When what was read is certain, or that it never was.
type GroupCommitted = BoxFuture<'static, Result<(), DbErr>>;

impl TxTracker {
    pub fn commit_state(&self) -> CommitState {
        match self.0.commit_state.load(Ordering::Acquire) {
            0 => CommitState::Nothing,
            1 => CommitState::Committing,
            _ => CommitState::Committed,
        }
    }

    pub fn set_commit_state(&self, commit_state: CommitState) {
        self.0.commit_state.store(commit_state as u8, Ordering::Release);
    }

    /// A transaction was dropped that was neither committed nor rolled back.
    pub fn set_left_open(&self) {
        self.0.left_open.store(true, Ordering::Release);
    }

    /// Notes how far the last commit has come.
    pub fn set_last_commit(&self, last_commit: LastCommit) {
        *self.0.last_commit.lock().unwrap_or_else(PoisonError::into_inner) = last_commit;
    }

    /// Whether success is true: no transaction was left open, and the last commit is done.
    ///
    /// # Errors
    /// What is true instead. Whoever claimed success may have a state that is ahead of the database.
    pub fn confirm<E>(&self) -> Result<(), Fault<E>> {
        let open = self.0.left_open.load(Ordering::Acquire).then(|| fail(LEFT_OPEN));
        let fault = open.or_else(|| match &*self.0.last_commit.lock().unwrap_or_else(PoisonError::into_inner) {
            LastCommit::Done => None,
            LastCommit::Refused(failure) => Some(Fault::Failed(swallowed(failure))),
            LastCommit::Unanswered => Some(Fault::Unknown(Unknown::CommitUnanswered)),
        });
        let Some(fault) = fault else { return Ok(()) };
        self.0.belied.store(true, Ordering::Release);
        Err(fault)
    }

    /// Whether the state of whose handler this is may be ahead of the database.
    pub fn is_ahead(&self) -> bool {
        self.0.left_open.load(Ordering::Acquire) || self.0.belied.load(Ordering::Acquire)
    }

    /// A transaction that ended without a commit may have read what is not certain before this.
    pub fn record_uncommitted_read(&self, group_committed: GroupCommitted) {
        self.0.uncommitted_reads.lock().unwrap_or_else(PoisonError::into_inner).push(group_committed);
    }

    /// Waits until everything that was read is certain.
    ///
    /// # Errors
    /// If something never was.
    pub async fn reads_committed(&self) -> Result<(), DbErr> {
        let uncommitted_reads =
            std::mem::take(&mut *self.0.uncommitted_reads.lock().unwrap_or_else(PoisonError::into_inner));
        for group_committed in uncommitted_reads {
            group_committed.await?;
        }
        Ok(())
    }
}

const LEFT_OPEN: &str = "Ok was returned with a transaction that was neither committed nor rolled back, so its writes are lost: \
                         end it with tx.commit() or tx.rollback()";

fn swallowed(Failure { kind, detail }: &Failure) -> Failure {
    let detail = format!("Ok was returned although the commit had failed, so its writes are lost: {detail}");
    Failure { kind: *kind, detail }
}
