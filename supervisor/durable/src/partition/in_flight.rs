//! Messages that a worker was given and is not done with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many messages of one partition are in flight; the reader counts up, the worker down.
pub struct InFlight {
    count: AtomicUsize,
    progress: Arc<Notify>,
}

impl InFlight {
    /// Nothing yet; `progress` is told whenever the worker has come further.
    pub fn new(progress: Arc<Notify>) -> Self {
        Self { count: AtomicUsize::new(0), progress }
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn given(&self, messages: usize) {
        self.count.fetch_add(messages, Ordering::Relaxed);
    }

    pub fn done(&self, messages: usize) {
        let before = self.count.fetch_sub(messages, Ordering::Relaxed);
        debug_assert!(before >= messages, "a message that was given is done once");
    }

    /// Something was applied, put off or acknowledged.
    pub fn progressed(&self) {
        self.progress.notify_waiters();
    }
}
