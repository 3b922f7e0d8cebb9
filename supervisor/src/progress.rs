//! How far the own writes of a handler have come; it decides what a failure may claim.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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
#[derive(Debug, Clone, Default)]
pub(crate) struct Track(Arc<AtomicU8>);

impl Track {
    pub fn progress(&self) -> Progress {
        match self.0.load(Ordering::Acquire) {
            0 => Progress::Nothing,
            1 => Progress::Committing,
            _ => Progress::Committed,
        }
    }

    pub fn set(&self, progress: Progress) {
        self.0.store(progress as u8, Ordering::Release);
    }
}
