//! The stored records that a filter takes, page by page in the order in which they were gathered.

use std::collections::BTreeMap;

use essaim_base::codec;
use essaim_trace::{Cursor, Filter, MessageRecord, TraceId};
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{Error, QueryBuilder, Row, Sqlite, SqliteConnection, query};
use serde::{Deserialize, Serialize};

use crate::file::read_cursors;

/// Rows that one statement reads.
const ROWS_AT_ONCE: u32 = 1_000;
/// Statements for one page: a page may be empty although there are more records behind it.
const STATEMENTS: usize = 10;

/// Which stored records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredQuestion {
    pub filter: Filter,
    /// The place behind which the page begins; 0: the beginning.
    pub after: u64,
    /// At most so many records.
    pub most: u32,
}

/// Some stored records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredPage {
    /// In the order in which they were gathered.
    pub records: Vec<MessageRecord>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<u64>,
    /// Behind the last page: where the records of each node begin that were not gathered when it was read.
    pub cursors: BTreeMap<String, Cursor>,
}

/// Reads a page, in one transaction, so that what is not in it is behind its cursors.
pub async fn page(
    connection: &mut SqliteConnection,
    question: &StoredQuestion,
    now_us: u64,
    most_bytes: usize,
) -> Result<StoredPage, Error> {
    query("BEGIN").execute(&mut *connection).await?;
    let mut page = StoredPage::default();
    let mut after = begin(connection, question, now_us).await?;
    let mut bytes = 0;
    for _ in 0..STATEMENTS {
        let rows = rows(connection, &question.filter, after, now_us).await?;
        let is_last = rows.len() < ROWS_AT_ONCE as usize;
        page.next = Some(after as u64);
        for row in rows {
            let (id, record): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            // One that cannot be read is of another version: it is passed over.
            let taken = codec::decode::<MessageRecord>(&record).ok();
            if let Some(taken) = taken.filter(|taken| question.filter.takes_at(taken, now_us)) {
                let is_full = page.records.len() as u32 >= question.most || bytes + record.len() > most_bytes;
                if is_full && !page.records.is_empty() {
                    query("COMMIT").execute(connection).await?;
                    return Ok(page);
                }
                bytes += record.len();
                page.records.push(taken);
            }
            after = id;
            page.next = Some(id as u64);
        }
        if is_last {
            page.next = None;
            page.cursors = read_cursors(connection).await?;
            break;
        }
    }
    query("COMMIT").execute(connection).await?;
    Ok(page)
}

/// Where to begin, so that what is older than the filter takes need not be read.
async fn begin(connection: &mut SqliteConnection, question: &StoredQuestion, now_us: u64) -> Result<i64, Error> {
    let (after, since_us) = (signed(question.after), question.filter.since_us(now_us));
    if since_us == 0 {
        return Ok(after);
    }
    let first = query("SELECT min(id) FROM records INDEXED BY records_at WHERE at_us >= ?")
        .bind(signed(since_us))
        .fetch_one(connection)
        .await?;
    let first: Option<i64> = first.try_get(0)?;
    Ok(after.max(first.map_or(i64::MAX - 1, |first| first - 1)))
}

/// The next rows, by the index of what the filter wants.
async fn rows(
    connection: &mut SqliteConnection,
    filter: &Filter,
    after: i64,
    now_us: u64,
) -> Result<Vec<SqliteRow>, Error> {
    let mut select = QueryBuilder::<Sqlite>::new("SELECT id, record FROM records WHERE id > ");
    select.push_bind(after);
    if let Some(trace) = filter.wanted("trace").and_then(TraceId::parse) {
        select.push(" AND trace = ").push_bind(trace.0.to_be_bytes().to_vec());
    } else if let Some(id) = filter.wanted("id").filter(|id| !id.is_empty()) {
        select.push(" AND message = ").push_bind(id.to_string());
    } else if let Some(key) = filter.wanted("key").filter(|key| !key.is_empty()) {
        select.push(" AND key = ").push_bind(key.to_string());
    }
    let since_us = filter.since_us(now_us);
    if since_us > 0 {
        // Without its index, which would not give them in their order.
        select.push(" AND +at_us >= ").push_bind(signed(since_us));
    }
    select.push(" ORDER BY id LIMIT ").push_bind(i64::from(ROWS_AT_ONCE));
    select.build().fetch_all(connection).await
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
