//! The inbox: the messages that were applied, by id.
//!
//! An id comes again in two ways. With the offset that it had, the log delivers the same message again: its transaction
//! was committed, its acknowledgement was not. With another offset a sender has stored the message again, or it was
//! taken along to another log: a duplicate, which is remembered too and counted once.
//!
//! Of the rows of an id at most one stands for its effect, by a unique index: the row of the copy that was applied, or that is
//! parked and has not been given up. Rows of duplicates, of dead letters and of the requests of operators stand for none; a
//! dead letter that is replayed has the effect of its replay.

use std::collections::HashMap;

use essaim_contract::MessageId;
use sea_orm::{DbBackend, DbErr, Statement, Value};

use super::bulk::{self, Padding};
use super::{int, number, row, run, statement};
use crate::own_rows::OwnQueries;

/// A row of the inbox: a message that was applied, or found to be a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxMark<'a> {
    pub id: &'a str,
    /// Its offset in its partition of its log; offsets of different logs differ.
    pub offset: u64,
    /// From when the age of the id counts: the later of the time that it carries and of now.
    pub at_ms: u64,
    /// Whether it stands for the effect of its id.
    pub effect: bool,
}

pub(super) const INTO: &str = "essaim_inbox (id, msg_offset, at_ms, effect)";

/// A mark stays as it is, and so does the one effect of an id.
pub(super) const ONCE: &str = "ON CONFLICT DO NOTHING";

/// From when the age of an id counts: the later of the time that it carries and of now, at most `most_ahead_ms` ahead.
pub fn remembered_from(id: &str, now_ms: u64, most_ahead_ms: u64) -> u64 {
    MessageId::parse(id).map_or(0, |id| id.time_ms()).clamp(now_ms, now_ms.saturating_add(most_ahead_ms))
}

/// Which of these ids are in the inbox, and with what offsets.
pub async fn seen(db: &impl OwnQueries, ids: &[&str]) -> Result<HashMap<String, Vec<u64>>, DbErr> {
    let mut seen: HashMap<String, Vec<u64>> = HashMap::new();
    for (list, values) in bulk::pieces(ids, 1, Padding::Repeat, |id| [Value::from(*id)]) {
        let sql = format!("SELECT id, msg_offset FROM essaim_inbox WHERE id IN ({list}) ORDER BY id, msg_offset");
        for row in db.own_rows(statement(db, sql, values)).await? {
            let (id, offset) = (row.try_get_by_index(0)?, number(&row, 1)?);
            let offsets = seen.entry(id).or_default();
            // An id that stands in two pieces was found twice.
            if !offsets.contains(&offset) {
                offsets.push(offset);
            }
        }
    }
    Ok(seen)
}

/// Adds marks; returns how many. One is left out whose offset is marked already, or that is to stand for an effect which its id
/// has already. It waits for the end of other open transactions that may have that effect.
pub async fn insert(db: &impl OwnQueries, marks: &[InboxMark<'_>]) -> Result<u64, DbErr> {
    bulk::insert(db, INTO, marks, ONCE, row_of).await
}

/// A mark in the order of the columns.
pub(super) fn row_of(mark: &InboxMark<'_>) -> [Value; 4] {
    [Value::from(mark.id), int(mark.offset), int(mark.at_ms), Value::from(mark.effect)]
}

/// The statements of [`insert`], and how many rows each adds if nothing is left out.
pub(super) fn inserting(backend: DbBackend, marks: &[InboxMark<'_>]) -> impl Iterator<Item = (Statement, u64)> {
    let statements = bulk::inserting(backend, INTO, marks, ONCE, row_of);
    statements.zip(marks.chunks(bulk::LARGEST).map(|chunk| chunk.len() as u64))
}

/// Takes the effect from an id: its replay may have one.
pub async fn release(db: &impl OwnQueries, id: &str) -> Result<(), DbErr> {
    run(db, "UPDATE essaim_inbox SET effect = FALSE WHERE id = $1 AND effect", [Value::from(id)]).await.map(drop)
}

/// The number of rows. They are counted one by one: for a start, not for every message.
pub async fn count(db: &impl OwnQueries) -> Result<u64, DbErr> {
    let count = row(db, "SELECT count(*) FROM essaim_inbox", [], |row| number(row, 0)).await?;
    Ok(count.unwrap_or(0))
}

/// Removes the oldest rows from before that moment, at most `most`; returns how many.
pub async fn prune(db: &impl OwnQueries, before_ms: u64, most: u32) -> Result<u64, DbErr> {
    let sql = "DELETE FROM essaim_inbox WHERE (id, msg_offset) IN \
               (SELECT id, msg_offset FROM essaim_inbox WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";
    run(db, sql, [int(before_ms), int(most)]).await
}
