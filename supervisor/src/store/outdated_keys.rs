//! What a transaction is about to change, of what near caches keep exact.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pool::Pool;
use crate::near::{Bar, Near};

/// The bars on what one transaction changes. They go when its outcome is certain, however its handler ends.
pub(crate) struct OutdatedKeys {
    bars: Mutex<Vec<Bar>>,
    /// A commit was sent and not answered.
    unresolved: bool,
    pool: Arc<Pool>,
}

/// Bars that transactions left behind whose outcome is not known.
///
/// They stay until a later transaction has begun. SQLite has one writer at a time, so a transaction that has begun proves
/// that every earlier one has ended, and from then on readers see how.
#[derive(Default)]
pub(crate) struct UnresolvedBars(Mutex<Vec<Bar>>);

impl OutdatedKeys {
    pub fn by(pool: &Arc<Pool>) -> Self {
        Self { bars: Mutex::default(), unresolved: false, pool: pool.clone() }
    }

    pub fn add(&self, near: &Near, ns: &str, key: &str) {
        let bar = near.bar(ns, key);
        lock(&self.bars).push(bar);
    }

    /// Notes that the commit is being sent, or that its outcome is certain.
    pub fn set_unresolved(&mut self, unresolved: bool) {
        self.unresolved = unresolved;
    }
}

impl Drop for OutdatedKeys {
    fn drop(&mut self) {
        if self.unresolved {
            let mut bars = std::mem::take(&mut *lock(&self.bars));
            lock(&self.pool.unresolved.0).append(&mut bars);
        }
    }
}

impl UnresolvedBars {
    /// Lifts them: a later transaction has begun.
    pub fn resolve(&self) {
        let bars = std::mem::take(&mut *lock(&self.0));
        drop(bars);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
