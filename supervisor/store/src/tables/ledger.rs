//! The ledger: how many messages of each partition are finished or parked, as its capability's database knows.

use sea_orm::DbErr;

use super::fence::{Fence, fence};
use super::{number, rows};
use crate::own_rows::{OwnQueries, OwnRow};

/// The ledger of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerLine {
    pub fence: Fence,
    /// Messages that have left the log and are not finished.
    pub parked: u64,
    /// Messages that are accounted for here and came from other logs than the present one.
    pub before: i64,
}

/// All partitions that ever had an owner here, at one moment.
pub async fn read(db: &impl OwnQueries) -> Result<Vec<LedgerLine>, DbErr> {
    // One statement sees one state of the database, so that a message is either parked or counted.
    let sql = "SELECT f.partition, f.epoch, f.handled, f.duplicates, f.dead, f.expired, \
               (SELECT count(*) FROM essaim_parked AS p WHERE p.partition = f.partition) AS parked, \
               (SELECT l.before FROM essaim_logs AS l WHERE l.partition = f.partition AND l.log = f.log) AS before \
               FROM essaim_fence AS f ORDER BY f.partition";
    let line = |row: &OwnRow| {
        let before: Option<i64> = row.try_get_by_index(7)?;
        Ok(LedgerLine { fence: fence(row)?, parked: number(row, 6)?, before: before.unwrap_or(0) })
    };
    rows(db, sql, [], line).await
}
