//! Messages that were sent in a transaction and are to be stored in the log, in order within a lane.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::bulk::{self, Fill};
use super::{int, number, rows, statement};

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// It goes to whoever subscribes.
    pub event: bool,
    /// The capability that it goes to; of an event, the one subscriber that still lacks it.
    pub target: Option<String>,
    /// The encoded record.
    pub record: Vec<u8>,
}

/// One queue of such messages, which has one writer and one relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub name: String,
    /// The lowest number that is in use.
    pub first: u64,
    /// The highest number that is in use.
    pub last: u64,
    pub count: u64,
}

pub(super) const INTO: &str = "essaim_outbox (lane, seq, event, target, record)";

/// Adds messages to a lane, numbered from `first_seq` on.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    lane: &str,
    first_seq: u64,
    messages: &[Outgoing],
) -> Result<(), DbErr> {
    let numbered: Vec<_> = (first_seq..).zip(messages.iter().cloned()).collect();
    for statement in inserting(db.get_database_backend(), lane, &numbered) {
        db.execute_raw(statement).await?;
    }
    Ok(())
}

/// The statements that add messages with their numbers to a lane.
pub(super) fn inserting(
    backend: DbBackend,
    lane: &str,
    messages: &[(u64, Outgoing)],
) -> impl Iterator<Item = Statement> {
    bulk::inserting(backend, INTO, messages, "", move |message| row_of(lane, message))
}

/// A message in the order of the columns.
pub(super) fn row_of(lane: &str, (seq, message): &(u64, Outgoing)) -> [Value; 5] {
    let Outgoing { event, target, record } = message;
    [Value::from(lane), int(*seq), Value::from(*event), Value::from(target.clone()), Value::from(record.clone())]
}

/// The messages after that number, in order, with their numbers.
pub(crate) async fn load(
    db: &impl ConnectionTrait,
    lane: &str,
    after_seq: u64,
    most: u32,
) -> Result<Vec<(u64, Outgoing)>, DbErr> {
    let sql = "SELECT seq, event, target, record FROM essaim_outbox WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    rows(db, sql, [Value::from(lane), int(after_seq), int(most)], outgoing).await
}

/// The first messages of a lane, in order, with their numbers: at most so many, and so few that they have about
/// `most_bytes`; one in any case.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    lane: &str,
    most: u32,
    most_bytes: u64,
) -> Result<Vec<(u64, Outgoing)>, DbErr> {
    // The lengths of large records are read without the records.
    let sql = "SELECT seq, event, target, record FROM essaim_outbox WHERE lane = $1 ORDER BY seq LIMIT \
               (SELECT CASE WHEN sum(bytes) > $3 THEN 1 + $3 / max(bytes) ELSE $2 END FROM \
               (SELECT length(record) AS bytes FROM essaim_outbox WHERE lane = $1 ORDER BY seq LIMIT $2) AS page)";
    rows(db, sql, [Value::from(lane), int(most), int(most_bytes)], outgoing).await
}

/// Removes single messages; how many were there.
pub(crate) async fn remove(db: &impl ConnectionTrait, lane: &str, seqs: &[u64]) -> Result<u64, DbErr> {
    let mut removed = 0;
    for (list, values) in bulk::pieces(seqs, 2, Fill::Again, |seq| [int(*seq)]) {
        let sql = format!("DELETE FROM essaim_outbox WHERE lane = $1 AND seq IN ({list})");
        let values = std::iter::once(Value::from(lane)).chain(values);
        removed += db.execute_raw(statement(db, sql, values)).await?.rows_affected();
    }
    Ok(removed)
}

/// All lanes that hold something.
pub(crate) async fn lanes(db: &impl ConnectionTrait) -> Result<Vec<Lane>, DbErr> {
    let sql = "SELECT lane, min(seq), max(seq), count(*) FROM essaim_outbox GROUP BY lane ORDER BY lane";
    let lane = |row: &QueryResult| {
        let name = row.try_get_by_index(0)?;
        Ok(Lane { name, first: number(row, 1)?, last: number(row, 2)?, count: number(row, 3)? })
    };
    rows(db, sql, [], lane).await
}

/// How many messages wait in all lanes.
pub(crate) async fn count(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Ok(lanes(db).await?.iter().map(|lane| lane.count).sum())
}

fn outgoing(row: &QueryResult) -> Result<(u64, Outgoing), DbErr> {
    let (event, target, record) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?, row.try_get_by_index(3)?);
    Ok((number(row, 0)?, Outgoing { event, target, record }))
}
