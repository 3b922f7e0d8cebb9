//! The logs that the messages of a partition came from. A capability can move to another log, such as that of Redis instead of
//! the embedded one, and its ledger goes on.

use sea_orm::{DbErr, Value};

use super::{int, number, row, run};
use crate::own_rows::OwnQueries;

/// Records that the messages of a partition come from the log `to` from now on and no longer from `from`, which is empty
/// without an earlier log; in the transaction that has taken the fence.
pub async fn change(db: &impl OwnQueries, partition: u32, from: &str, to: &str) -> Result<(), DbErr> {
    let accounted = accounted(db, partition).await?;
    if !from.is_empty() {
        let sql = "INSERT INTO essaim_logs (partition, log, before, until) VALUES ($1, $2, 0, $3) \
                   ON CONFLICT (partition, log) DO UPDATE SET until = excluded.until";
        run(db, sql, [int(partition), Value::from(from), int(accounted)]).await?;
    }
    // What was accounted for since this log was left came from others.
    let known = "SELECT before, until FROM essaim_logs WHERE partition = $1 AND log = $2";
    let values = [int(partition), Value::from(to)];
    let known: Option<(i64, Option<i64>)> =
        row(db, known, values, |row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).await?;
    let before = match known {
        Some((before, until)) => before + accounted - until.unwrap_or(accounted),
        None if from.is_empty() => 0,
        None => accounted,
    };
    let sql = "INSERT INTO essaim_logs (partition, log, before, until) VALUES ($1, $2, $3, NULL) \
               ON CONFLICT (partition, log) DO UPDATE SET before = excluded.before, until = NULL";
    run(db, sql, [int(partition), Value::from(to), int(before)]).await?;
    let sql = "UPDATE essaim_fence SET log = $1, through = 0 WHERE partition = $2";
    run(db, sql, [Value::from(to), int(partition)]).await.map(drop)
}

/// How many messages the log that a partition's owner reads has appended to it at least: those before the last one that was
/// finished, or as many as were finished or are parked where no offset is remembered.
pub async fn appended(db: &impl OwnQueries, partition: u32) -> Result<u64, DbErr> {
    let sql = "SELECT through FROM essaim_fence WHERE partition = $1";
    match row(db, sql, [int(partition)], |row| number(row, 0)).await?.unwrap_or(0) {
        0 => finished(db, partition).await,
        through => Ok(through),
    }
}

/// Messages of a partition that were finished or are parked, and came from the log that its owner reads.
async fn finished(db: &impl OwnQueries, partition: u32) -> Result<u64, DbErr> {
    let sql = "SELECT l.before FROM essaim_logs AS l JOIN essaim_fence AS f ON l.partition = f.partition AND l.log = f.log \
               WHERE f.partition = $1";
    let before: Option<i64> = row(db, sql, [int(partition)], |row| row.try_get_by_index(0)).await?;
    Ok(u64::try_from(accounted(db, partition).await? - before.unwrap_or(0)).unwrap_or(0))
}

/// Messages of a partition that were finished or are parked.
async fn accounted(db: &impl OwnQueries, partition: u32) -> Result<i64, DbErr> {
    let sql = "SELECT f.handled + f.duplicates + f.dead + f.expired + \
               (SELECT count(*) FROM essaim_parked AS p WHERE p.partition = f.partition) \
               FROM essaim_fence AS f WHERE f.partition = $1";
    Ok(row(db, sql, [int(partition)], |row| number(row, 0)).await?.unwrap_or(0))
}
