//! The work on one message: what it is to be applied, tried again, or given up.
//!
//! Each step that is not a handler's own transaction is one of the runtime's, under the partition's epoch: it counts what
//! became of the message, marks it in the inbox, and writes where it goes from here. Such a step is repeated until the
//! database says that it is done, or that the partition has another owner.

use std::rc::Rc;

use sea_orm::DbErr;

use super::owner::{Attempt, Base, Owner};
use super::queue::{Job, Order};
use crate::bridge::log::Tally;
use crate::config::AfterDead;
use crate::crash;
use crate::durable::record::{Control, Record};
use crate::progress::Track;
use crate::store::durable::dead::{self, DeadLetter, Reason};
use crate::store::durable::{fence, inbox, parked};
use crate::store::{Tx, TxError};

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing is left to be done about it.
    Finished,
    /// It waits in the database, under this number.
    Parked { seq: u64, due_ms: u64, attempts: u32 },
    /// It is a dead letter, and its key is on hold.
    Held,
    /// A dead letter was dealt with: if it held its key, that may go on; if it is tried again, it waits as this.
    Released { held: bool, waits: Option<(Order, u64)> },
    /// The partition has another owner.
    Lost,
}

/// Counters of one message.
const HANDLED: Tally = Tally { handled: 1, duplicates: 0, dead: 0, expired: 0 };
const DUPLICATE: Tally = Tally { handled: 0, duplicates: 1, dead: 0, expired: 0 };
const DEAD: Tally = Tally { handled: 0, duplicates: 0, dead: 1, expired: 0 };
const EXPIRED: Tally = Tally { handled: 0, duplicates: 0, dead: 0, expired: 1 };
const NONE: Tally = Tally { handled: 0, duplicates: 0, dead: 0, expired: 0 };

/// Where a message is in the database, if it is.
#[derive(Clone, Copy)]
enum From {
    Log { offset: u64 },
    Parked { seq: u64, attempts: u32 },
}

/// The partition has another owner.
struct Lost;

/// Works on a message from the log.
pub(crate) async fn fresh(owner: Rc<Owner>, base: Base, job: Rc<Job>) -> Outcome {
    let work = Work { owner, base, record: &job.record, order: job.order.clone(), ordered: job.ordered };
    let from = From::Log { offset: job.offset };
    let doubtful = job.doubtful && work.is_applied_elsewhere().await;
    let done = if doubtful { work.finish(from, DUPLICATE).await } else { work.apply(from).await };
    done.unwrap_or(Outcome::Lost)
}

/// Deals with a dead letter as somebody has asked for. If it holds its key it is tried again under the number `first`,
/// before what waits for it.
pub(crate) async fn control(owner: Rc<Owner>, base: Base, job: Rc<Job>, first: Option<u64>) -> Outcome {
    let Some(control) = job.record.control else { return Outcome::Finished };
    let work = Work { owner, base, record: &job.record, order: job.order.clone(), ordered: job.ordered };
    work.control(From::Log { offset: job.offset }, control, first).await.unwrap_or(Outcome::Lost)
}

/// Works on a message that is parked.
pub(crate) async fn again(owner: Rc<Owner>, base: Base, seq: u64, attempts: u32) -> Outcome {
    let mut tries = 0;
    let row = loop {
        match parked::load(base.database.reads(), owner.number(), seq - 1, 1).await {
            Ok(rows) => break rows.into_iter().find(|row| row.seq == seq),
            Err(error) => owner.told(&mut tries, &error).await,
        }
    };
    // Gone means done: an earlier attempt whose commit was not answered.
    let Some(row) = row else { return Outcome::Finished };
    let from = From::Parked { seq, attempts };
    let order: Order = row.order_key.as_str().into();
    match Record::decode(&row.record) {
        Ok(record) => {
            let work = Work { owner, base, record: &record, order, ordered: row.ordered };
            work.apply(from).await.unwrap_or(Outcome::Lost)
        }
        Err(error) => {
            tracing::error!(id = row.id, %error, "a parked message cannot be read any more");
            Outcome::Held
        }
    }
}

/// Parks a message that has to wait behind others of its key, or for its time.
pub(crate) async fn park(owner: Rc<Owner>, base: Base, job: Rc<Job>, seq: u64, due_ms: u64) -> Outcome {
    let work = Work { owner, base, record: &job.record, order: job.order.clone(), ordered: job.ordered };
    let settled = work.park(From::Log { offset: job.offset }, seq, due_ms, 0, None).await;
    settled.unwrap_or(Outcome::Lost)
}

/// Marks a copy of a message that was applied already.
pub(crate) async fn duplicate(owner: Rc<Owner>, base: Base, job: Rc<Job>) -> Outcome {
    let work = Work { owner, base, record: &job.record, order: job.order.clone(), ordered: job.ordered };
    work.finish(From::Log { offset: job.offset }, DUPLICATE).await.unwrap_or(Outcome::Lost)
}

/// Gives up a message whose age makes it unknown whether it was applied.
pub(crate) async fn too_old(owner: Rc<Owner>, base: Base, job: Rc<Job>) -> Outcome {
    let work = Work { owner, base, record: &job.record, order: job.order.clone(), ordered: job.ordered };
    let hours = work.owner.config.inbox_retention_hours;
    let why =
        format!("it is older than durable.inbox_retention_hours ({hours}): it may have been applied and forgotten");
    work.bury(From::Log { offset: job.offset }, Reason::TooOld, 0, why).await.unwrap_or(Outcome::Lost)
}

struct Work<'a> {
    owner: Rc<Owner>,
    base: Base,
    record: &'a Record,
    order: Order,
    ordered: bool,
}

impl Work<'_> {
    /// Nothing is left to be done about the message.
    async fn finish(&self, from: From, tally: Tally) -> Result<Outcome, Lost> {
        self.settle(from, tally, async |_| Ok(())).await?;
        Ok(Outcome::Finished)
    }

    async fn apply(&self, from: From) -> Result<Outcome, Lost> {
        if self.owner.is_expired(self.record) {
            let (message, id) = (&self.record.name, &self.record.id);
            tracing::info!(message, %id, "a message expired before it was handled");
            return self.finish(from, EXPIRED).await;
        }
        let (offset, parked, attempts) = match from {
            From::Log { offset } => (offset, None, 0),
            From::Parked { seq, attempts } => (0, Some(seq), attempts),
        };
        let (why, counts) = match self.owner.attempt(self.record, offset, parked).await {
            Attempt::Applied => return Ok(Outcome::Finished),
            Attempt::Rejected(why) => return self.bury(from, Reason::Rejected, attempts + 1, why).await,
            Attempt::Unreadable(why) => return self.bury(from, Reason::Unreadable, attempts + 1, why).await,
            Attempt::Failed { why, counts } => (why, counts),
            Attempt::Doubtful(_) if self.is_settled(from).await => return Ok(Outcome::Finished),
            Attempt::Doubtful(why) => (why, true),
        };
        let attempts = attempts + 1;
        if counts && attempts >= self.owner.config.attempts {
            return self.bury(from, Reason::Attempts, attempts, why).await;
        }
        let due_ms = self.owner.env.wall_ms() + self.owner.backoff(attempts).as_millis() as u64;
        match from {
            From::Log { .. } => self.park(from, self.owner.next_seq(), due_ms, attempts, Some(why)).await,
            From::Parked { seq, .. } => {
                let number = self.owner.number();
                let note = async |tx: &Tx<'_>| parked::failed(tx, number, seq, attempts, due_ms, &why).await.map(drop);
                self.advance(NONE, note).await?;
                Ok(Outcome::Parked { seq, due_ms, attempts })
            }
        }
    }

    async fn park(
        &self,
        from: From,
        seq: u64,
        due_ms: u64,
        attempts: u32,
        error: Option<String>,
    ) -> Result<Outcome, Lost> {
        let row = parked::Parked {
            partition: self.owner.number(),
            seq,
            id: self.record.id.to_string(),
            order_key: self.order.to_string(),
            ordered: self.ordered,
            attempts,
            due_ms,
            error,
            held: false,
            record: self.record.encode().unwrap_or_default(),
        };
        self.settle(from, NONE, async |tx| parked::park(tx, std::slice::from_ref(&row)).await).await?;
        Ok(Outcome::Parked { seq, due_ms, attempts })
    }

    async fn bury(&self, from: From, reason: Reason, attempts: u32, why: String) -> Result<Outcome, Lost> {
        let (message, id) = (&self.record.name, &self.record.id);
        tracing::error!(message, %id, reason = reason.as_str(), attempts, why, "a message is a dead letter now");
        let now = self.owner.env.wall_ms();
        let held = self.ordered && self.owner.config.after_dead == AfterDead::Hold;
        let letter = DeadLetter {
            id: id.to_string(),
            capability: self.owner.partition.capability.to_string(),
            partition: self.owner.number(),
            order_key: self.order.to_string(),
            ordered: self.ordered,
            name: message.clone(),
            reason,
            attempts,
            error: Some(why),
            trace: self.record.trace.clone(),
            first_at_ms: self.record.at,
            dead_at_ms: now,
            held,
            record: self.record.encode().unwrap_or_default(),
        };
        self.settle(from, DEAD, async |tx| dead::bury(tx, std::slice::from_ref(&letter)).await).await?;
        Ok(if held { Outcome::Held } else { Outcome::Finished })
    }

    async fn control(&self, from: From, control: Control, first: Option<u64>) -> Result<Outcome, Lost> {
        let (id, capability) = (self.record.id.as_str(), &*self.owner.partition.capability);
        let found = self.until_answered(async || dead::find(self.base.database.reads(), id).await).await;
        let Some(letter) = found.into_iter().find(|letter| letter.capability == capability) else {
            // Somebody else was faster.
            return self.finish(from, HANDLED).await;
        };
        let held = letter.held;
        let order: Order = if held { letter.order_key.as_str().into() } else { id.into() };
        let number = || first.filter(|_| held).unwrap_or_else(|| self.owner.next_seq());
        let waits = (control == Control::Replay).then(|| (order, number()));
        let row = waits.as_ref().map(|(order, seq)| parked::Parked {
            partition: self.owner.number(),
            seq: *seq,
            id: id.into(),
            order_key: order.to_string(),
            ordered: held,
            attempts: 0,
            due_ms: 0,
            error: None,
            held: false,
            record: letter.record.clone(),
        });
        let tally = if row.is_some() { NONE } else { HANDLED };
        let write = async |tx: &Tx<'_>| {
            dead::remove(tx, &[(id, capability)]).await?;
            if let Some(row) = &row {
                parked::park(tx, std::slice::from_ref(row)).await?;
            }
            Ok(())
        };
        self.settle(from, tally, write).await?;
        Ok(Outcome::Released { held, waits })
    }

    /// Whether a copy of the message at another offset was applied or is parked.
    async fn is_applied_elsewhere(&self) -> bool {
        let id = self.record.id.as_str();
        let seen = self.until_answered(async || inbox::seen(self.base.database.reads(), &[id]).await).await;
        seen.contains_key(id)
    }

    /// Whether a step on the message that was not answered took place after all.
    async fn is_settled(&self, from: From) -> bool {
        let reads = self.base.database.reads();
        match from {
            From::Log { offset } => {
                let id = self.record.id.as_str();
                let seen = self.until_answered(async || inbox::seen(reads, &[id]).await).await;
                seen.get(id).is_some_and(|offsets| offsets.contains(&offset))
            }
            From::Parked { seq, .. } => {
                let number = self.owner.number();
                let rows = self.until_answered(async || parked::load(reads, number, seq - 1, 1).await).await;
                !rows.iter().any(|row| row.seq == seq)
            }
        }
    }

    /// Ends the present place of the message, in one transaction with what `write` writes.
    async fn settle(
        &self,
        from: From,
        tally: Tally,
        write: impl AsyncFn(&Tx<'_>) -> Result<(), DbErr>,
    ) -> Result<(), Lost> {
        let leave = async |tx: &Tx<'_>| {
            match from {
                From::Log { offset } => {
                    let at_ms = self.record.id.time_ms().max(self.owner.env.wall_ms());
                    inbox::insert(tx, &[inbox::Mark { id: self.record.id.as_str(), offset, at_ms }]).await?;
                }
                From::Parked { seq, .. } => drop(parked::remove(tx, self.owner.number(), seq).await?),
            }
            write(tx).await
        };
        let mut tries = 0;
        loop {
            match self.try_advance(tally, &leave).await {
                Ok(()) => return Ok(()),
                Err(TxError::Fenced) => return Err(Lost),
                Err(_) if tries > 0 && self.is_settled(from).await => return Ok(()),
                Err(error) => self.owner.told(&mut tries, &error).await,
            }
        }
    }

    /// One transaction under the partition's epoch that changes nothing if it is repeated.
    async fn advance(&self, tally: Tally, write: impl AsyncFn(&Tx<'_>) -> Result<(), DbErr>) -> Result<(), Lost> {
        let mut tries = 0;
        loop {
            match self.try_advance(tally, &write).await {
                Ok(()) => return Ok(()),
                Err(TxError::Fenced) => return Err(Lost),
                Err(error) => self.owner.told(&mut tries, &error).await,
            }
        }
    }

    async fn try_advance(
        &self,
        tally: Tally,
        write: &impl AsyncFn(&Tx<'_>) -> Result<(), DbErr>,
    ) -> Result<(), TxError> {
        let tx = self.base.database.begin(None, Track::default()).await?;
        if !fence::advance(&tx, self.owner.number(), self.owner.epoch, tally).await? {
            return Err(TxError::Fenced);
        }
        write(&tx).await?;
        crash::point("settle.before-commit");
        tx.commit().await?;
        crash::point("settle.after-commit");
        Ok(())
    }

    /// Asks the database until it answers.
    async fn until_answered<T>(&self, ask: impl AsyncFn() -> Result<T, DbErr>) -> T {
        let mut tries = 0;
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => self.owner.told(&mut tries, &error).await,
            }
        }
    }
}

impl Owner {
    /// Says once that the database does not do what is needed, and waits before the next try.
    async fn told(&self, tries: &mut u32, error: &dyn std::fmt::Display) {
        *tries += 1;
        if *tries == 2 {
            let (capability, partition) = (&self.partition.capability, self.number());
            tracing::warn!(%capability, partition, %error, "durable messages wait for the database; trying again");
        }
        self.pause(*tries).await;
    }
}
