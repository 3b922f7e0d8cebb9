//! Writing the effects of handlers' transactions, as the last thing before their commit.
//!
//! The effects of all that share a commit are written together, and one that cannot be written fails them all. So a message
//! that may have an effect already, since another copy of it was under way, is marked by itself before others share its
//! commit.

use tokio::time::Instant;

use super::connection_lease::ConnectionLease;
use super::error::StoreError;
use super::group::NotCommitted;
use super::tables::tx_effects::{self, AppliedMessage, EffectStatement, MissingRow, TxEffects};

impl ConnectionLease {
    /// Writes effects into the open transaction. If that fails, nothing of the transaction may be committed.
    pub async fn write(&mut self, effects: &TxEffects, limit: Instant) -> Result<(), NotCommitted> {
        let backend = self.pool().connector().backend();
        for step in effects.steps(backend) {
            self.step(step, limit).await?;
        }
        Ok(())
    }

    /// Marks those of the messages whose effect another copy may have, behind this transaction's savepoint.
    pub async fn write_contested(&mut self, effects: &mut TxEffects, limit: Instant) -> Result<(), NotCommitted> {
        let contested = effects.take_contested();
        if contested.iter().any(|applied| self.shares_effect(applied.id.as_str())) {
            return Err(NotCommitted::Repeated);
        }
        let marks: Vec<_> = contested.iter().map(AppliedMessage::mark).collect();
        for step in tx_effects::marking(self.pool().connector().backend(), &marks) {
            self.step(step, limit).await?;
        }
        Ok(())
    }

    /// Whether a transaction that shares the commit applies this message, and has not marked it yet.
    pub fn shares_effect(&self, id: &str) -> bool {
        self.group.as_ref().is_some_and(|group| group.effects.applies(id))
    }

    async fn step(&mut self, step: EffectStatement, limit: Instant) -> Result<(), NotCommitted> {
        let done = self.work(limit, |mut c| async move { c.execute(step.statement).await }).await;
        let found = match done {
            Ok(done) => done.rows_affected(),
            Err(error) => {
                if self.group.is_some() {
                    self.pool().note_refusal(&error);
                }
                return Err(NotCommitted::Surely(error));
            }
        };
        match step.expects.missing(found) {
            Some(MissingRow::Owner) => Err(NotCommitted::Fenced),
            Some(MissingRow::Parked) => Err(NotCommitted::Surely(StoreError::NotParked)),
            Some(MissingRow::Effect) => Err(NotCommitted::Repeated),
            None => Ok(()),
        }
    }
}
