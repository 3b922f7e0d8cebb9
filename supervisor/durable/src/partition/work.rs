//! The work on one message: what it is to be applied, tried again, or given up.
//!
//! Each step that is not a handler's own transaction is one of the runtime's (`steps`), under the partition's epoch: it
//! counts the fate of the message, marks it in the inbox, and writes where it goes from here.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use essaim_config::AfterDead;
use essaim_protocol::log::Tally;
use essaim_protocol::record::{Control, Record};
use essaim_store::Transaction;
use essaim_store::tables::dead::{self, DeadLetter, DeadReason};
use essaim_store::tables::{inbox, parked};
use sea_orm::DbErr;

use super::no_database::LogReport;
use super::owner::{Attempt, CapabilityStore, PartitionOwner};
use super::queue::{LogMessage, OrderKey, ParkedPlace, Tries};
use super::transactions::{NONE, OwnerTransactions, PartitionLost, Settlement, Source, StepEnd};
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
    /// The work stops, and nothing was changed.
    Left,
    /// The partition has another owner.
    Lost,
}

/// Counters of one message.
const HANDLED: Tally = Tally { handled: 1, duplicates: 0, dead: 0, expired: 0 };
const DUPLICATE: Tally = Tally { handled: 0, duplicates: 1, dead: 0, expired: 0 };
const DEAD: Tally = Tally { handled: 0, duplicates: 0, dead: 1, expired: 0 };
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

/// Deals with a dead letter as somebody has asked for. If it holds its key it is tried again under the number `first`,
/// before what waits for it.
pub async fn control(
    owner: Rc<PartitionOwner>,
    store: CapabilityStore,
    message: Rc<LogMessage>,
    first: Option<u64>,
) -> WorkOutcome {
    let Some(control) = message.record.control else { return WorkOutcome::Finished };
    let work = Work::of(owner, store, &message);
    work.control(Source::Log { offset: message.offset }, control, first).await.unwrap_or(WorkOutcome::Lost)
}

/// Works on a message that is parked.
pub async fn again(owner: Rc<PartitionOwner>, store: CapabilityStore, place: ParkedPlace, tries: Tries) -> WorkOutcome {
    let ParkedPlace { order, seq } = place;
    let mut failures = 0;
    let row = loop {
        match parked::load(store.database.reads(), owner.number(), seq - 1, 1).await {
            Ok(rows) => break rows.into_iter().find(|row| row.seq == seq),
            Err(error) => owner.reported(&mut failures, &error).await,
        }
    };
    // Gone means done: an earlier attempt whose commit was not answered.
    let Some(row) = row else { return WorkOutcome::Finished };
    let from = Source::Parked { seq, tries };
    match Record::decode(&row.record) {
        Ok(record) => {
            let work = Work { owner, store, record: &record, order, copy: None };
            work.apply(from).await.unwrap_or(WorkOutcome::Lost)
        }
        Err(error) => unreadable(owner, store, row, from, error.to_string()).await,
    }
}

/// Gives up a parked message whose bytes cannot be read any more.
async fn unreadable(
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

/// Parks a message that has to wait behind others of its key, or until a moment.
pub async fn park(
    owner: Rc<PartitionOwner>,
    store: CapabilityStore,
    message: Rc<LogMessage>,
    seq: u64,
    due_ms: Option<u64>,
) -> WorkOutcome {
    let work = Work::of(owner, store, &message);
    let from = Source::Log { offset: message.offset };
    if let Some(ended) = work.at_first_sight(&message).await {
        return ended.unwrap_or(WorkOutcome::Lost);
    }
    let row = work.row(seq, due_ms.is_none(), due_ms.unwrap_or(0), Tries::default(), None);
    work.park(from, row, Tries::default()).await.unwrap_or(WorkOutcome::Lost)
}

/// Marks a copy of a message that was applied already.
pub async fn duplicate(owner: Rc<PartitionOwner>, store: CapabilityStore, message: Rc<LogMessage>) -> WorkOutcome {
    let work = Work::of(owner, store, &message);
    work.finish(Source::Log { offset: message.offset }, DUPLICATE).await.unwrap_or(WorkOutcome::Lost)
}

/// What is done about one message.
struct Work<'a> {
    owner: Rc<PartitionOwner>,
    store: CapabilityStore,
    record: &'a Record,
    order: OrderKey,
    /// It, among its copies, if it comes from the log.
    copy: Option<Arc<OneCopy>>,
}

impl<'a> Work<'a> {
    fn of(owner: Rc<PartitionOwner>, store: CapabilityStore, message: &'a LogMessage) -> Self {
        Self { owner, store, record: &message.record, order: message.order.clone(), copy: message.copy.clone() }
    }

    fn transactions(&self) -> OwnerTransactions<'_> {
        OwnerTransactions { owner: &self.owner, store: &self.store }
    }

    /// The outcome for a message from the log that is not to be tried at all; none if it is.
    async fn at_first_sight(&self, message: &LogMessage) -> Option<Result<WorkOutcome, PartitionLost>> {
        let from = Source::Log { offset: message.offset };
        if message.is_contested() && self.is_applied_elsewhere().await {
            return Some(self.finish(from, DUPLICATE).await);
        }
        let (reason, why) = self.out_of_time()?;
        Some(self.bury(from, reason, 0, why).await)
    }

    /// Why the inbox cannot keep copies of the message apart, if it cannot.
    fn out_of_time(&self) -> Option<(DeadReason, String)> {
        let (hours, skew_ms) = (self.owner.config.inbox_retention_hours, self.owner.config.clock_skew_ms);
        let (sent, now) = (self.record.id.time_ms(), self.owner.env.wall_ms());
        let retention_ms = Duration::from_hours(hours).as_millis() as u64;
        if sent.saturating_add(retention_ms) < now {
            let forgotten = "it may have been applied and forgotten";
            let why = format!("it is older than durable.inbox_retention_hours ({hours}): {forgotten}");
            return Some((DeadReason::TooOld, why));
        }
        let ahead_ms = sent.saturating_sub(now);
        let why = || {
            format!(
                "its id is from {ahead_ms} ms ahead, more than durable.clock_skew_ms ({skew_ms}): the clock of its sender or of \
                 this host is wrong; replay it if it is wanted"
            )
        };
        (ahead_ms > skew_ms).then(|| (DeadReason::TooNew, why()))
    }

    /// Nothing is left to be done about the message.
    async fn finish(&self, from: Source, tally: Tally) -> Result<WorkOutcome, PartitionLost> {
        self.transactions().settle(self.leave(from, tally), async |_| Ok(StepEnd::Done)).await?;
        Ok(WorkOutcome::Finished)
    }

    /// The message leaves its place without an effect.
    fn leave(&self, from: Source, tally: Tally) -> Settlement<'_> {
        let id = self.record.id.as_str();
        let at_ms = inbox::remembered_from(id, self.owner.env.wall_ms(), self.owner.config.clock_skew_ms);
        Settlement { from, id, at_ms, tally, effect: false }
    }

    async fn apply(&self, from: Source) -> Result<WorkOutcome, PartitionLost> {
        let (offset, parked, tries) = match from {
            Source::Log { offset } => (offset, None, Tries::default()),
            Source::Parked { seq, tries } => (0, Some(seq), tries),
        };
        let delivery = self.owner.delivery(self.record, offset, parked, self.copy.clone());
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

    /// Has the message wait in the database for another try.
    async fn put_off(
        &self,
        from: Source,
        tries: Tries,
        due_ms: u64,
        why: String,
    ) -> Result<WorkOutcome, PartitionLost> {
        match from {
            Source::Log { .. } => {
                let row = self.row(self.owner.next_seq(), self.record.key.is_some(), due_ms, tries, Some(why));
                self.park(from, row, tries).await
            }
            Source::Parked { seq, .. } => {
                let (number, attempts) = (self.owner.number(), tries.attempts);
                let note = async |tx: &Transaction| {
                    let there = parked::failed(tx, number, seq, attempts, due_ms, &why).await?;
                    Ok(if there { StepEnd::Done } else { StepEnd::Before })
                };
                self.transactions().advance(NONE, note).await?;
                Ok(WorkOutcome::Parked { seq, due_ms, tries })
            }
        }
    }

    /// The message as it waits in the database; `ordered` if its place is among those of its key already.
    fn row(&self, seq: u64, ordered: bool, due_ms: u64, tries: Tries, error: Option<String>) -> parked::ParkedMessage {
        parked::ParkedMessage {
            partition: self.owner.number(),
            seq,
            id: self.record.id.to_string(),
            order_key: self.order.to_string(),
            ordered,
            attempts: tries.attempts,
            due_ms,
            error,
            record: self.record.encode().unwrap_or_default(),
        }
    }

    /// Puts the message into the database. Of copies that are on their way there one arrives; the others are duplicates.
    async fn park(&self, from: Source, row: parked::ParkedMessage, tries: Tries) -> Result<WorkOutcome, PartitionLost> {
        let park = async |tx: &Transaction| park_once(tx, &row).await;
        let leave = Settlement { effect: true, ..self.leave(from, NONE) };
        match self.transactions().settle(leave, park).await? {
            StepEnd::Done | StepEnd::Before => Ok(WorkOutcome::Parked { seq: row.seq, due_ms: row.due_ms, tries }),
            StepEnd::Repeated | StepEnd::Nothing => self.finish(from, DUPLICATE).await,
        }
    }

    async fn bury(
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
            record: self.record.encode().unwrap_or_default(),
        };
        let bury = async |tx: &Transaction| buried(tx, from, &letter).await;
        let now = self.transactions().settle(self.leave(from, DEAD), bury).await? == StepEnd::Done;
        // What had come to an end before, by a commit that was not answered, may have been applied.
        Ok(if held && (now || self.is_dead().await) { WorkOutcome::Held } else { WorkOutcome::Finished })
    }

    async fn is_dead(&self) -> bool {
        let (id, capability) = (self.record.id.as_str(), &*self.owner.partition.capability);
        let found =
            self.transactions().until_answered(async || dead::find(self.store.database.reads(), id).await).await;
        found.iter().any(|letter| letter.capability == capability)
    }

    async fn control(&self, from: Source, control: Control, first: Option<u64>) -> Result<WorkOutcome, PartitionLost> {
        let (id, capability) = (self.record.id.as_str(), &*self.owner.partition.capability);
        let found =
            self.transactions().until_answered(async || dead::find(self.store.database.reads(), id).await).await;
        let Some(letter) = found.into_iter().find(|letter| letter.capability == capability) else {
            // Somebody else was faster.
            return self.finish(from, HANDLED).await;
        };
        let held = letter.held;
        let row = (control == Control::Replay).then(|| parked::ParkedMessage {
            partition: self.owner.number(),
            seq: first.filter(|_| held).unwrap_or_else(|| self.owner.next_seq()),
            id: id.into(),
            order_key: letter.order_key.clone(),
            ordered: held,
            attempts: 0,
            due_ms: 0,
            error: None,
            record: letter.record.clone(),
        });
        let tally = if row.is_some() { NONE } else { HANDLED };
        let write = async |tx: &Transaction| {
            if dead::remove(tx, &[(id, capability)]).await? == 0 {
                return Ok(StepEnd::Nothing);
            }
            match &row {
                Some(row) => park_once(tx, row).await,
                None => Ok(StepEnd::Done),
            }
        };
        let leave = Settlement { effect: row.is_some(), ..self.leave(from, tally) };
        match self.transactions().settle(leave, write).await? {
            StepEnd::Done | StepEnd::Before => {
                let waits = row.map(|row| ParkedPlace { order: row.order_key.as_str().into(), seq: row.seq });
                Ok(WorkOutcome::Released { held, waits })
            }
            StepEnd::Nothing => self.finish(from, HANDLED).await,
            StepEnd::Repeated => {
                tracing::info!(
                    capability,
                    id,
                    "a dead letter is not tried again: another copy of it was applied, or waits"
                );
                let remove =
                    async |tx: &Transaction| dead::remove(tx, &[(id, capability)]).await.map(|_| StepEnd::Done);
                self.transactions().settle(self.leave(from, HANDLED), remove).await?;
                Ok(WorkOutcome::Released { held, waits: None })
            }
        }
    }

    /// Whether a copy of the message at another offset was applied or is parked.
    async fn is_applied_elsewhere(&self) -> bool {
        let id = self.record.id.as_str();
        let seen =
            self.transactions().until_answered(async || inbox::seen(self.store.database.reads(), &[id]).await).await;
        seen.contains_key(id)
    }
}

/// Parks a message, unless it is parked already.
async fn park_once(tx: &Transaction, row: &parked::ParkedMessage) -> Result<StepEnd, DbErr> {
    let parked = parked::park(tx, std::slice::from_ref(row)).await?;
    Ok(if parked == 1 { StepEnd::Done } else { StepEnd::Repeated })
}
