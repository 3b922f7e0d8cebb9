//! The runtime's own tables in a capability's database, and every statement on them.
//!
//! What a durable message leaves behind is written in the transaction of its handler, so each function takes any connection.
//! Its errors are the database's, or [`DbErr::Type`] for a value that the runtime never writes. Times are in milliseconds since
//! 1970 and come from the caller. Numbers of a partition or a queue begin at 1, so that 0 is before all of them.
//!
//! # Layout
//! - `migrations`: how the tables come to be.
//! - `fence`: who may work on a partition, and what it counts; `ledger`: that beside what waits.
//! - `logs`: which log messages come from; `log_gaps`: messages that one has forgotten.
//! - `inbox`: messages that were applied; `outbox`: messages that are to be stored in the log, and `numbers` they have had.
//! - `retained`: events that are retained for subscribers that come later, and how far these are backfilled.
//! - `parked`: messages that wait for another attempt, for one before them, or for their time.
//! - `dead`: messages that are not tried any more.
//! - `mentions`: what is kept of a subject.
//! - `schedules`: how far schedules have come.
//! - `tx_effects`: what is written with handlers' transactions; `single_statement`: that of one handler, in one statement.
//! - `bulk`: many rows in few statements, whose texts repeat.

use sea_orm::{DbErr, Statement, Value};

use crate::own_rows::{OwnQueries, OwnRow};

pub mod dead;
pub mod fence;
pub mod inbox;
pub mod ledger;
pub mod log_gaps;
pub mod logs;
pub mod mentions;
pub mod migrations;
pub mod numbers;
pub mod outbox;
pub mod parked;
pub mod retained;
pub mod schedules;
pub mod tx_effects;

mod bulk;
mod single_statement;

/// A statement with its values.
fn statement(db: &impl OwnQueries, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), sql, values)
}

/// Runs a statement; returns how many rows it changed.
async fn run<const N: usize>(db: &impl OwnQueries, sql: &str, values: [Value; N]) -> Result<u64, DbErr> {
    Ok(db.execute_raw(statement(db, sql, values)).await?.rows_affected())
}

/// The rows that a statement finds.
async fn rows<const N: usize, T>(
    db: &impl OwnQueries,
    sql: &str,
    values: [Value; N],
    read: impl Fn(&OwnRow) -> Result<T, DbErr>,
) -> Result<Vec<T>, DbErr> {
    db.own_rows(statement(db, sql, values)).await?.iter().map(read).collect()
}

/// The one row that a statement finds.
async fn row<const N: usize, T>(
    db: &impl OwnQueries,
    sql: &str,
    values: [Value; N],
    read: impl Fn(&OwnRow) -> Result<T, DbErr>,
) -> Result<Option<T>, DbErr> {
    db.own_rows(statement(db, sql, values)).await?.first().map(read).transpose()
}

/// The queues of a table whose key begins with them, in order. Each is found from the one before by the index, so the number of
/// rows does not matter.
async fn queues_of(db: &impl OwnQueries, table: &str) -> Result<Vec<String>, DbErr> {
    let sql = format!(
        "WITH RECURSIVE found (lane) AS (SELECT min(lane) FROM {table} UNION ALL \
         SELECT (SELECT min(more.lane) FROM {table} AS more WHERE more.lane > found.lane) FROM found \
         WHERE found.lane IS NOT NULL) SELECT lane FROM found WHERE lane IS NOT NULL"
    );
    let mut queues = rows(db, &sql, [], |row| row.try_get_by_index(0)).await?;
    queues.sort_unstable();
    Ok(queues)
}

/// A number as a database value. One that is too large, which only a time in the far future is, becomes the largest.
fn int(number: impl TryInto<i64>) -> Value {
    Value::BigInt(Some(number.try_into().unwrap_or(i64::MAX)))
}

/// Text for people. PostgreSQL stores no NUL, and an error that cannot be stored would hide its cause.
fn words(text: &str) -> Value {
    Value::from(text.replace('\0', "\u{fffd}"))
}

/// The number in a column.
fn number<T: TryFrom<i64>>(row: &OwnRow, column: usize) -> Result<T, DbErr> {
    let number: i64 = row.try_get_by_index(column)?;
    T::try_from(number).map_err(|_| DbErr::Type(format!("{number} is not a number that the runtime has written")))
}
