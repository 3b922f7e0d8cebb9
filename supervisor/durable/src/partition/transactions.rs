//! The owner's own transactions: each ends the present place of a message, and writes where it goes from here. One is
//! repeated until the database says that it is done, or that the partition has another owner.

use essaim_base::crash;
use essaim_protocol::log::Tally;
use essaim_store::tables::inbox::{self, InboxMark};
use essaim_store::tables::{fence, parked};
use essaim_store::{Transaction, TxError};
use sea_orm::DbErr;

use super::owner::{CapabilityStore, PartitionOwner};
use super::queue::Tries;

/// Nothing that is counted.
pub(super) const NONE: Tally = Tally { handled: 0, duplicates: 0, dead: 0, expired: 0 };

/// Where a message is in the database, if it is.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Log { offset: u64 },
    Parked { seq: u64, tries: Tries },
}

/// How a message leaves its place.
#[derive(Clone, Copy)]
pub(super) struct Settlement<'a> {
    pub from: Source,
    pub id: &'a str,
    /// When it is remembered from, if it comes from the log.
    pub at_ms: u64,
    pub tally: Tally,
    /// Whether its mark stands for its effect, which no other copy has then.
    pub effect: bool,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepEnd {
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
pub(super) struct PartitionLost;

/// Transactions of the owner's own.
pub(super) struct OwnerTransactions<'a> {
    pub owner: &'a PartitionOwner,
    pub store: &'a CapabilityStore,
}

impl OwnerTransactions<'_> {
    /// Whether a handler's commit that was not answered took place after all.
    pub async fn is_settled(&self, from: Source, id: &str) -> bool {
        let reads = self.store.database.own_reads();
        match from {
            Source::Log { offset } => {
                let seen = self.until_answered(async || inbox::seen(reads, &[id]).await).await;
                seen.get(id).is_some_and(|offsets| offsets.contains(&offset))
            }
            Source::Parked { seq, .. } => {
                let number = self.owner.number();
                let rows = self.until_answered(async || parked::load(reads, number, seq - 1, 1).await).await;
                !rows.iter().any(|row| row.seq == seq)
            }
        }
    }

    /// Ends the present place of a message, in one transaction with what `write` writes.
    pub async fn settle(
        &self,
        place: Settlement<'_>,
        write: impl AsyncFn(&Transaction) -> Result<StepEnd, DbErr>,
    ) -> Result<StepEnd, PartitionLost> {
        let leave = async |tx: &Transaction| match self.leave(tx, place).await? {
            StepEnd::Done => write(tx).await,
            not => Ok(not),
        };
        let through = match place.from {
            Source::Log { offset } => fence::through(offset),
            Source::Parked { .. } => 0,
        };
        self.advance_through(place.tally, through, leave).await
    }

    async fn leave(&self, tx: &Transaction, place: Settlement<'_>) -> Result<StepEnd, DbErr> {
        let Settlement { from, id, at_ms, effect, .. } = place;
        match from {
            Source::Parked { seq, .. } => {
                let there = parked::remove(tx, self.owner.number(), seq).await?;
                Ok(if there { StepEnd::Done } else { StepEnd::Before })
            }
            Source::Log { offset } => {
                if tx.mark(InboxMark { id, offset, at_ms, effect }).await? {
                    return Ok(StepEnd::Done);
                }
                let seen = inbox::seen(tx, &[id]).await?;
                let before = seen.get(id).is_some_and(|offsets| offsets.contains(&offset));
                Ok(if before { StepEnd::Before } else { StepEnd::Repeated })
            }
        }
    }

    /// One transaction under the partition's epoch, which finds what it has written if it is repeated.
    pub async fn advance(
        &self,
        tally: Tally,
        write: impl AsyncFn(&Transaction) -> Result<StepEnd, DbErr>,
    ) -> Result<StepEnd, PartitionLost> {
        self.advance_through(tally, 0, write).await
    }

    /// As [`Self::advance`], by messages of the log up to the one before the offset `through`.
    async fn advance_through(
        &self,
        tally: Tally,
        through: u64,
        write: impl AsyncFn(&Transaction) -> Result<StepEnd, DbErr>,
    ) -> Result<StepEnd, PartitionLost> {
        let mut failures = 0;
        loop {
            match self.try_advance(tally, through, &write).await {
                Ok(step) => return Ok(step),
                Err(TxError::Fenced) => return Err(PartitionLost),
                Err(error) => self.owner.tries_again(&mut failures, &error).await?,
            }
        }
    }

    async fn try_advance(
        &self,
        tally: Tally,
        through: u64,
        write: &impl AsyncFn(&Transaction) -> Result<StepEnd, DbErr>,
    ) -> Result<StepEnd, TxError> {
        let tx = self.store.database.begin().await?;
        let (number, epoch) = (self.owner.number(), self.owner.epoch);
        if !fence::advance_through(&tx, number, epoch, tally, through).await? {
            return Err(TxError::Fenced);
        }
        let step = write(&tx).await?;
        if step != StepEnd::Done {
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
                Err(error) => self.owner.reported(&mut tries, &error).await,
            }
        }
    }
}

impl PartitionOwner {
    /// Says once that the database does not do what is needed, and waits before the next try.
    pub(super) async fn reported(&self, tries: &mut u32, error: &dyn std::fmt::Display) {
        *tries += 1;
        // An outage is told by itself, not by each message that meets it.
        if *tries == 2 && !self.store.as_ref().is_some_and(|store| store.database.is_out()) {
            let (capability, partition) = (&self.partition.capability, self.number());
            tracing::warn!(%capability, partition, %error, "durable messages wait for the database; trying again");
        }
        self.pause(*tries).await;
    }

    /// As [`PartitionOwner::told`], unless the work stops: what is not settled is found by the next owner of the partition.
    pub(super) async fn tries_again(
        &self,
        tries: &mut u32,
        error: &dyn std::fmt::Display,
    ) -> Result<(), PartitionLost> {
        if self.is_stopping() {
            return Err(PartitionLost);
        }
        self.reported(tries, error).await;
        Ok(())
    }
}
