//! The statements of the log: few for many rows, and few different ones, so that each is prepared once.

use std::collections::HashMap;

use bytes::Bytes;
use essaim_protocol::log::{Entry, Partition, PartitionCount, Position, Registry, Subscription, Tally};
use essaim_store::own_rows::{OwnQueries, OwnRow};
use sea_orm::{DbBackend, DbErr, Statement, Value};
use serde::Serialize;

use super::state::{NewEntry, PartitionRow};

/// The numbers of rows in one statement, largest first: any number of rows takes a few of these.
const ROWS_AT_ONCE: [usize; 5] = [256, 64, 16, 4, 1];

const FIND: &str = "SELECT count FROM entries WHERE partition = $1 AND position = $2";
const REMOVE: &str = "DELETE FROM entries WHERE partition = $1 AND position = $2";
const READ: &str = "SELECT position, first, count, batch FROM entries WHERE partition = $1 AND position > $2 \
     ORDER BY position LIMIT $3";
const COUNT: &str = "SELECT number, appended, \
     (SELECT coalesce(sum(count), 0) FROM entries WHERE entries.partition = partitions.id), \
     handled, duplicates, dead, expired FROM partitions WHERE capability = $1 ORDER BY number";
const KEEP_PARTITION: &str = "INSERT INTO partitions \
     (id, capability, number, last, appended, waiting, epoch, handled, duplicates, dead, expired) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO UPDATE SET last = excluded.last, \
     appended = excluded.appended, waiting = excluded.waiting, epoch = excluded.epoch, handled = excluded.handled, \
     duplicates = excluded.duplicates, dead = excluded.dead, expired = excluded.expired";
const PARTITIONS: &str = "SELECT id, capability, number, last, appended, waiting, epoch, handled, duplicates, dead, \
     expired FROM partitions";

/// Stores entries.
pub(super) async fn insert(db: &impl OwnQueries, entries: &[NewEntry]) -> Result<(), DbErr> {
    let mut rest = entries;
    while let Some(size) = ROWS_AT_ONCE.into_iter().find(|size| *size <= rest.len()) {
        let (these, others) = rest.split_at(size);
        rest = others;
        let mut sql = String::from("INSERT INTO entries (partition, position, first, count, batch) VALUES (?,?,?,?,?)");
        (1..size).for_each(|_| sql.push_str(",(?,?,?,?,?)"));
        let values = these.iter().flat_map(|e| {
            let numbers = [e.partition, e.position as i64, e.first as i64, e.count.into()].map(Value::from);
            numbers.into_iter().chain([Value::from(e.batch.to_vec())])
        });
        db.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
    }
    Ok(())
}

/// Removes entries by partition and position, and returns the number of messages of each. One after the other: for a list, and for
/// what a change returns, SQLite makes a table each time.
pub(super) async fn remove(db: &impl OwnQueries, positions: &[(i64, u64)]) -> Result<HashMap<(i64, u64), u64>, DbErr> {
    let mut removed = HashMap::with_capacity(positions.len());
    for &(partition, position) in positions {
        let place = || [Value::from(partition), Value::from(position as i64)];
        if let Some(row) = db.own_rows(statement(FIND, place())).await?.first() {
            db.execute_raw(statement(REMOVE, place())).await?;
            removed.insert((partition, position), number(row, 0)?);
        }
    }
    Ok(removed)
}

/// Entries of a partition after a position.
pub(super) async fn read(db: &impl OwnQueries, partition: i64, after: u64, most: u32) -> Result<Vec<Entry>, DbErr> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = db.own_rows(statement(READ, [partition.into(), after.into(), i64::from(most).into()])).await?;
    let entry = |row: &OwnRow| {
        let (position, batch) = (Position(number(row, 0)?, 0), Bytes::from(row.try_get_by_index::<Vec<u8>>(3)?));
        let first = number(row, 1)?;
        let count = Entry::counted(first, number(row, 2)?);
        let (foreign, count) = (count.is_none(), count.unwrap_or(1));
        Ok(Entry { foreign, position, first, count, batch })
    };
    rows.iter().map(entry).collect()
}

/// The counts of a capability's partitions, without owners.
pub(super) async fn count(db: &impl OwnQueries, capability: &str) -> Result<Vec<PartitionCount>, DbErr> {
    let count = |row: &OwnRow| {
        Ok(PartitionCount {
            number: number(row, 0)? as u32,
            appended: number(row, 1)?,
            waiting: number(row, 2)?,
            tally: tally(row, 3)?,
            owner: None,
        })
    };
    db.own_rows(statement(COUNT, [capability.into()])).await?.iter().map(count).collect()
}

/// Stores the counters of partitions.
pub(super) async fn keep_partitions(
    db: &impl OwnQueries,
    partitions: &[(&Partition, &PartitionRow)],
) -> Result<(), DbErr> {
    for (Partition { capability, number }, row) in partitions {
        let Tally { handled, duplicates, dead, expired } = row.tally;
        let counts = [row.last, row.appended, row.waiting, row.epoch, handled, duplicates, dead, expired];
        let [last, appended, waiting, epoch, handled, duplicates, dead, expired] =
            counts.map(|n| Value::from(n as i64));
        let (id, capability, number) = (row.id.into(), capability.to_string().into(), i64::from(*number).into());
        let values = [id, capability, number, last, appended, waiting, epoch, handled, duplicates, dead, expired];
        db.execute_raw(statement(KEEP_PARTITION, values)).await?;
    }
    Ok(())
}

/// The counters of all partitions.
pub(super) async fn partitions(db: &impl OwnQueries) -> Result<Vec<(Partition, PartitionRow)>, DbErr> {
    let partition = |row: &OwnRow| {
        let partition = Partition { capability: text(row, 1)?.into(), number: number(row, 2)? as u32 };
        let row = PartitionRow {
            id: number(row, 0)? as i64,
            last: number(row, 3)?,
            appended: number(row, 4)?,
            loaded: Some(number(row, 4)?),
            waiting: number(row, 5)?,
            parked: 0,
            epoch: number(row, 6)?,
            tally: tally(row, 7)?,
        };
        Ok((partition, row))
    };
    db.own_rows(statement(PARTITIONS, [])).await?.iter().map(partition).collect()
}

/// The identity of the log.
pub(super) async fn identity(db: &impl OwnQueries) -> Result<String, DbErr> {
    let row = db.own_rows(statement("SELECT identity FROM identity", [])).await?;
    row.first().map_or_else(|| Err(DbErr::RecordNotFound("the log has no identity".into())), |row| text(row, 0))
}

/// The whole registry.
pub(super) async fn registry(db: &impl OwnQueries) -> Result<Registry, DbErr> {
    let mut registry = Registry::default();
    for row in db.own_rows(statement("SELECT version FROM registry", [])).await? {
        registry.version = number(&row, 0)?;
    }
    for row in db.own_rows(statement("SELECT name, partitions FROM capabilities", [])).await? {
        registry.partitions.insert(text(&row, 0)?, number(&row, 1)? as u32);
    }
    for row in db.own_rows(statement("SELECT event, capability, how FROM subscriptions", [])).await? {
        let how = serde_json::from_str(&text(&row, 2)?).map_err(broken)?;
        registry.subscriptions.entry(text(&row, 0)?).or_default().insert(text(&row, 1)?, how);
    }
    Ok(registry)
}

/// Stores the version of the registry.
pub(super) async fn keep_version(db: &impl OwnQueries, version: u64) -> Result<(), DbErr> {
    db.execute_raw(statement("UPDATE registry SET version = $1", [(version as i64).into()])).await.map(drop)
}

/// Stores a new capability.
pub(super) async fn keep_capability(db: &impl OwnQueries, name: &str, partitions: u32) -> Result<(), DbErr> {
    let sql = "INSERT INTO capabilities (name, partitions) VALUES ($1, $2)";
    db.execute_raw(statement(sql, [name.into(), i64::from(partitions).into()])).await.map(drop)
}

/// Deletes all rows of a capability.
pub(super) async fn retire(db: &impl OwnQueries, capability: &str) -> Result<(), DbErr> {
    for sql in [
        "DELETE FROM entries WHERE partition IN (SELECT id FROM partitions WHERE capability = $1)",
        "DELETE FROM partitions WHERE capability = $1",
        "DELETE FROM subscriptions WHERE capability = $1",
        "DELETE FROM capabilities WHERE name = $1",
        "DELETE FROM dead_letters WHERE capability = $1",
    ] {
        db.execute_raw(statement(sql, [capability.into()])).await?;
    }
    Ok(())
}

/// Stores a subscription, or its end.
pub(super) async fn keep_subscription(
    db: &impl OwnQueries,
    event: &str,
    capability: &str,
    how: Option<Subscription>,
) -> Result<(), DbErr> {
    let kept = match how {
        Some(how) => statement(
            "INSERT INTO subscriptions (event, capability, how) VALUES ($1, $2, $3) \
             ON CONFLICT (event, capability) DO UPDATE SET how = excluded.how",
            [event.into(), capability.into(), json(&how)?],
        ),
        None => statement(
            "DELETE FROM subscriptions WHERE event = $1 AND capability = $2",
            [event.into(), capability.into()],
        ),
    };
    db.execute_raw(kept).await.map(drop)
}

pub(super) fn statement<const N: usize>(sql: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

pub(super) fn json(rows: &impl Serialize) -> Result<Value, DbErr> {
    serde_json::to_string(rows).map(Value::from).map_err(broken)
}

fn broken(error: serde_json::Error) -> DbErr {
    DbErr::Json(error.to_string())
}

pub(super) fn text(row: &OwnRow, column: usize) -> Result<String, DbErr> {
    row.try_get_by_index(column)
}

/// A column that was written as a number without a sign.
pub(super) fn number(row: &OwnRow, column: usize) -> Result<u64, DbErr> {
    row.try_get_by_index::<i64>(column).map(|n| n as u64)
}

fn tally(row: &OwnRow, column: usize) -> Result<Tally, DbErr> {
    Ok(Tally {
        handled: number(row, column)?,
        duplicates: number(row, column + 1)?,
        dead: number(row, column + 2)?,
        expired: number(row, column + 3)?,
    })
}
