//! What a transaction is about to change, of what near caches keep exact.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lanes::Lanes;
use crate::near::{Bar, Near};

/// The bars on what one transaction changes. They go when its outcome is certain, however its handler ends.
pub(crate) struct Outdated {
    bars: Mutex<Vec<Bar>>,
    /// A commit was sent and not answered.
    in_doubt: bool,
    lanes: Arc<Lanes>,
}

/// Bars that transactions left behind whose outcome is not known.
///
/// They stay until a later transaction has begun. SQLite has one writer at a time, so a transaction that has begun proves
/// that every earlier one has ended, and from then on readers see how.
#[derive(Default)]
pub(crate) struct InDoubt(Mutex<Vec<Bar>>);

impl Outdated {
    pub fn by(lanes: &Arc<Lanes>) -> Self {
        Self { bars: Mutex::default(), in_doubt: false, lanes: lanes.clone() }
    }

    pub fn add(&self, near: &Near, ns: &str, key: &str) {
        let bar = near.bar(ns, key);
        lock(&self.bars).push(bar);
    }

    /// Notes that the commit is being sent, or that its outcome is certain.
    pub fn set_in_doubt(&mut self, in_doubt: bool) {
        self.in_doubt = in_doubt;
    }
}

impl Drop for Outdated {
    fn drop(&mut self) {
        if self.in_doubt {
            let mut bars = std::mem::take(&mut *lock(&self.bars));
            lock(&self.lanes.in_doubt.0).append(&mut bars);
        }
    }
}

impl InDoubt {
    /// Lifts them: a later transaction has begun.
    pub fn resolve(&self) {
        let bars = std::mem::take(&mut *lock(&self.0));
        drop(bars);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
