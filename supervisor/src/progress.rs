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
pub(crate) enum Progress {
    /// Nothing was committed.
    Nothing = 0,
    /// A commit was sent and not answered.
    Committing = 1,
    /// Something was committed.
    Committed = 2,
}

/// Follows the writes of one message; what its transactions and its runner share.
#[derive(Clone, Default)]
pub(crate) struct Track(Arc<Tracked>);

#[derive(Default)]
struct Tracked {
    progress: AtomicU8,
    left_open: AtomicBool,
    /// Success was claimed, and is none.
    belied: AtomicBool,
    commit: Mutex<LastCommit>,
    read: Mutex<Vec<Certainty>>,
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
type Certainty = BoxFuture<'static, Result<(), DbErr>>;

impl Track {
    pub fn progress(&self) -> Progress {
        match self.0.progress.load(Ordering::Acquire) {
            0 => Progress::Nothing,
            1 => Progress::Committing,
            _ => Progress::Committed,
        }
    }

    pub fn set(&self, progress: Progress) {
        self.0.progress.store(progress as u8, Ordering::Release);
    }

    /// A transaction was dropped that was neither committed nor rolled back.
    pub fn set_left_open(&self) {
        self.0.left_open.store(true, Ordering::Release);
    }

    /// Notes how far the last commit has come.
    pub fn set_commit(&self, commit: LastCommit) {
        *self.0.commit.lock().unwrap_or_else(PoisonError::into_inner) = commit;
    }

    /// Whether success is true: no transaction was left open, and the last commit is done.
    ///
    /// # Errors
    /// What is true instead. Whoever claimed success may have a state that is ahead of the database.
    pub fn confirm<E>(&self) -> Result<(), Fault<E>> {
        let open = self.0.left_open.load(Ordering::Acquire).then(|| fail(LEFT_OPEN));
        let fault = open.or_else(|| match &*self.0.commit.lock().unwrap_or_else(PoisonError::into_inner) {
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
    pub fn has_read(&self, certainty: Certainty) {
        self.0.read.lock().unwrap_or_else(PoisonError::into_inner).push(certainty);
    }

    /// Waits until everything that was read is certain.
    ///
    /// # Errors
    /// If something never was.
    pub async fn is_certain(&self) -> Result<(), DbErr> {
        let read = std::mem::take(&mut *self.0.read.lock().unwrap_or_else(PoisonError::into_inner));
        for certainty in read {
            certainty.await?;
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
