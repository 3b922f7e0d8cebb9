//! Parked messages: those that have left the log and are not finished. They failed and are tried again, they wait behind a
//! failed one of their key, or their time has not come.
//!
//! A message is marked in the inbox in the transaction that parks it, since the log may deliver it again: the mark stands for
//! its effect.

use sea_orm::{DbBackend, DbErr, Statement, Value};

use super::{bulk, int, number, rows, run, words};
use crate::own_rows::{OwnQueries, OwnRow};

/// A parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedMessage {
    pub partition: u32,
    /// Sequence number in its partition, given by the owner.
    pub seq: u64,
    /// Its message id.
    pub id: String,
    /// The key that orders it.
    pub order_key: String,
    /// Whether later messages of its key wait for it: not without a key, nor if it was parked until a moment.
    pub ordered: bool,
    /// Failed attempts.
    pub attempts: u32,
    /// When it is tried next, if it is the first of its key.
    pub due_ms: u64,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The encoded record.
    pub record: Vec<u8>,
}

/// The columns, in the order of [`ParkedMessage`]'s fields.
const INTO: &str = "essaim_parked (partition, seq, id, order_key, ordered, attempts, due_ms, error, held, record)";

/// Parks messages; returns how many. One whose id is parked already is left out.
///
/// # Errors
/// Also if the number of one of them is taken.
pub async fn park(db: &impl OwnQueries, messages: &[ParkedMessage]) -> Result<u64, DbErr> {
    bulk::insert(db, INTO, messages, "ON CONFLICT (id) DO NOTHING", |m| {
        [
            int(m.partition),
            int(m.seq),
            Value::from(m.id.as_str()),
            Value::from(m.order_key.as_str()),
            Value::from(m.ordered),
            int(m.attempts),
            int(m.due_ms),
            m.error.as_deref().map_or(Value::String(None), words),
            // An old column that is no longer read.
            Value::from(false),
            Value::from(m.record.clone()),
        ]
    })
    .await
}

/// The parked messages after that number, in order.
pub async fn load(
    db: &impl OwnQueries,
    partition: u32,
    after_seq: u64,
    most: u32,
) -> Result<Vec<ParkedMessage>, DbErr> {
    let sql = "SELECT partition, seq, id, order_key, ordered, attempts, due_ms, error, record \
               FROM essaim_parked WHERE partition = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    rows(db, sql, [int(partition), int(after_seq), int(most)], parked).await
}

/// The parked messages with this id, or of this key, in order.
pub async fn find(db: &impl OwnQueries, id_or_key: &str, most: u32) -> Result<Vec<ParkedMessage>, DbErr> {
    let sql = "SELECT partition, seq, id, order_key, ordered, attempts, due_ms, error, record \
               FROM essaim_parked WHERE id = $1 OR order_key = $1 ORDER BY partition, seq LIMIT $2";
    rows(db, sql, [Value::from(id_or_key), int(most)], parked).await
}

/// All parked messages behind a partition and a number, in order.
pub async fn list(db: &impl OwnQueries, after: (u32, u64), most: u32) -> Result<Vec<ParkedMessage>, DbErr> {
    let sql = "SELECT partition, seq, id, order_key, ordered, attempts, due_ms, error, record \
               FROM essaim_parked WHERE (partition, seq) > ($1, $2) ORDER BY partition, seq LIMIT $3";
    rows(db, sql, [int(after.0), int(after.1), int(most)], parked).await
}

/// A message that has failed is due now.
pub async fn hurry(db: &impl OwnQueries, partition: u32, seq: u64) -> Result<bool, DbErr> {
    let sql = "UPDATE essaim_parked SET due_ms = 0 WHERE partition = $1 AND seq = $2";
    Ok(run(db, sql, [int(partition), int(seq)]).await? == 1)
}

/// Records a failed attempt; `false` if the message is not parked.
pub async fn failed(
    db: &impl OwnQueries,
    partition: u32,
    seq: u64,
    attempts: u32,
    due_ms: u64,
    error: &str,
) -> Result<bool, DbErr> {
    let sql = "UPDATE essaim_parked SET attempts = $1, due_ms = $2, error = $3 WHERE partition = $4 AND seq = $5";
    let values = [int(attempts), int(due_ms), words(error), int(partition), int(seq)];
    Ok(run(db, sql, values).await? == 1)
}

/// Removes a message; `false` if it was not parked.
pub async fn remove(db: &impl OwnQueries, partition: u32, seq: u64) -> Result<bool, DbErr> {
    Ok(db.execute_raw(removing(db.get_database_backend(), partition, seq)).await?.rows_affected() == 1)
}

/// The statement of [`remove`].
pub(super) fn removing(backend: DbBackend, partition: u32, seq: u64) -> Statement {
    let sql = "DELETE FROM essaim_parked WHERE partition = $1 AND seq = $2";
    Statement::from_sql_and_values(backend, sql, [int(partition), int(seq)])
}

/// How many messages are parked, by partition.
#[cfg(any(test, feature = "testing"))]
pub async fn count(db: &impl OwnQueries) -> Result<Vec<(u32, u64)>, DbErr> {
    let sql = "SELECT p.partition, count(*) FROM essaim_parked AS p GROUP BY p.partition ORDER BY p.partition";
    rows(db, sql, [], |row| Ok((number(row, 0)?, number(row, 1)?))).await
}

fn parked(row: &OwnRow) -> Result<ParkedMessage, DbErr> {
    Ok(ParkedMessage {
        partition: number(row, 0)?,
        seq: number(row, 1)?,
        id: row.try_get_by_index(2)?,
        order_key: row.try_get_by_index(3)?,
        ordered: row.try_get_by_index(4)?,
        attempts: number(row, 5)?,
        due_ms: number(row, 6)?,
        error: row.try_get_by_index(7)?,
        record: row.try_get_by_index(8)?,
    })
}
