//! Leaving: durable work stops before the node does.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the node leaves, and who has to finish first.
pub struct Leaving {
    leaving: watch::Sender<bool>,
    /// Everybody who works holds a receiver of it.
    active: watch::Sender<()>,
}

/// Somebody who works, until it is dropped.
pub struct ActiveWork(#[allow(dead_code)] watch::Receiver<()>);

impl Leaving {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { leaving: watch::Sender::new(false), active: watch::Sender::new(()) })
    }

    pub fn join(&self) -> ActiveWork {
        ActiveWork(self.active.subscribe())
    }

    pub fn is_leaving(&self) -> bool {
        *self.leaving.borrow()
    }

    /// Waits until the node leaves.
    pub async fn begun(&self) {
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// Begins to leave, and waits until everybody has finished.
    pub async fn leave(&self) {
        self.leaving.send_replace(true);
        self.active.closed().await;
    }
}
