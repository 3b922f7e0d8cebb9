//! What the next commit takes along, whosever it is: it needs none of its own, and no handler waits for it.

use std::sync::Arc;

use essaim_base::lock::Mutex;

use super::pool::Pool;
use super::tables::tx_effects::TxEffects;

/// What a commit takes along. Unless that is written it goes with another one.
pub struct Riding {
    waiting: Arc<Mutex<TxEffects>>,
    effects: TxEffects,
}

impl Pool {
    /// Has the next commit write this too.
    pub fn ride(&self, effects: TxEffects) {
        self.riding.lock().add(effects);
    }

    /// What the next commit takes along.
    pub fn take_riding(&self) -> Riding {
        Riding { waiting: self.riding.clone(), effects: std::mem::take(&mut self.riding.lock()) }
    }

    /// Whether something waits for the next commit.
    pub fn has_riding(&self) -> bool {
        !self.riding.lock().is_empty()
    }
}

impl Riding {
    pub fn effects(&self) -> TxEffects {
        self.effects.clone()
    }

    /// It is committed.
    pub fn written(mut self) {
        self.effects = TxEffects::default();
    }
}

impl Drop for Riding {
    fn drop(&mut self) {
        if !self.effects.is_empty() {
            self.waiting.lock().add(std::mem::take(&mut self.effects));
        }
    }
}
