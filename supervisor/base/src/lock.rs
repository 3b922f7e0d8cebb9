//! The locks of the runtime. They are not poisoned by a panic: it is caught around a handler or a task, whose state is rebuilt,
//! and what others keep under a lock is consistent between any two statements of theirs.

pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
