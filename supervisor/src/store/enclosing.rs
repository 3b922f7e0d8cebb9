//! Writing what the runtime encloses with handlers' transactions, as the last thing before their commit.

use sea_orm::DbErr;
use tokio::time::Instant;

use super::durable::enclosed::{Enclosed, Missing};
use super::group::NotCommitted;
use super::lease::Lease;

impl Lease {
    /// Writes it into the open transaction. If that fails, nothing of the transaction may be committed.
    pub async fn write(&mut self, enclosed: &Enclosed, limit: Instant) -> Result<(), NotCommitted> {
        let backend = self.lanes().connector().backend();
        for step in enclosed.steps(backend) {
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
                Some(Missing::Owner) => return Err(NotCommitted::Fenced),
                Some(Missing::Parked) => return Err(NotCommitted::Surely(DbErr::RecordNotUpdated)),
                None => {}
            }
        }
        Ok(())
    }
}
