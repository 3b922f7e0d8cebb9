//! The work on one message: what it is to be applied, tried again, or given up.
//!
//! Each step that is not a handler's own transaction is one of the runtime's (`transactions`), under the partition's epoch: it
//! counts the fate of the message, marks it in the inbox, and writes where it goes from here. `retry` parks a message and tries it
//! again, `dead_letter_policy` gives one up, and `replay` does what an operator has asked for about a dead letter.

use std::rc::Rc;
use std::sync::Arc;

use essaim_protocol::log::Tally;
use essaim_protocol::record::Record;
use essaim_store::tables::dead::DeadReason;
use essaim_store::tables::inbox;

use super::no_database::LogReport;
use super::owner::{Attempt, CapabilityStore, PartitionOwner};
use super::queue::{LogMessage, OrderKey, ParkedPlace, Tries};
use super::transactions::{OwnerTransactions, PartitionLost, Settlement, Source, StepEnd};
use crate::partition::copies::OneCopy;

/// The outcome of the work on a message.
#[derive(Debug)]
pub enum WorkOutcome {
    /// Nothing is left to be done about it.
    Finished,
    /// It waits in the database, under this number.
    Parked { seq: u64, due_ms: u64, tries: Tries },
    /// It waits in memory, being one of a capability without a database.
    Retry { due_ms: u64, tries: Tries },
    /// Nothing is left to be done about it but what the log counts and keeps, for a capability without a database.
    Reported(LogReport),
    /// It is a dead letter, and its key is on hold.
    Held,
    /// A dead letter was dealt with: if it held its key, that may go on; if it is tried again, it waits there.
    Released { held: bool, waits: Option<ParkedPlace> },
    /// A message that has failed and waits for its next attempt is to be tried now.
    Hurried(ParkedPlace),
    /// The work stops, and nothing was changed.
    Left,
    /// The partition has another owner.
    Lost,
}

/// Counters of one message.
pub(super) const HANDLED: Tally = Tally { handled: 1, duplicates: 0, dead: 0, expired: 0 };
pub(super) const DUPLICATE: Tally = Tally { handled: 0, duplicates: 1, dead: 0, expired: 0 };
pub(super) const DEAD: Tally = Tally { handled: 0, duplicates: 0, dead: 1, expired: 0 };
const EXPIRED: Tally = Tally { handled: 0, duplicates: 0, dead: 0, expired: 1 };

/// Works on a message from the log.
pub async fn fresh(owner: Rc<PartitionOwner>, store: CapabilityStore, message: Rc<LogMessage>) -> WorkOutcome {
    let work = Work::of(owner, store, &message);
    let done = match work.at_first_sight(&message).await {
        Some(ended) => ended,
        None => work.apply(Source::Log { offset: message.offset }).await,
    };
    done.unwrap_or(WorkOutcome::Lost)
}

/// Marks a copy of a message that was applied already.
pub async fn duplicate(owner: Rc<PartitionOwner>, store: CapabilityStore, message: Rc<LogMessage>) -> WorkOutcome {
    let work = Work::of(owner, store, &message);
    work.finish(Source::Log { offset: message.offset }, DUPLICATE).await.unwrap_or(WorkOutcome::Lost)
}

/// What is done about one message.
pub(super) struct Work<'a> {
    pub owner: Rc<PartitionOwner>,
    pub store: CapabilityStore,
    pub record: &'a Record,
    pub order: OrderKey,
    /// It, among its copies, if it comes from the log.
    pub copy: Option<Arc<OneCopy>>,
}

impl<'a> Work<'a> {
    pub fn of(owner: Rc<PartitionOwner>, store: CapabilityStore, message: &'a LogMessage) -> Self {
        Self { owner, store, record: &message.record, order: message.order.clone(), copy: message.copy.clone() }
    }

    pub fn transactions(&self) -> OwnerTransactions<'_> {
        OwnerTransactions { owner: &self.owner, store: &self.store }
    }

    /// The outcome for a message from the log that is not to be tried at all; none if it is.
    pub async fn at_first_sight(&self, message: &LogMessage) -> Option<Result<WorkOutcome, PartitionLost>> {
        let from = Source::Log { offset: message.offset };
        if message.is_contested() && self.is_applied_elsewhere().await {
            return Some(self.finish(from, DUPLICATE).await);
        }
        let (reason, why) = self.out_of_time()?;
        Some(self.bury(from, reason, 0, why).await)
    }

    /// Nothing is left to be done about the message.
    pub async fn finish(&self, from: Source, tally: Tally) -> Result<WorkOutcome, PartitionLost> {
        self.transactions().settle(self.leave(from, tally), async |_| Ok(StepEnd::Done)).await?;
        Ok(WorkOutcome::Finished)
    }

    /// The message leaves its place without an effect.
    pub fn leave(&self, from: Source, tally: Tally) -> Settlement<'_> {
        let id = self.record.id.as_str();
        let most_ahead_ms = self.delay_ms().saturating_add(self.owner.config.clock_skew_ms);
        let at_ms = inbox::remembered_from(id, self.owner.env.wall_ms(), most_ahead_ms);
        Settlement { from, id, at_ms, tally, effect: false }
    }

    /// The delay that its sender has given it. The time of its id is that of its sending and this.
    pub fn delay_ms(&self) -> u64 {
        self.record.not_before.map_or(0, |due_ms| due_ms.saturating_sub(self.record.at))
    }

    pub async fn apply(&self, from: Source) -> Result<WorkOutcome, PartitionLost> {
        let (offset, parked, tries) = match from {
            Source::Log { offset } => (offset, None, Tries::default()),
            Source::Parked { seq, tries } => (0, Some(seq), tries),
        };
        let delivery = self.owner.delivery(self.record, offset, (parked, tries), self.copy.clone());
        let (why, counts) = match self.owner.attempt(self.record, &delivery).await {
            Attempt::Applied => return Ok(WorkOutcome::Finished),
            Attempt::Repeated => return self.finish(from, DUPLICATE).await,
            Attempt::Expired => return self.finish(from, EXPIRED).await,
            Attempt::Left => return Ok(WorkOutcome::Left),
            Attempt::Rejected(why) => return self.bury(from, DeadReason::Rejected, tries.attempts + 1, why).await,
            Attempt::Unreadable(why) => return self.bury(from, DeadReason::Unreadable, tries.attempts + 1, why).await,
            Attempt::Failed { why, counts } => (why, counts),
            Attempt::Unsupported(why) => (why, true),
            // The next owner is to try it at once.
            Attempt::UnhandledMessages(why) => {
                return self.put_off(from, tries, self.owner.next_try(Tries::default()), why).await;
            }
            Attempt::Doubtful(_) if self.transactions().is_settled(from, self.record.id.as_str()).await => {
                return Ok(WorkOutcome::Finished);
            }
            Attempt::Doubtful(why) => (why, true),
        };
        let tries = tries.another(counts);
        if counts && tries.attempts >= self.owner.config.attempts {
            return self.bury(from, self.owner.reason_of(self.record), tries.attempts, why).await;
        }
        let due_ms = self.owner.next_try(tries);
        self.put_off(from, tries, due_ms, why).await
    }

    /// Whether a copy of the message at another offset was applied or is parked.
    async fn is_applied_elsewhere(&self) -> bool {
        let id = self.record.id.as_str();
        let seen = self
            .transactions()
            .until_answered(async || inbox::seen(self.store.database.own_reads(), &[id]).await)
            .await;
        seen.contains_key(id)
    }
}
