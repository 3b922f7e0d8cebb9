//! The drain of durable messages: durable work stops before the node does.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the node drains, and the work that has to finish first.
pub struct Drain {
    is_draining: watch::Sender<bool>,
    /// Each [`ActiveWork`] holds a receiver of it.
    active: watch::Sender<()>,
}

/// Work that a drain waits for, until this is dropped.
pub struct ActiveWork(#[allow(dead_code)] watch::Receiver<()>);

impl Drain {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { is_draining: watch::Sender::new(false), active: watch::Sender::new(()) })
    }

    pub fn join(&self) -> ActiveWork {
        ActiveWork(self.active.subscribe())
    }

    pub fn is_draining(&self) -> bool {
        *self.is_draining.borrow()
    }

    /// Waits until the drain has begun.
    pub async fn begun(&self) {
        let _ = self.is_draining.subscribe().wait_for(|is_draining| *is_draining).await;
    }

    /// Begins the drain, and waits until all work has finished.
    pub async fn run(&self) {
        self.is_draining.send_replace(true);
        self.active.closed().await;
    }
}
