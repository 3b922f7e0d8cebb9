//! The instances on this thread.
//!
//! An ask for an instance that lives on the asker's own thread and has nothing else to do is a call: it needs no
//! mailbox, no wake-up and no turn of the scheduler. What keeps an actor an actor stays as it is: one message at a
//! time, its permit, its deadline, its guard.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;

use crate::idhash::IdHasher;

/// An instance on this thread.
pub(crate) trait Nearby {
    /// Whether it has nothing to do.
    fn is_free(&self) -> bool;

    /// Runs a message of this entry, a `HereEnvelope`, up to its first wait; only while it is free.
    fn run_now(&self, entry: usize, envelope: Rc<dyn Any>);
}

thread_local! {
    static HERE: RefCell<HashMap<u64, Rc<dyn Nearby>, BuildHasherDefault<IdHasher>>> = RefCell::default();
}

/// The instance of this id, if it lives on this thread.
pub(crate) fn find(id: u64) -> Option<Rc<dyn Nearby>> {
    HERE.with_borrow(|here| here.get(&id).cloned())
}

/// An instance lives on this thread from now on.
pub(crate) fn moved_in(id: u64, instance: Rc<dyn Nearby>) {
    HERE.with_borrow_mut(|here| here.insert(id, instance));
}

/// It does not any more.
pub(crate) fn moved_out(id: u64) {
    // A thread that ends may have forgotten everybody already. Dropped outside the borrow, whatever that sets off.
    drop(HERE.try_with(|here| here.try_borrow_mut().ok()?.remove(&id)));
}
