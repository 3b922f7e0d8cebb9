//! The dead-letter policy: when a message is given up, and what then holds for its key.
//!
//! A message is a dead letter at once if its handler rejects it, if it cannot be read, or if its id is from a time for which the
//! inbox cannot keep copies apart; and after `durable.attempts` attempts that failed. Then its key goes on, or is on hold
//! (`durable.after_dead`).

use std::rc::Rc;
use std::time::Duration;

use essaim_config::AfterDead;
use essaim_store::Transaction;
use essaim_store::tables::dead::{self, DeadLetter, DeadReason};
use essaim_store::tables::{inbox, parked};
use sea_orm::DbErr;

use super::owner::{CapabilityStore, PartitionOwner};
use super::transactions::{OwnerTransactions, PartitionLost, Settlement, Source, StepEnd};
use super::work::{DEAD, Work, WorkOutcome};

/// Gives up a parked message whose bytes cannot be read any more.
pub(super) async fn unreadable(
    owner: Rc<PartitionOwner>,
    store: CapabilityStore,
    row: parked::ParkedMessage,
    from: Source,
    why: String,
) -> WorkOutcome {
    tracing::error!(id = row.id, why, "a parked message cannot be read any more and is a dead letter now");
    let letter = DeadLetter {
        partition: owner.number(),
        order_key: row.order_key,
        ordered: row.ordered,
        attempts: row.attempts,
        dead_at_ms: owner.env.wall_ms(),
        held: row.ordered && owner.config.after_dead == AfterDead::Hold,
        ..DeadLetter::unreadable(row.id, &owner.partition.capability, why, row.record)
    };
    let transactions = OwnerTransactions { owner: &owner, store: &store };
    let leave = Settlement { from, id: &letter.id, at_ms: letter.dead_at_ms, tally: DEAD, effect: false };
    match transactions.settle(leave, async |tx| buried(tx, from, &letter).await).await {
        Ok(StepEnd::Done) if letter.held => WorkOutcome::Held,
        Ok(_) => WorkOutcome::Finished,
        Err(PartitionLost) => WorkOutcome::Lost,
    }
}

/// Writes a dead letter. Its replay may have the effect that it had as a parked message.
async fn buried(tx: &Transaction, from: Source, letter: &DeadLetter) -> Result<StepEnd, DbErr> {
    if let Source::Parked { .. } = from {
        inbox::release(tx, &letter.id).await?;
    }
    dead::bury(tx, std::slice::from_ref(letter)).await.map(|()| StepEnd::Done)
}

impl Work<'_> {
    /// Why the inbox cannot keep copies of the message apart, if it cannot.
    pub(super) fn out_of_time(&self) -> Option<(DeadReason, String)> {
        let (hours, skew_ms) = (self.owner.config.inbox_retention_hours, self.owner.config.clock_skew_ms);
        let (begins, now) = (self.record.id.time_ms(), self.owner.env.wall_ms());
        let retention_ms = Duration::from_hours(hours).as_millis() as u64;
        if begins.saturating_add(retention_ms) < now {
            let forgotten = "it may have been applied and forgotten";
            let why = format!("it is older than durable.inbox_retention_hours ({hours}): {forgotten}");
            return Some((DeadReason::TooOld, why));
        }
        let ahead_ms = begins.saturating_sub(now).saturating_sub(self.delay_ms());
        let why = || {
            format!(
                "its id is from {ahead_ms} ms ahead, more than durable.clock_skew_ms ({skew_ms}): the clock of its sender or of \
                 this host is wrong; replay it if it is wanted"
            )
        };
        (ahead_ms > skew_ms).then(|| (DeadReason::TooNew, why()))
    }

    pub(super) async fn bury(
        &self,
        from: Source,
        reason: DeadReason,
        attempts: u32,
        why: String,
    ) -> Result<WorkOutcome, PartitionLost> {
        self.owner.log_death(self.record, reason, attempts, &why);
        let ordered = self.record.key.is_some();
        let held = ordered && self.owner.config.after_dead == AfterDead::Hold;
        let letter = DeadLetter {
            id: self.record.id.to_string(),
            capability: self.owner.partition.capability.to_string(),
            partition: self.owner.number(),
            order_key: self.order.to_string(),
            ordered,
            name: self.record.name.clone(),
            reason,
            attempts,
            error: Some(why),
            trace: self.record.trace.clone(),
            first_at_ms: self.record.at,
            dead_at_ms: self.owner.env.wall_ms(),
            held,
            record: self.record.sign(&self.owner.trust.keys).unwrap_or_default(),
        };
        let bury = async |tx: &Transaction| buried(tx, from, &letter).await;
        let now = self.transactions().settle(self.leave(from, DEAD), bury).await? == StepEnd::Done;
        // What had come to an end before, by a commit that was not answered, may have been applied.
        Ok(if held && (now || self.is_dead().await) { WorkOutcome::Held } else { WorkOutcome::Finished })
    }

    async fn is_dead(&self) -> bool {
        let (id, capability) = (self.record.id.as_str(), &*self.owner.partition.capability);
        let found =
            self.transactions().until_answered(async || dead::find(self.store.database.own_reads(), id).await).await;
        found.iter().any(|letter| letter.capability == capability)
    }
}
