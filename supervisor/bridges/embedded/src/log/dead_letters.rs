//! The statements of dead letters: those of capabilities without a database.

use std::sync::Arc;

use bytes::Bytes;
use essaim_protocol::log::DeadLetterPage;
use essaim_store::own_rows::{OwnQueries, OwnRow};
use sea_orm::{DbErr, Value};

use super::rows::{json, number, statement, text};

/// Stores a dead letter; one that has died again replaces itself.
pub(super) async fn keep(
    db: &impl OwnQueries,
    (capability, id, letter): &(Arc<str>, String, Bytes),
) -> Result<(), DbErr> {
    let sql = "INSERT INTO dead_letters (capability, id, letter) VALUES ($1, $2, $3) \
               ON CONFLICT (capability, id) DO UPDATE SET letter = excluded.letter";
    let values = [Value::from(capability.to_string()), id.as_str().into(), letter.to_vec().into()];
    db.execute_raw(statement(sql, values)).await.map(drop)
}

/// The number of a capability's dead letters.
pub(super) async fn count(db: &impl OwnQueries, capability: &str) -> Result<u64, DbErr> {
    let sql = "SELECT count(*) FROM dead_letters WHERE capability = $1";
    let rows = db.own_rows(statement(sql, [capability.into()])).await?;
    rows.first().map_or(Ok(0), |row| number(row, 0))
}

/// A page of a capability's dead letters, behind an id.
pub(super) async fn page(
    db: &impl OwnQueries,
    capability: &str,
    behind: Option<&str>,
    most: u32,
) -> Result<DeadLetterPage, DbErr> {
    let sql = "SELECT id, letter FROM dead_letters WHERE capability = $1 AND id > $2 ORDER BY id LIMIT $3";
    let values = [capability.into(), behind.unwrap_or_default().into(), i64::from(most).into()];
    let rows = db.own_rows(statement(sql, values)).await?;
    let letters = rows.iter().map(letter).collect::<Result<Vec<_>, _>>()?;
    let is_last = letters.len() < most as usize;
    let next = letters.last().filter(|_| !is_last).map(|(id, _)| id.clone());
    Ok(DeadLetterPage { letters, next })
}

/// The dead letters with these ids.
pub(super) async fn with(
    db: &impl OwnQueries,
    capability: &str,
    ids: &[String],
) -> Result<Vec<(String, Bytes)>, DbErr> {
    let sql = "SELECT id, letter FROM dead_letters \
               WHERE capability = $1 AND id IN (SELECT value FROM json_each($2)) ORDER BY id";
    db.own_rows(statement(sql, [capability.into(), json(&ids)?])).await?.iter().map(letter).collect()
}

/// Deletes the dead letters that are unchanged, and returns their number.
pub(super) async fn forget(db: &impl OwnQueries, capability: &str, letters: &[(String, Bytes)]) -> Result<u64, DbErr> {
    let sql = "DELETE FROM dead_letters WHERE capability = $1 AND id = $2 AND letter = $3";
    let mut forgotten = 0;
    for (id, letter) in letters {
        let values = [capability.into(), id.as_str().into(), letter.to_vec().into()];
        forgotten += db.execute_raw(statement(sql, values)).await?.rows_affected();
    }
    Ok(forgotten)
}

fn letter(row: &OwnRow) -> Result<(String, Bytes), DbErr> {
    Ok((text(row, 0)?, Bytes::from(row.try_get_by_index::<Vec<u8>>(1)?)))
}
