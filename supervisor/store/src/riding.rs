//! What goes out with a commit: what its handlers have sent, which the outbox is given at once; and what comes along with whichever commit
//! is next, since it needs none of its own and no handler waits for it.

use std::sync::Arc;

use essaim_base::lock::Mutex;

use super::pool::{Outgoing, Pool};
use super::tables::tx_effects::{SentMessages, TxEffects};
use super::{Database, TxError};

/// What a commit takes along. Unless that is written it goes with another one.
pub struct Riding {
    waiting: Arc<Mutex<TxEffects>>,
    effects: TxEffects,
}

impl Database {
    /// Gives what handlers send to `outgoing`, after its commit and in the order of commits. What is in the outbox already, and
    /// what a commit has added that was not answered, it is not given.
    pub fn give_outgoing(&self, outgoing: impl Fn(SentMessages) + Send + Sync + 'static) {
        self.inner.writes.give_outgoing(Arc::new(outgoing));
    }

    /// Forgets messages of the outbox that are out, with the next commit or with [`Database::write_riding`]: until then they may go
    /// out again after a crash.
    pub fn forget_later(&self, queue: &Arc<str>, numbers: impl IntoIterator<Item = u64>) {
        let mut effects = TxEffects::default();
        effects.forget(queue, numbers);
        self.inner.writes.ride(effects);
    }

    /// Whether something waits for a commit that forgets it.
    pub fn has_riding(&self) -> bool {
        self.inner.writes.has_riding()
    }

    /// Commits what waits for a commit. What another one has taken along is committed then as well.
    ///
    /// # Errors
    /// The database's; it goes on waiting then.
    pub async fn write_riding(&self) -> Result<(), TxError> {
        self.begin().await?.commit().await
    }
}

impl Pool {
    /// Gives what handlers send to `outgoing`, once it is committed.
    pub fn give_outgoing(&self, outgoing: Outgoing) {
        *self.outgoing.lock() = Some(outgoing);
    }

    /// Gives on what was sent by transactions that are committed.
    pub fn hand_on(&self, effects: TxEffects) {
        let sent = effects.into_sent();
        if sent.is_empty() {
            return;
        }
        let outgoing = self.outgoing.lock().clone();
        if let Some(outgoing) = outgoing {
            outgoing(sent);
        }
    }

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
