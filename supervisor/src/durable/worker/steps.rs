//! The owner's own transactions: each ends the present place of a message, and writes where it goes from here. One is
//! repeated until the database says that it is done, or that the partition has another owner.

use sea_orm::DbErr;

use super::owner::{Base, Owner};
use super::queue::Tries;
use crate::bridge::log::Tally;
use crate::crash;
use crate::store::tables::inbox::{self, InboxMark};
use crate::store::tables::{fence, parked};
use crate::store::{Tx, TxError};
use crate::tx_tracker::TxTracker;

/// Nothing that is counted.
pub(super) const NONE: Tally = Tally { handled: 0, duplicates: 0, dead: 0, expired: 0 };

/// Where a message is in the database, if it is.
#[derive(Clone, Copy)]
pub(super) enum From {
    Log { offset: u64 },
    Parked { seq: u64, tries: Tries },
}

/// How a message leaves its place.
#[derive(Clone, Copy)]
pub(super) struct Leave<'a> {
    pub from: From,
    pub id: &'a str,
    /// When it is remembered from, if it comes from the log.
    pub at_ms: u64,
    pub tally: Tally,
    /// Whether its mark stands for its effect, which no other copy has then.
    pub effect: bool,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is committed.
    Done,
    /// It had been before, by a commit that was not answered.
    Before,
    /// Nothing is changed: another copy of the message has its effect.
    Repeated,
    /// Nothing is changed: there was nothing to be written.
    Nothing,
}

/// The partition has another owner.
pub(super) struct Lost;

/// Transactions of the owner's own.
pub(super) struct Steps<'a> {
    pub owner: &'a Owner,
    pub base: &'a Base,
}

impl Steps<'_> {
    /// Whether a handler's commit that was not answered took place after all.
    pub async fn is_settled(&self, from: From, id: &str) -> bool {
        let reads = self.base.database.reads();
        match from {
            From::Log { offset } => {
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

    /// Ends the present place of a message, in one transaction with what `write` writes.
    pub async fn settle(
        &self,
        place: Leave<'_>,
        write: impl AsyncFn(&Tx<'_>) -> Result<Step, DbErr>,
    ) -> Result<Step, Lost> {
        let leave = async |tx: &Tx<'_>| match self.leave(tx, place).await? {
            Step::Done => write(tx).await,
            not => Ok(not),
        };
        self.advance(place.tally, leave).await
    }

    async fn leave(&self, tx: &Tx<'_>, place: Leave<'_>) -> Result<Step, DbErr> {
        let Leave { from, id, at_ms, effect, .. } = place;
        match from {
            From::Parked { seq, .. } => {
                let there = parked::remove(tx, self.owner.number(), seq).await?;
                Ok(if there { Step::Done } else { Step::Before })
            }
            From::Log { offset } => {
                if tx.mark(InboxMark { id, offset, at_ms, effect }).await? {
                    return Ok(Step::Done);
                }
                let seen = inbox::seen(tx, &[id]).await?;
                let before = seen.get(id).is_some_and(|offsets| offsets.contains(&offset));
                Ok(if before { Step::Before } else { Step::Repeated })
            }
        }
    }

    /// One transaction under the partition's epoch, which finds what it has written if it is repeated.
    pub async fn advance(
        &self,
        tally: Tally,
        write: impl AsyncFn(&Tx<'_>) -> Result<Step, DbErr>,
    ) -> Result<Step, Lost> {
        let mut failures = 0;
        loop {
            match self.try_advance(tally, &write).await {
                Ok(step) => return Ok(step),
                Err(TxError::Fenced) => return Err(Lost),
                Err(error) => self.owner.tries_again(&mut failures, &error).await?,
            }
        }
    }

    async fn try_advance(
        &self,
        tally: Tally,
        write: &impl AsyncFn(&Tx<'_>) -> Result<Step, DbErr>,
    ) -> Result<Step, TxError> {
        let tx = self.base.database.begin(None, TxTracker::default()).await?;
        if !fence::advance(&tx, self.owner.number(), self.owner.epoch, tally).await? {
            return Err(TxError::Fenced);
        }
        let step = write(&tx).await?;
        if step != Step::Done {
            // What was found may be a neighbour's in a commit that is shared: it counts once that is certain.
            tx.rollback().await?;
            return Ok(step);
        }
        crash::point("settle.before-commit");
        tx.commit().await?;
        crash::point("settle.after-commit");
        Ok(step)
    }

    /// Asks the database until it answers.
    pub async fn until_answered<T>(&self, ask: impl AsyncFn() -> Result<T, DbErr>) -> T {
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
    pub(super) async fn told(&self, tries: &mut u32, error: &dyn std::fmt::Display) {
        *tries += 1;
        // An outage is told by itself, not by each message that meets it.
        if *tries == 2 && !self.base.as_ref().is_some_and(|base| base.database.is_out()) {
            let (capability, partition) = (&self.partition.capability, self.number());
            tracing::warn!(%capability, partition, %error, "durable messages wait for the database; trying again");
        }
        self.pause(*tries).await;
    }

    /// As [`Owner::told`], unless the work stops: what is not settled is found by whoever has the partition next.
    pub(super) async fn tries_again(&self, tries: &mut u32, error: &dyn std::fmt::Display) -> Result<(), Lost> {
        if self.is_stopping() {
            return Err(Lost);
        }
        self.told(tries, error).await;
        Ok(())
    }
}
