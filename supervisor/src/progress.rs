//! How far the own writes of a handler have come, which decides what a failure may claim; what it has read that was not
//! certain; and whether it has left a transaction open.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sea_orm::DbErr;

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
    read: Mutex<Vec<Certainty>>,
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

    pub fn has_left_open(&self) -> bool {
        self.0.left_open.load(Ordering::Acquire)
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
