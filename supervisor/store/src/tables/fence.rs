//! Fences: the epoch of the owner of each partition, and the tally of the messages that its owners finished.
//!
//! Each commit for a durable message advances the fence of its partition under its owner's epoch. A new owner takes the fence
//! first: from then on nothing of an earlier one commits, and a transaction that has advanced it is waited for.

use essaim_protocol::log::{Entry, Tally};
use sea_orm::{DbBackend, DbErr, Statement};

use super::bulk::{self, Padding};
use super::{int, number, row, run};
use crate::own_rows::{OwnQueries, OwnRow};

/// The fence of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    pub partition: u32,
    /// The last owner's epoch.
    pub epoch: u64,
    /// What all owners together finished.
    pub tally: Tally,
}

/// How taking over a partition ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takeover<T> {
    /// It is ours.
    Done(T),
    /// Our epoch is stale: the database has seen this higher one, and nothing is changed.
    Stale(u64),
}

/// Becomes the owner of a partition with this epoch, unless a later owner was here; which log the partition's messages came
/// from before, empty if from none.
///
/// It waits for a transaction of an earlier owner that is open. An owner may take what it has.
pub async fn take(db: &impl OwnQueries, partition: u32, epoch: u64) -> Result<Takeover<String>, DbErr> {
    let sql = "INSERT INTO essaim_fence (partition, epoch, handled, duplicates, dead, expired) \
               VALUES ($1, $2, 0, 0, 0, 0) ON CONFLICT (partition) DO UPDATE SET epoch = excluded.epoch \
               WHERE essaim_fence.epoch <= excluded.epoch RETURNING log";
    if let Some(log) = row(db, sql, [int(partition), int(epoch)], |row| row.try_get_by_index(0)).await? {
        return Ok(Takeover::Done(log));
    }
    let sql = "SELECT epoch FROM essaim_fence WHERE partition = $1";
    Ok(Takeover::Stale(row(db, sql, [int(partition)], |row| number(row, 0)).await?.unwrap_or(0)))
}

/// Adds to the tally of a partition, as the owner with this epoch; `false`, and nothing is changed, if another owner took it.
///
/// From here on a new owner waits for the end of the transaction.
pub async fn advance(db: &impl OwnQueries, partition: u32, epoch: u64, tally: Tally) -> Result<bool, DbErr> {
    advance_through(db, partition, epoch, tally, 0).await
}

/// As [`advance`], by messages of the log up to the one before the offset `through`.
pub async fn advance_through(
    db: &impl OwnQueries,
    partition: u32,
    epoch: u64,
    tally: Tally,
    through: u64,
) -> Result<bool, DbErr> {
    let sql = "UPDATE essaim_fence SET handled = handled + $1, duplicates = duplicates + $2, dead = dead + $3, \
               expired = expired + $4, through = CASE WHEN through < $5 THEN $5 ELSE through END \
               WHERE partition = $6 AND epoch = $7";
    let Tally { handled, duplicates, dead, expired } = tally;
    let counts = [handled, duplicates, dead, expired, through].map(int);
    let [handled, duplicates, dead, expired, through] = counts;
    let values = [handled, duplicates, dead, expired, through, int(partition), int(epoch)];
    Ok(run(db, sql, values).await? == 1)
}

/// One more than the offset of a message, as an inbox remembers that: an owner that has finished it has seen so many appended.
pub fn through(offset: u64) -> u64 {
    (offset & ((1 << Entry::OFFSET_BITS) - 1)) + 1
}

/// Messages of a partition that were handled under one epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Handled {
    pub messages: u64,
    /// Behind the last one that came from the log; 0 if none did.
    pub through: u64,
}

impl Handled {
    pub fn add(&mut self, messages: u64, through: u64) {
        self.messages += messages;
        self.through = self.through.max(through);
    }
}

/// The statements that count messages as handled, by partition and its owner's epoch, and how many partitions each must
/// find. A partition that has another owner is not found.
pub(super) fn advancing(backend: DbBackend, handled: &[(u32, u64, Handled)]) -> impl Iterator<Item = (Statement, u64)> {
    handled.chunks(bulk::LARGEST).flat_map(move |chunk| {
        let values = |(partition, epoch, handled): &(u32, u64, Handled)| {
            [int(*partition), int(*epoch), int(handled.messages), int(handled.through)]
        };
        bulk::pieces(chunk, 1, Padding::Nulls, values).map(move |(tuples, values)| {
            let sql = format!(
                "UPDATE essaim_fence SET handled = handled + v.column3, \
                 through = CASE WHEN through < v.column4 THEN v.column4 ELSE through END FROM (VALUES {tuples}) AS v \
                 WHERE partition = v.column1 AND epoch = v.column2"
            );
            (Statement::from_sql_and_values(backend, sql, values), chunk.len() as u64)
        })
    })
}

pub(super) fn fence(row: &OwnRow) -> Result<Fence, DbErr> {
    let tally = Tally {
        handled: number(row, 2)?,
        duplicates: number(row, 3)?,
        dead: number(row, 4)?,
        expired: number(row, 5)?,
    };
    Ok(Fence { partition: number(row, 0)?, epoch: number(row, 1)?, tally })
}
