//! The outbox: messages that were sent in a transaction and are yet to be stored in the log, in order within a queue.

use sea_orm::{DbBackend, DbErr, Statement, Value};

use super::bulk::{self, Padding};
use super::{int, number, queues_of, row, rows};
use crate::own_rows::{OwnQueries, OwnRow};

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// It is an event, and goes to every subscriber.
    pub event: bool,
    /// The capability that it goes to; of an event, the one subscriber that still lacks it.
    pub target: Option<String>,
    /// The encoded record.
    pub record: Vec<u8>,
}

/// How much is in a queue, which has one writer and one relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxExtent {
    /// The highest number that is in use; 0 if none is.
    pub last: u64,
    /// How many messages it has, as far as they were counted.
    pub count: u64,
}

pub(super) const INTO: &str = "essaim_outbox (lane, seq, event, target, record)";

/// Adds messages to a queue, numbered from `first_seq` on.
pub async fn insert(db: &impl OwnQueries, queue: &str, first_seq: u64, messages: &[OutboxRow]) -> Result<(), DbErr> {
    let numbered: Vec<_> = (first_seq..).zip(messages.iter().cloned()).collect();
    for statement in inserting(db.get_database_backend(), queue, &numbered) {
        db.execute_raw(statement).await?;
    }
    Ok(())
}

/// The statements that add numbered messages to a queue.
pub(super) fn inserting(
    backend: DbBackend,
    queue: &str,
    messages: &[(u64, OutboxRow)],
) -> impl Iterator<Item = Statement> {
    bulk::inserting(backend, INTO, messages, "", move |message| row_of(queue, message))
}

/// A message in the order of the columns.
pub(super) fn row_of(queue: &str, (seq, message): &(u64, OutboxRow)) -> [Value; 5] {
    let OutboxRow { event, target, record } = message;
    [Value::from(queue), int(*seq), Value::from(*event), Value::from(target.clone()), Value::from(record.clone())]
}

/// The messages after that number, in order, with their numbers.
pub async fn load(
    db: &impl OwnQueries,
    queue: &str,
    after_seq: u64,
    most: u32,
) -> Result<Vec<(u64, OutboxRow)>, DbErr> {
    let sql = "SELECT seq, event, target, record FROM essaim_outbox WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    rows(db, sql, [Value::from(queue), int(after_seq), int(most)], outgoing).await
}

/// The first messages of a queue, in order, with their numbers: at most `most`, and so few that they have about
/// `most_bytes`; one in any case.
pub async fn page(
    db: &impl OwnQueries,
    queue: &str,
    most: u32,
    most_bytes: u64,
) -> Result<Vec<(u64, OutboxRow)>, DbErr> {
    // The lengths of large records are read without the records.
    let sql = "SELECT seq, event, target, record FROM essaim_outbox WHERE lane = $1 ORDER BY seq LIMIT \
               (SELECT CASE WHEN sum(bytes) > $3 THEN 1 + $3 / max(bytes) ELSE $2 END FROM \
               (SELECT length(record) AS bytes FROM essaim_outbox WHERE lane = $1 ORDER BY seq LIMIT $2) AS page)";
    let page = rows(db, sql, [Value::from(queue), int(most), int(most_bytes)], outgoing).await?;
    debug_assert!(
        page.len() <= most as usize && page.is_sorted_by_key(|(seq, _)| *seq),
        "a page is in order and bounded"
    );
    Ok(page)
}

/// Removes single messages; returns how many were removed.
pub async fn remove(db: &impl OwnQueries, queue: &str, seqs: &[u64]) -> Result<u64, DbErr> {
    let mut removed = 0;
    for statement in removing(db.get_database_backend(), queue, seqs) {
        removed += db.execute_raw(statement).await?.rows_affected();
    }
    Ok(removed)
}

/// The statements of [`remove`].
pub(super) fn removing(backend: DbBackend, queue: &str, seqs: &[u64]) -> impl Iterator<Item = Statement> {
    bulk::pieces(seqs, 2, Padding::Repeat, |seq| [int(*seq)]).map(move |(list, values)| {
        let sql = format!("DELETE FROM essaim_outbox WHERE lane = $1 AND seq IN ({list})");
        Statement::from_sql_and_values(backend, sql, std::iter::once(Value::from(queue)).chain(values))
    })
}

/// All queues that are not empty, in order.
pub async fn queues(db: &impl OwnQueries) -> Result<Vec<String>, DbErr> {
    queues_of(db, "essaim_outbox").await
}

/// How much is in a queue, counted up to `most`.
pub async fn extent(db: &impl OwnQueries, queue: &str, most: u64) -> Result<OutboxExtent, DbErr> {
    let sql = "SELECT (SELECT coalesce(max(seq), 0) FROM essaim_outbox WHERE lane = $1), \
               (SELECT count(*) FROM (SELECT 1 FROM essaim_outbox WHERE lane = $1 LIMIT $2) AS few)";
    let extent = |row: &OwnRow| Ok(OutboxExtent { last: number(row, 0)?, count: number(row, 1)? });
    Ok(row(db, sql, [Value::from(queue), int(most)], extent).await?.unwrap_or_default())
}

/// How many messages wait in all queues, counted up to `most`.
pub async fn count(db: &impl OwnQueries, most: u64) -> Result<u64, DbErr> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM essaim_outbox LIMIT $1) AS few";
    Ok(row(db, sql, [int(most)], |row| number(row, 0)).await?.unwrap_or(0))
}

fn outgoing(row: &OwnRow) -> Result<(u64, OutboxRow), DbErr> {
    let (event, target, record) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?, row.try_get_by_index(3)?);
    Ok((number(row, 0)?, OutboxRow { event, target, record }))
}
