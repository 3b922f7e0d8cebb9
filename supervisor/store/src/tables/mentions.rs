//! What is kept of a subject, such as a user: records that have its id as key, as principal, or as a text anywhere in their payload.
//!
//! A record is searched as it is stored, for the text with the length that MessagePack writes before it: so it is found at any
//! depth, and not as a part of a longer text.

use std::collections::BTreeMap;

use essaim_base::codec;
use sea_orm::{DbBackend, DbErr, Value};

use super::{int, number, rows, run};
use crate::own_rows::{OwnQueries, OwnRow};

/// Where a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptIn {
    /// Dead letters.
    Dead,
    /// Messages that wait for another attempt or for their time.
    Parked,
    /// Events for later subscribers.
    Retained,
    /// Messages that are to be stored in the log.
    Outbox,
}

/// A record that mentions the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// The id of a dead letter or a parked message; else the queue.
    pub row: String,
    /// The encoded record.
    pub record: Vec<u8>,
}

/// A subject that is searched for.
#[derive(Debug, Clone)]
pub struct Subject {
    text: String,
    encoded: Vec<u8>,
}

impl Subject {
    pub fn of(text: &str) -> Self {
        // Encoding a text cannot fail; one that could not be encoded would be in no record.
        Self { text: text.into(), encoded: codec::encode(&text).unwrap_or_else(|_| text.as_bytes().to_vec()) }
    }

    /// Whether an encoded record, or a batch of them, mentions it.
    pub fn is_in(&self, record: &[u8]) -> bool {
        record.windows(self.encoded.len()).any(|part| part == self.encoded)
    }

    /// As people write it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As it is in records.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    fn values(&self) -> [Value; 2] {
        [Value::from(self.text.as_str()), Value::from(self.encoded.clone())]
    }
}

impl KeptIn {
    /// The table, the column that names a row, and whether it has the key beside the record.
    fn table(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Dead => ("essaim_dead", "id", true),
            Self::Parked => ("essaim_parked", "id", true),
            Self::Retained => ("essaim_kept", "lane", false),
            Self::Outbox => ("essaim_outbox", "lane", false),
        }
    }

    /// Whether a row mentions the subject: `$1` is its text, `$2` the encoded one.
    fn mentions(self, backend: DbBackend) -> String {
        let (_, _, has_key) = self.table();
        let record = match backend {
            DbBackend::Postgres => "position($2 in record) > 0",
            _ => "instr(record, $2) > 0",
        };
        // Both values are used in any case: one that no statement has is refused.
        if has_key { format!("(order_key = $1 OR {record})") } else { format!("($1 = '' OR {record})") }
    }
}

/// The rows that mention a subject, at most so many.
pub async fn find(db: &impl OwnQueries, kept: KeptIn, subject: &Subject, most: u32) -> Result<Vec<Mention>, DbErr> {
    let ((table, row, _), mentions) = (kept.table(), kept.mentions(db.get_database_backend()));
    let sql = format!("SELECT {row}, record FROM {table} WHERE {mentions} ORDER BY {row} LIMIT $3");
    let mention = |row: &OwnRow| Ok(Mention { row: row.try_get_by_index(0)?, record: row.try_get_by_index(1)? });
    let [text, encoded] = subject.values();
    rows(db, &sql, [text, encoded, int(most)], mention).await
}

/// Forgets retained events that mention a subject; returns how many. Who subscribes later does not get them.
pub async fn erase_retained(db: &impl OwnQueries, subject: &Subject) -> Result<u64, DbErr> {
    let mentions = KeptIn::Retained.mentions(db.get_database_backend());
    run(db, &format!("DELETE FROM essaim_kept WHERE {mentions}"), subject.values()).await
}

/// Forgets parked messages that mention a subject, and counts them as dead in the ledger; returns how many. An attempt that is
/// under way finds at its commit that its message is gone, and has no effect.
pub async fn erase_parked(db: &impl OwnQueries, subject: &Subject) -> Result<u64, DbErr> {
    let mentions = KeptIn::Parked.mentions(db.get_database_backend());
    let sql = format!("DELETE FROM essaim_parked WHERE {mentions} RETURNING partition");
    let gone: Vec<u32> = rows(db, &sql, subject.values(), |row| number(row, 0)).await?;
    let mut by_partition: BTreeMap<u32, u32> = BTreeMap::new();
    for partition in &gone {
        *by_partition.entry(*partition).or_default() += 1;
    }
    for (partition, dead) in by_partition {
        let count = "UPDATE essaim_fence SET dead = dead + $1 WHERE partition = $2";
        run(db, count, [int(dead), int(partition)]).await?;
    }
    Ok(gone.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_found_at_any_depth_and_not_as_a_part_of_another() {
        let record = codec::encode(&[("key", vec!["user-1", "another"])]).unwrap();
        for (text, found) in [("user-1", true), ("another", true), ("user", false), ("user-12", false), ("", false)] {
            assert_eq!(Subject::of(text).is_in(&record), found, "{text}");
        }
    }
}
