//! Sequence numbers of outbox queues that are used up although no row has them any more.

use sea_orm::{DbErr, Value};

use super::{int, number, row, run};
use crate::own_rows::OwnQueries;

/// The highest number that is recorded as used up; 0 without a record.
pub async fn through(db: &impl OwnQueries, queue: &str) -> Result<u64, DbErr> {
    let sql = "SELECT through FROM essaim_numbers WHERE lane = $1";
    Ok(row(db, sql, [Value::from(queue)], |row| number(row, 0)).await?.unwrap_or(0))
}

/// Records that the numbers up to this one are used up, in the transaction that removes the rows that have them.
pub async fn use_up(db: &impl OwnQueries, queue: &str, through: u64) -> Result<(), DbErr> {
    let sql = "INSERT INTO essaim_numbers (lane, through) VALUES ($1, $2) ON CONFLICT (lane) DO UPDATE \
               SET through = excluded.through WHERE essaim_numbers.through < excluded.through";
    run(db, sql, [Value::from(queue), int(through)]).await.map(drop)
}
