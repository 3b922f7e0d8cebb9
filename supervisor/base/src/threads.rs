//! Threads that live as long as a node: which one this is, and how work gets to another.

use std::cell::Cell;
use std::sync::Arc;
use std::thread::ThreadId;

thread_local! {
    static MUST_NOT_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// Says whether this thread is one that nothing may block: a node's control thread, whose heartbeats keep it alive for the
/// others.
pub fn set_must_not_block(must_not: bool) {
    MUST_NOT_BLOCK.set(must_not);
}

/// Whether nothing may block this thread.
#[inline]
pub fn must_not_block() -> bool {
    MUST_NOT_BLOCK.get()
}

/// A thread that runs tasks which stay on it. Cheap to clone.
#[derive(Clone)]
pub struct Thread {
    id: ThreadId,
    give: Arc<dyn Fn(Begin) + Send + Sync>,
}

/// What begins on a thread.
pub type Begin = Box<dyn FnOnce() + Send>;

impl Thread {
    /// A thread that begins what it is given.
    pub fn new(id: ThreadId, give: impl Fn(Begin) + Send + Sync + 'static) -> Self {
        Self { id, give: Arc::new(give) }
    }

    /// Begins something there; at once if this is the thread.
    pub fn run(&self, begin: impl FnOnce() + Send + 'static) {
        match std::thread::current().id() == self.id {
            true => begin(),
            false => (self.give)(Box::new(begin)),
        }
    }
}
