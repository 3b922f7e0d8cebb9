//! What became of a partition's messages, as far as its capability's database knows.

use sea_orm::{ConnectionTrait, DbErr};

use super::fence::{Fence, fence};
use super::{number, rows};

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub fence: Fence,
    /// Messages that have left the log and are not finished.
    pub parked: u64,
}

/// All partitions that ever had an owner here, at one moment.
pub(crate) async fn read(db: &impl ConnectionTrait) -> Result<Vec<Line>, DbErr> {
    // One statement sees one state of the database, so that a message is either parked or counted.
    let sql = "SELECT f.partition, f.epoch, f.handled, f.duplicates, f.dead, f.expired, \
               (SELECT count(*) FROM essaim_parked AS p WHERE p.partition = f.partition) AS parked \
               FROM essaim_fence AS f ORDER BY f.partition";
    rows(db, sql, [], |row| Ok(Line { fence: fence(row)?, parked: number(row, 6)? })).await
}
