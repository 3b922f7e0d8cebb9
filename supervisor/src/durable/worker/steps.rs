//! The owner's own transactions: each ends the present place of a message, and writes where it goes from here. One is
//! repeated until the database says that it is done, or that the partition has another owner.

use sea_orm::DbErr;

use super::owner::{Base, Owner};
use super::queue::Tries;
use crate::bridge::log::Tally;
use crate::crash;
use crate::progress::Track;
use crate::store::durable::{fence, inbox, parked};
use crate::store::{Tx, TxError};

/// Nothing that is counted.
pub(super) const NONE: Tally = Tally { handled: 0, duplicates: 0, dead: 0, expired: 0 };

/// Where a message is in the database, if it is.
#[derive(Clone, Copy)]
pub(super) enum From {
    Log { offset: u64 },
    Parked { seq: u64, tries: Tries },
}

/// The partition has another owner.
pub(super) struct Lost;

/// Transactions of the owner's own.
pub(super) struct Steps<'a> {
    pub owner: &'a Owner,
    pub base: &'a Base,
}

impl Steps<'_> {
    /// Whether a step on a message that was not answered took place after all.
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

    /// Ends the present place of a message with this id, in one transaction with what `write` writes. `false` if that was
    /// done before, by a step whose commit was not answered, or if `write` says that there is nothing to be written.
    pub async fn settle(
        &self,
        from: From,
        id: &str,
        tally: Tally,
        write: impl AsyncFn(&Tx<'_>) -> Result<bool, DbErr>,
    ) -> Result<bool, Lost> {
        let mut failures = 0;
        loop {
            match self.try_settle(from, id, tally, &write).await {
                Ok(now) => return Ok(now),
                Err(TxError::Fenced) => return Err(Lost),
                Err(_) if failures > 0 && self.is_settled(from, id).await => return Ok(false),
                Err(error) => self.owner.tries_again(&mut failures, &error).await?,
            }
        }
    }

    /// Tries once to [`settle`](Self::settle).
    pub async fn try_settle(
        &self,
        from: From,
        id: &str,
        tally: Tally,
        write: &impl AsyncFn(&Tx<'_>) -> Result<bool, DbErr>,
    ) -> Result<bool, TxError> {
        let leave = async |tx: &Tx<'_>| {
            match from {
                From::Log { offset } => {
                    let at_ms = inbox::remembered_from(id, self.owner.env.wall_ms());
                    inbox::insert(tx, &[inbox::Mark { id, offset, at_ms }]).await?;
                }
                From::Parked { seq, .. } => {
                    if !parked::remove(tx, self.owner.number(), seq).await? {
                        return Ok(false);
                    }
                }
            }
            write(tx).await
        };
        self.try_advance(tally, &leave).await
    }

    /// One transaction under the partition's epoch that changes nothing if it is repeated.
    pub async fn advance(&self, write: impl AsyncFn(&Tx<'_>) -> Result<bool, DbErr>) -> Result<(), Lost> {
        let mut failures = 0;
        loop {
            match self.try_advance(NONE, &write).await {
                Ok(_) => return Ok(()),
                Err(TxError::Fenced) => return Err(Lost),
                Err(error) => self.owner.tries_again(&mut failures, &error).await?,
            }
        }
    }

    /// One transaction under the partition's epoch; undone if `write` says that nothing is to be written.
    async fn try_advance(
        &self,
        tally: Tally,
        write: &impl AsyncFn(&Tx<'_>) -> Result<bool, DbErr>,
    ) -> Result<bool, TxError> {
        let tx = self.base.database.begin(None, Track::default()).await?;
        if !fence::advance(&tx, self.owner.number(), self.owner.epoch, tally).await? {
            return Err(TxError::Fenced);
        }
        if !write(&tx).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        crash::point("settle.before-commit");
        tx.commit().await?;
        crash::point("settle.after-commit");
        Ok(true)
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
        if *tries == 2 {
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
