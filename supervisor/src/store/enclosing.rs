//! Writing what the runtime encloses with handlers' transactions, as the last thing before their commit.
//!
//! Those who share a commit are written for together, and one that cannot be written fails them all. So a message that may
//! have an effect already, since another copy of it was under way, is marked by itself before others share its commit.

use sea_orm::DbErr;
use tokio::time::Instant;

use super::durable::enclosed::{self, Applied, Enclosed, Missing, Step};
use super::group::NotCommitted;
use super::lease::Lease;

impl Lease {
    /// Writes it into the open transaction. If that fails, nothing of the transaction may be committed.
    pub async fn write(&mut self, enclosed: &Enclosed, limit: Instant) -> Result<(), NotCommitted> {
        let backend = self.lanes().connector().backend();
        for step in enclosed.steps(backend) {
            self.step(step, limit).await?;
        }
        Ok(())
    }

    /// Marks those of the messages whose effect another copy may have, behind this transaction's savepoint.
    pub async fn write_contested(&mut self, enclosed: &mut Enclosed, limit: Instant) -> Result<(), NotCommitted> {
        let contested = enclosed.take_contested();
        if contested.iter().any(|applied| self.shares_effect(applied.id.as_str())) {
            return Err(NotCommitted::Repeated);
        }
        let marks: Vec<_> = contested.iter().map(Applied::mark).collect();
        for step in enclosed::marking(self.lanes().connector().backend(), &marks) {
            self.step(step, limit).await?;
        }
        Ok(())
    }

    /// Whether a transaction that shares the commit applies this message, and has not marked it yet.
    pub fn shares_effect(&self, id: &str) -> bool {
        self.open.as_ref().is_some_and(|open| open.enclosed.applies(id))
    }

    async fn step(&mut self, step: Step, limit: Instant) -> Result<(), NotCommitted> {
        let done = self.work(limit, |mut c| async move { c.execute(step.statement).await }).await;
        let found = match done {
            Ok(done) => done.rows_affected(),
            Err(trouble) => {
                if self.open.is_some() {
                    self.lanes().note_refusal(&trouble);
                }
                return Err(NotCommitted::Surely(trouble.into_exec_error()));
            }
        };
        match step.finds.missing(found) {
            Some(Missing::Owner) => Err(NotCommitted::Fenced),
            Some(Missing::Parked) => Err(NotCommitted::Surely(DbErr::RecordNotUpdated)),
            Some(Missing::Effect) => Err(NotCommitted::Repeated),
            None => Ok(()),
        }
    }
}
