//! How far the writes of one message have come, which decides what its failure may claim: what was committed, which
//! uncommitted rows its transactions have read, and whether a success of its handler is true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use essaim_base::lock::Mutex;
use essaim_contract::Failure;
use futures_util::future::BoxFuture;

use super::error::StoreError;

/// How far the writes of one message have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CommitState {
    /// Nothing was committed.
    Nothing = 0,
    /// A commit was sent and not answered.
    Committing = 1,
    /// Something was committed.
    Committed = 2,
}

/// Follows the writes of one message; shared by its transactions and its runner.
#[derive(Clone, Default)]
pub struct TxTracker(Arc<TrackedCommits>);

#[derive(Default)]
struct TrackedCommits {
    commit_state: AtomicU8,
    left_open: AtomicBool,
    /// The handler reported success although its writes are lost.
    false_success: AtomicBool,
    last_commit: Mutex<LastCommit>,
    uncommitted_reads: Mutex<Vec<GroupCommitted>>,
}

/// How the last commit of a handler ended. A later commit that succeeds makes up for an earlier one that did not.
#[derive(Debug, Clone, Default)]
pub enum LastCommit {
    /// It succeeded, or there was none.
    #[default]
    Done,
    /// Nothing was committed.
    Refused(Failure),
    /// It was sent, and its outcome is unknown.
    Unanswered,
}

/// Why the success that a handler reports is none.
#[derive(Debug, Clone)]
pub enum FalseSuccess {
    /// A transaction was dropped that was neither committed nor rolled back.
    LeftOpen,
    /// The last commit was refused.
    Refused(Failure),
    /// The outcome of the last commit is unknown.
    Unanswered,
}

/// Resolves when the group has committed whose uncommitted rows a transaction has read; an error if it never will.
pub type GroupCommitted = BoxFuture<'static, Result<(), StoreError>>;

impl TxTracker {
    #[inline]
    pub fn commit_state(&self) -> CommitState {
        match self.0.commit_state.load(Ordering::Acquire) {
            0 => CommitState::Nothing,
            1 => CommitState::Committing,
            _ => CommitState::Committed,
        }
    }

    #[inline]
    pub fn set_commit_state(&self, commit_state: CommitState) {
        self.0.commit_state.store(commit_state as u8, Ordering::Release);
    }

    /// Records that a transaction was dropped that was neither committed nor rolled back.
    pub fn set_left_open(&self) {
        self.0.left_open.store(true, Ordering::Release);
    }

    pub fn set_last_commit(&self, last_commit: LastCommit) {
        *self.0.last_commit.lock() = last_commit;
    }

    /// Checks that a success is true: no transaction was left open, and the last commit is done.
    ///
    /// # Errors
    /// What is true instead. The state of the handler's instance may be ahead of the database then.
    pub fn confirm(&self) -> Result<(), FalseSuccess> {
        let false_success = if self.0.left_open.load(Ordering::Acquire) {
            FalseSuccess::LeftOpen
        } else {
            match &*self.0.last_commit.lock() {
                LastCommit::Done => return Ok(()),
                LastCommit::Refused(failure) => FalseSuccess::Refused(failure.clone()),
                LastCommit::Unanswered => FalseSuccess::Unanswered,
            }
        };
        self.0.false_success.store(true, Ordering::Release);
        Err(false_success)
    }

    /// Whether the state of the handler's instance may be ahead of the database.
    pub fn is_ahead(&self) -> bool {
        self.0.left_open.load(Ordering::Acquire) || self.0.false_success.load(Ordering::Acquire)
    }

    /// Records that a transaction which ended without a commit may have read rows that this group has yet to commit.
    pub fn record_uncommitted_read(&self, group_committed: GroupCommitted) {
        self.0.uncommitted_reads.lock().push(group_committed);
    }

    /// Waits until every group has committed whose uncommitted rows were read.
    ///
    /// # Errors
    /// If one of them never will.
    pub async fn reads_committed(&self) -> Result<(), StoreError> {
        let uncommitted_reads = std::mem::take(&mut *self.0.uncommitted_reads.lock());
        for group_committed in uncommitted_reads {
            group_committed.await?;
        }
        Ok(())
    }
}
