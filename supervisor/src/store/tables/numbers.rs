//! Which numbers of a lane of the outbox are used up, though nothing there has them any more.

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::{int, number, row, run};

/// No number that was forgotten is above this one; 0 where none is noted.
pub(crate) async fn through(db: &impl ConnectionTrait, queue: &str) -> Result<u64, DbErr> {
    let sql = "SELECT through FROM essaim_numbers WHERE lane = $1";
    Ok(row(db, sql, [Value::from(queue)], |row| number(row, 0)).await?.unwrap_or(0))
}

/// Notes that the numbers up to this one are used up; that goes with the transaction that forgets what has them.
pub(crate) async fn use_up(db: &impl ConnectionTrait, queue: &str, through: u64) -> Result<(), DbErr> {
    let sql = "INSERT INTO essaim_numbers (lane, through) VALUES ($1, $2) ON CONFLICT (lane) DO UPDATE \
               SET through = excluded.through WHERE essaim_numbers.through < excluded.through";
    run(db, sql, [Value::from(queue), int(through)]).await.map(drop)
}
