//! What a transaction's owner holds until its outcome is certain, such as bars on what near caches may not serve meanwhile.

use std::sync::Arc;

use essaim_base::lock::Mutex;

use super::pool::Pool;

/// Dropped once the outcome of a transaction is certain.
pub type OutcomeGuard = Box<dyn Send>;

/// The guards of one transaction. They fall when its outcome is certain, however its handler ends.
pub struct OutcomeGuards {
    guards: Mutex<Vec<OutcomeGuard>>,
    /// A commit was sent and not answered.
    unresolved: bool,
    pool: Arc<Pool>,
}

/// Guards of transactions that ended with an unknown outcome.
///
/// They stay until a later transaction has begun. SQLite has one writer at a time, so a transaction that has begun proves
/// that every earlier one has ended, and from then on readers see how.
#[derive(Default)]
pub struct UnresolvedGuards(Mutex<Vec<OutcomeGuard>>);

impl OutcomeGuards {
    pub fn new(pool: &Arc<Pool>) -> Self {
        Self { guards: Mutex::default(), unresolved: false, pool: pool.clone() }
    }

    pub fn add(&self, guard: OutcomeGuard) {
        self.guards.lock().push(guard);
    }

    /// Records that the commit is being sent, or that its outcome is certain.
    pub fn set_unresolved(&mut self, unresolved: bool) {
        self.unresolved = unresolved;
    }
}

impl Drop for OutcomeGuards {
    fn drop(&mut self) {
        if self.unresolved {
            self.pool.unresolved.0.lock().append(self.guards.get_mut());
        }
    }
}

impl UnresolvedGuards {
    /// Drops them: a later transaction has begun.
    pub fn resolve(&self) {
        // Outside the lock: a guard may do anything as it falls.
        let guards = std::mem::take(&mut *self.0.lock());
        drop(guards);
    }
}
