//! Adding records, and removing those that are too old or too many.

use essaim_base::codec;
use essaim_store::tables::mentions::Subject;
use essaim_trace::{Cursor, MessageRecord};
use sea_orm::sqlx::{Error, QueryBuilder, Row, Sqlite, SqliteConnection, query};

/// Rows of one statement: SQLite takes 32,766 values.
const ROWS_AT_ONCE: usize = 250;
/// Rows that one transaction removes because they are too old.
const OLD_AT_ONCE: i64 = 5_000;
/// The part of the stored records that goes when there is no room.
const SHARE_REMOVED: i64 = 64;
/// Removals for one page, at most.
const MOST_REMOVALS: usize = 256;
/// What a record takes in the tables beside its bytes, about: its row, four indexes and half-filled pages.
const ROW_BYTES: i64 = 300;
/// Pages that are given back to the disk at a time.
const RETURNED_PAGES: &str = "PRAGMA incremental_vacuum(1000)";

/// How many records mention a subject.
pub async fn count_of(connection: &mut SqliteConnection, subject: &Subject) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM records WHERE key = ? OR instr(record, ?) > 0";
    let row = query(sql).bind(subject.text()).bind(subject.encoded()).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// Erases the records that mention a subject.
pub async fn erase(connection: &mut SqliteConnection, subject: &Subject) -> Result<u64, Error> {
    let sql = "DELETE FROM records WHERE key = ? OR instr(record, ?) > 0";
    let done = query(sql).bind(subject.text()).bind(subject.encoded()).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Empties the journal into the file.
pub async fn settle(connection: &mut SqliteConnection) -> Result<(), Error> {
    query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await.map(drop)
}

/// A record as it is stored.
pub struct StoredRow {
    trace: Vec<u8>,
    message: Option<String>,
    key: Option<String>,
    at_us: i64,
    record: Vec<u8>,
}

impl StoredRow {
    /// The row of a record; `None` if it cannot be encoded, which no record is known to do.
    pub fn of(record: &MessageRecord) -> Option<Self> {
        Some(Self {
            trace: record.trace_id.0.to_be_bytes().to_vec(),
            message: record.message_id.as_ref().map(ToString::to_string),
            key: record.key.as_ref().map(ToString::to_string),
            at_us: i64::try_from(record.at_us).unwrap_or(i64::MAX),
            record: codec::encode(record).ok()?,
        })
    }

    fn bytes(&self) -> i64 {
        let texts = [&self.message, &self.key].into_iter().flatten().map(|text| 2 * text.len()).sum::<usize>();
        ROW_BYTES + (self.record.len() + texts) as i64
    }
}

/// Adds a page of a node, in one transaction with where its next one begins.
pub async fn add(
    connection: &mut SqliteConnection,
    (node, next): (&str, &Cursor),
    rows: Vec<StoredRow>,
    now_ms: i64,
    most_bytes: i64,
) -> Result<(), Error> {
    let cursor = codec::encode(next).map_err(|error| Error::Encode(Box::new(error)))?;
    query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    make_room(connection, rows.iter().map(StoredRow::bytes).sum(), most_bytes).await?;
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO records (trace, message, key, at_us, gathered_ms, record) ");
        insert.push_values(rows.by_ref().take(ROWS_AT_ONCE), |mut values, row| {
            values.push_bind(row.trace).push_bind(row.message).push_bind(row.key).push_bind(row.at_us);
            values.push_bind(now_ms).push_bind(row.record);
        });
        insert.build().execute(&mut *connection).await?;
    }
    let upsert = "INSERT INTO cursors (node, gathered_ms, cursor) VALUES (?, ?, ?)
        ON CONFLICT (node) DO UPDATE SET gathered_ms = excluded.gathered_ms, cursor = excluded.cursor";
    query(upsert).bind(node).bind(now_ms).bind(cursor).execute(&mut *connection).await?;
    query("COMMIT").execute(connection).await.map(drop)
}

/// Removes what was gathered before a moment, and gives pages back if the file is larger than it may be, which it is if the
/// bound was lowered.
pub async fn tidy(connection: &mut SqliteConnection, before_ms: i64, most_bytes: i64) -> Result<(), Error> {
    let oldest = query("SELECT gathered_ms FROM records ORDER BY id LIMIT 1").fetch_optional(&mut *connection).await?;
    let oldest: Option<i64> = oldest.map(|row| row.try_get(0)).transpose()?;
    if oldest.is_some_and(|oldest| oldest < before_ms) {
        let remove = "DELETE FROM records WHERE gathered_ms < ? AND id IN (SELECT id FROM records ORDER BY id LIMIT ?)";
        query(remove).bind(before_ms).bind(OLD_AT_ONCE).execute(&mut *connection).await?;
    }
    if pages(connection, "PRAGMA page_count").await? * page_bytes(connection).await? > most_bytes {
        query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        make_room(connection, 0, most_bytes).await?;
        query("COMMIT").execute(&mut *connection).await?;
        query(RETURNED_PAGES).fetch_all(connection).await?;
    }
    Ok(())
}

/// Removes the oldest records until so many bytes more have room. Their pages are used again, so that the file does not grow.
async fn make_room(connection: &mut SqliteConnection, bytes: i64, most_bytes: i64) -> Result<(), Error> {
    let page_bytes = page_bytes(connection).await?;
    for _ in 0..MOST_REMOVALS {
        let used = pages(connection, "PRAGMA page_count").await? - pages(connection, "PRAGMA freelist_count").await?;
        if used * page_bytes + bytes <= most_bytes {
            return Ok(());
        }
        let remove = "DELETE FROM records WHERE id <= (SELECT min(id) + (max(id) - min(id)) / ? FROM records)";
        let removed = query(remove).bind(SHARE_REMOVED).execute(&mut *connection).await?;
        if removed.rows_affected() == 0 {
            return Ok(());
        }
    }
    Ok(())
}

async fn page_bytes(connection: &mut SqliteConnection) -> Result<i64, Error> {
    pages(connection, "PRAGMA page_size").await
}

async fn pages(connection: &mut SqliteConnection, pragma: &'static str) -> Result<i64, Error> {
    query(pragma).fetch_one(connection).await?.try_get(0)
}
