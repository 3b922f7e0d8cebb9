//! Who waits for a connection.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Guard: counts one who waits, until it is dropped.
pub struct WaitingGuard<'a>(&'a AtomicUsize);

impl<'a> WaitingGuard<'a> {
    pub fn among(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::AcqRel);
        Self(all)
    }
}

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "one who waits was counted");
    }
}
