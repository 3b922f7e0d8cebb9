//! Pages that are told what changes, as long as they are open.

use std::sync::Arc;

use essaim::operators::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// At a time, at most: what each is told may be asked of all nodes.
const MOST: usize = 64;

/// The places of these pages.
pub(crate) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Readers {
    /// A place, for as long as it is kept.
    ///
    /// # Errors
    /// If there is none.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let why = || format!("{MOST} pages are told already what changes: close one");
        self.0.clone().try_acquire_owned().map_err(|_| Refusal::Away(why()))
    }
}
