//! Local calls: asks between instances on one thread.
//!
//! An ask for an idle instance on the asker's own thread is a direct call: it needs no mailbox, no wake-up and no turn of the
//! scheduler. The actor's guarantees hold all the same: one message at a time, permit, deadline, panic guard.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;

use essaim_base::idhash::IdHasher;

use crate::local::mailbox::ErasedLocalEnvelope;

/// An instance on this thread.
pub trait LocalInstance {
    /// Whether it is idle.
    fn is_free(&self) -> bool;

    /// Runs a message of this entry, a `LocalEnvelope`, up to its first wait; only while it is free.
    fn run_now(&self, entry: usize, envelope: Rc<dyn ErasedLocalEnvelope>);
}

thread_local! {
    static LOCAL: RefCell<HashMap<u64, Rc<dyn LocalInstance>, BuildHasherDefault<IdHasher>>> = RefCell::default();
}

/// The instance of this id, if it lives on this thread.
pub fn find(id: u64) -> Option<Rc<dyn LocalInstance>> {
    LOCAL.with_borrow(|here| here.get(&id).cloned())
}

/// Registers an instance of this thread.
pub fn register(id: u64, instance: Rc<dyn LocalInstance>) {
    let known = LOCAL.with_borrow_mut(|here| here.insert(id, instance));
    debug_assert!(known.is_none(), "ids of instances are unique");
}

/// Removes an instance of this thread.
pub fn unregister(id: u64) {
    // At thread exit the registry may be gone already. The instance is dropped outside the borrow: its destructor may call back.
    drop(LOCAL.try_with(|here| here.try_borrow_mut().ok()?.remove(&id)));
}
