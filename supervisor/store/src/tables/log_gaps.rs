//! Gaps: messages that a log has appended and then forgotten, as one does that is restored to an older state. The database, which
//! has finished later ones, finds them. They stay as a reminder: what was lost beside them nobody can name.

use sea_orm::DbErr;

use super::{int, number, rows, run};
use crate::own_rows::{OwnQueries, OwnRow};

/// The messages of a partition from the offset `first` up to the one before `through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogGap {
    pub partition: u32,
    pub first: u64,
    pub through: u64,
    pub found_ms: u64,
}

/// Records a gap of the log that the partition's owner reads, unless it is known.
pub async fn record(db: &impl OwnQueries, gap: LogGap) -> Result<(), DbErr> {
    let sql = "INSERT INTO essaim_log_gaps (partition, log, first, through, found_ms) \
               SELECT partition, log, $1, $2, $3 FROM essaim_fence WHERE partition = $4 ON CONFLICT DO NOTHING";
    let LogGap { partition, first, through, found_ms } = gap;
    run(db, sql, [int(first), int(through), int(found_ms), int(partition)]).await.map(drop)
}

/// All gaps, of whichever log: one for each restore.
pub async fn read(db: &impl OwnQueries) -> Result<Vec<LogGap>, DbErr> {
    let sql = "SELECT partition, first, through, found_ms FROM essaim_log_gaps ORDER BY partition, found_ms, first";
    let gap = |row: &OwnRow| {
        let (partition, first, through) = (number(row, 0)?, number(row, 1)?, number(row, 2)?);
        Ok(LogGap { partition, first, through, found_ms: number(row, 3)? })
    };
    rows(db, sql, [], gap).await
}
