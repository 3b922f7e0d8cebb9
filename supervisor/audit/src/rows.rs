//! All SQL on the table.

use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{Error, QueryBuilder, Row, Sqlite, SqliteConnection, query};

use crate::entry::{ActEnd, Asker, AuditEntry, AuditQuestion, EndKind, kept};

/// Acts that are removed at a time since they are too old.
const OLD_AT_ONCE: i64 = 5_000;
/// The part of the acts that goes when there is no room.
const SHARE_REMOVED: i64 = 64;
/// Removals for one act, at most.
const MOST_REMOVALS: usize = 256;

/// Writes that somebody is about to do something, and returns its number.
pub async fn add(connection: &mut SqliteConnection, asker: &Asker, act: &str, at_ms: u64) -> Result<u64, Error> {
    let insert = "INSERT INTO acts (at_ms, who, via, origin, act) VALUES (?, ?, ?, ?, ?)";
    let Asker { who, via, origin } = asker;
    let insert = query(insert).bind(signed(at_ms)).bind(kept(who)).bind(kept(via)).bind(kept(origin)).bind(kept(act));
    Ok(insert.execute(connection).await?.last_insert_rowid() as u64)
}

/// Writes how it ended.
pub async fn end(connection: &mut SqliteConnection, id: u64, end: &ActEnd, at_ms: u64) -> Result<(), Error> {
    let update = query("UPDATE acts SET ended_ms = ?, ended = ?, detail = ? WHERE id = ?");
    let update = update.bind(signed(at_ms)).bind(end.kind.as_str()).bind(kept(&end.detail)).bind(signed(id));
    update.execute(connection).await.map(drop)
}

/// Removes acts from before a moment, and the oldest until the file is not larger than it may be. Returns whether acts went
/// for want of room.
pub async fn tidy(connection: &mut SqliteConnection, before_ms: u64, most_bytes: u64) -> Result<bool, Error> {
    let old = "DELETE FROM acts WHERE id IN (SELECT id FROM acts WHERE at_ms < ? ORDER BY at_ms LIMIT ?)";
    query(old).bind(signed(before_ms)).bind(OLD_AT_ONCE).execute(&mut *connection).await?;
    let page_bytes = number(connection, "PRAGMA page_size").await?;
    let mut was_full = false;
    for _ in 0..MOST_REMOVALS {
        let used = number(connection, "PRAGMA page_count").await? - number(connection, "PRAGMA freelist_count").await?;
        if used * page_bytes <= signed(most_bytes) {
            break;
        }
        let oldest = "DELETE FROM acts WHERE id <= (SELECT min(id) + (max(id) - min(id)) / ? FROM acts)";
        if query(oldest).bind(SHARE_REMOVED).execute(&mut *connection).await?.rows_affected() == 0 {
            break;
        }
        was_full = true;
    }
    Ok(was_full)
}

/// The latest acts that a question asks for, the latest first.
pub async fn list(connection: &mut SqliteConnection, node: &str, q: &AuditQuestion) -> Result<Vec<AuditEntry>, Error> {
    let mut select =
        QueryBuilder::<Sqlite>::new("SELECT id, at_ms, who, via, origin, act, ended, detail FROM acts WHERE at_ms >= ");
    select.push_bind(signed(q.since_ms));
    if let Some(who) = &q.who {
        select.push(" AND who = ").push_bind(who.clone());
    }
    if let Some(what) = &q.what {
        select.push(" AND instr(lower(act), lower(").push_bind(what.clone()).push(")) > 0");
    }
    if let Some(before) = &q.before {
        // Those of one moment are in the order of their nodes' names, then of their numbers.
        let first_of_moment = match node.cmp(&*before.node) {
            std::cmp::Ordering::Less => u64::MAX,
            std::cmp::Ordering::Equal => before.id,
            std::cmp::Ordering::Greater => 0,
        };
        select.push(" AND (at_ms, id) < (").push_bind(signed(before.at_ms)).push(", ");
        select.push_bind(signed(first_of_moment)).push(")");
    }
    select.push(" ORDER BY at_ms DESC, id DESC LIMIT ").push_bind(i64::from(q.most));
    let rows = select.build().fetch_all(connection).await?;
    rows.iter().map(|row| entry(node, row)).collect()
}

fn entry(node: &str, row: &SqliteRow) -> Result<AuditEntry, Error> {
    let (id, at_ms): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let asker = Asker { who: row.try_get(2)?, via: row.try_get(3)?, origin: row.try_get(4)? };
    let (ended, detail): (Option<String>, Option<String>) = (row.try_get(6)?, row.try_get(7)?);
    let kind = ended.as_deref().and_then(EndKind::parse);
    let end = kind.map(|kind| ActEnd { kind, detail: detail.unwrap_or_default() });
    Ok(AuditEntry { node: node.into(), id: id as u64, at_ms: at_ms as u64, asker, act: row.try_get(5)?, end })
}

async fn number(connection: &mut SqliteConnection, pragma: &'static str) -> Result<i64, Error> {
    query(pragma).fetch_one(connection).await?.try_get(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
