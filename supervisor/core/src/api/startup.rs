//! Start-up work: what a capability has to do once it is up and before others should use it, such as making its first account.
//!
//! It may need other capabilities, so it cannot be done while the actor starts. Until it is done the node is not ready, and
//! other nodes take the capability for not running.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// The start-up work of one capability in one node that is not done. Cheap to clone.
#[derive(Clone, Default)]
pub struct Startup(Arc<watch::Sender<BTreeSet<&'static str>>>);

/// Work that was begun. It is done when it says so, or is dropped.
#[derive(Debug)]
pub struct StartupWork {
    name: &'static str,
    pending: Arc<watch::Sender<BTreeSet<&'static str>>>,
}

impl Startup {
    /// Begins work of this name.
    pub fn begin(&self, name: &'static str) -> StartupWork {
        self.0.send_if_modified(|pending| pending.insert(name));
        StartupWork { name, pending: self.0.clone() }
    }

    /// Whether all of it is done.
    pub fn is_done(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// The names of what is not done.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.borrow().iter().copied().collect()
    }

    /// Reports every change.
    pub fn watch(&self) -> watch::Receiver<BTreeSet<&'static str>> {
        self.0.subscribe()
    }
}

impl StartupWork {
    /// The capability can be used now, as far as this work is concerned.
    pub fn done(&self) {
        self.pending.send_if_modified(|pending| pending.remove(self.name));
    }
}

impl Drop for StartupWork {
    fn drop(&mut self) {
        self.done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_pending_until_it_is_done_or_dropped() {
        let startup = Startup::default();
        let (keys, account) = (startup.begin("keys"), startup.begin("account"));
        assert_eq!(startup.pending(), ["account", "keys"]);
        keys.done();
        assert_eq!((startup.pending(), startup.is_done()), (vec!["account"], false));
        drop(account);
        assert!(startup.is_done());
    }
}
