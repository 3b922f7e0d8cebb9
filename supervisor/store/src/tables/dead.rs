//! Dead letters: messages that are not tried any more, until an operator replays or drops them.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{DbErr, Value};
use serde::{Deserialize, Serialize};

use super::bulk::{self, Padding};
use super::{int, number, rows, statement, words};
use crate::own_rows::{OwnQueries, OwnRow};

/// One dead letter. Of an event there may be one for each subscriber, so it is known by its id and its capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's id.
    pub id: String,
    /// Whose message it was: another's in the database of a publisher.
    pub capability: String,
    pub partition: u32,
    /// The key that orders it.
    pub order_key: String,
    /// Whether it has a key.
    pub ordered: bool,
    /// The message's wire name; empty if it cannot be read.
    pub name: String,
    pub reason: DeadReason,
    /// Failed attempts.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The W3C trace context of the span that sent it.
    pub trace: String,
    /// When it was first seen.
    pub first_at_ms: u64,
    pub dead_at_ms: u64,
    /// Later messages of its key wait until it is replayed or dropped.
    pub held: bool,
    /// The encoded record, as far as it can be read.
    pub record: Vec<u8>,
}

impl DeadLetter {
    /// The dead letter of bytes that are no message: it has no key, and nothing is known of when it was sent.
    pub fn unreadable(id: String, capability: &str, why: String, bytes: Vec<u8>) -> Self {
        Self {
            order_key: id.clone(),
            id,
            capability: capability.into(),
            partition: 0,
            ordered: false,
            name: String::new(),
            reason: DeadReason::Unreadable,
            attempts: 0,
            error: Some(why),
            trace: String::new(),
            first_at_ms: 0,
            dead_at_ms: 0,
            held: false,
            record: bytes,
        }
    }
}

/// Why a message is dead. Binaries that run side by side share these words: one that does not know a word lists no dead letters
/// while there is one of it, and raising `min_compatible` for one would keep it from starting at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// Its handler said no.
    Rejected,
    /// Its attempts are used up.
    Attempts,
    /// It was not handled before it expired, and says that it is to be kept then.
    Expired,
    /// It is older than what the inbox remembers: whether it was applied is not known.
    TooOld,
    /// Its id is from further ahead than clocks may be apart: it would have to be remembered until that time has come.
    TooNew,
    /// Its bytes are no message.
    Unreadable,
    /// No handler here takes its kind.
    Unsupported,
    /// Its subscriber had no room for it.
    Full,
}

impl DeadReason {
    pub const ALL: [Self; 8] = [
        Self::Rejected,
        Self::Attempts,
        Self::Expired,
        Self::TooOld,
        Self::TooNew,
        Self::Unreadable,
        Self::Unsupported,
        Self::Full,
    ];

    /// The word for it, as tables and wires have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Attempts => "attempts",
            Self::Expired => "expired",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::Full => "full",
        }
    }

    /// The reason with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// Where a dead letter is in the list of all: by the time of its death, then by id and capability.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterCursor {
    pub dead_at_ms: u64,
    pub id: String,
    pub capability: String,
}

/// Which dead letters are listed.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Whose message it was.
    pub capability: Option<String>,
    pub reason: Option<DeadReason>,
    /// The message's wire name.
    pub name: Option<String>,
    /// Those that died at this moment or before.
    pub until_ms: Option<u64>,
    /// Those after this one, whether it is still there or not.
    pub after: Option<DeadLetterCursor>,
    /// At most so many.
    pub most: u32,
}

impl DeadLetter {
    /// Its place in the list.
    pub fn cursor(&self) -> DeadLetterCursor {
        DeadLetterCursor { dead_at_ms: self.dead_at_ms, id: self.id.clone(), capability: self.capability.clone() }
    }
}

const COLUMNS: &str = "id, capability, partition, order_key, ordered, name, reason, attempts, error, trace, \
                       first_at_ms, dead_at_ms, held, record";

const REPLACE: &str = "ON CONFLICT (id, capability) DO UPDATE SET partition = excluded.partition, \
    order_key = excluded.order_key, ordered = excluded.ordered, name = excluded.name, reason = excluded.reason, \
    attempts = excluded.attempts, error = excluded.error, trace = excluded.trace, first_at_ms = excluded.first_at_ms, \
    dead_at_ms = excluded.dead_at_ms, held = excluded.held, record = excluded.record";

/// Adds dead letters; one that dies again replaces its row.
pub async fn bury(db: &impl OwnQueries, letters: &[DeadLetter]) -> Result<(), DbErr> {
    // One statement must not replace a row twice, so of a message that stands here twice the last one counts.
    let mut last = HashMap::with_capacity(letters.len());
    for (index, letter) in letters.iter().enumerate() {
        last.insert((letter.id.as_str(), letter.capability.as_str()), index);
    }
    let mut places: Vec<usize> = last.into_values().collect();
    places.sort_unstable();
    let letters: Vec<&DeadLetter> = places.into_iter().map(|index| &letters[index]).collect();
    bulk::insert(db, &format!("essaim_dead ({COLUMNS})"), &letters, REPLACE, |l| {
        [
            Value::from(l.id.as_str()),
            Value::from(l.capability.as_str()),
            int(l.partition),
            Value::from(l.order_key.as_str()),
            Value::from(l.ordered),
            Value::from(l.name.as_str()),
            Value::from(l.reason.as_str()),
            int(l.attempts),
            l.error.as_deref().map_or(Value::String(None), words),
            words(&l.trace),
            int(l.first_at_ms),
            int(l.dead_at_ms),
            Value::from(l.held),
            Value::from(l.record.clone()),
        ]
    })
    .await
    .map(drop)
}

/// Dead letters in the order of their deaths, the newest last.
pub async fn list(db: &impl OwnQueries, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, DbErr> {
    let (mut conditions, mut values) = (String::from("true"), Vec::new());
    let mut add = |condition: &str, value: Option<Value>| {
        let Some(value) = value else { return };
        values.push(value);
        conditions.push_str(&format!(" AND {condition} ${}", values.len()));
    };
    add("capability =", filter.capability.as_deref().map(Value::from));
    add("reason =", filter.reason.map(|reason| Value::from(reason.as_str())));
    add("name =", filter.name.as_deref().map(Value::from));
    add("dead_at_ms <=", filter.until_ms.map(int));
    if let Some(DeadLetterCursor { dead_at_ms, id, capability }) = &filter.after {
        let n = values.len();
        values.extend([int(*dead_at_ms), Value::from(id.as_str()), Value::from(capability.as_str())]);
        conditions.push_str(&format!(" AND (dead_at_ms, id, capability) > (${}, ${}, ${})", n + 1, n + 2, n + 3));
    }
    values.push(int(filter.most));
    let sql = format!(
        "SELECT {COLUMNS} FROM essaim_dead WHERE {conditions} ORDER BY dead_at_ms, id, capability LIMIT ${}",
        values.len()
    );
    db.own_rows(statement(db, sql, values)).await?.iter().map(letter).collect()
}

/// The dead letters with this message id, of one capability each.
pub async fn find(db: &impl OwnQueries, id: &str) -> Result<Vec<DeadLetter>, DbErr> {
    let sql = format!("SELECT {COLUMNS} FROM essaim_dead WHERE id = $1 ORDER BY capability");
    rows(db, &sql, [Value::from(id)], letter).await
}

/// Removes dead letters, by id and capability; how many were there.
pub async fn remove(db: &impl OwnQueries, letters: &[(&str, &str)]) -> Result<u64, DbErr> {
    let mut removed = 0;
    let values = |(id, capability): &(&str, &str)| [Value::from(*id), Value::from(*capability)];
    for (tuples, values) in bulk::pieces(letters, 1, Padding::Repeat, values) {
        let sql = format!("DELETE FROM essaim_dead WHERE (id, capability) IN (VALUES {tuples})");
        removed += db.execute_raw(statement(db, sql, values)).await?.rows_affected();
    }
    Ok(removed)
}

/// The keys of a partition that wait until a dead letter of this capability is replayed or dropped.
pub async fn held_keys(db: &impl OwnQueries, capability: &str, partition: u32) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT DISTINCT order_key FROM essaim_dead WHERE partition = $1 AND held AND capability = $2 \
               ORDER BY order_key";
    rows(db, sql, [int(partition), Value::from(capability)], |row| row.try_get_by_index(0)).await
}

/// How many there are, by reason.
pub async fn count(db: &impl OwnQueries) -> Result<BTreeMap<DeadReason, u64>, DbErr> {
    let sql = "SELECT reason, count(*) FROM essaim_dead GROUP BY reason";
    let counts = rows(db, sql, [], |row| Ok((reason(row, 0)?, number(row, 1)?))).await?;
    Ok(counts.into_iter().collect())
}

fn letter(row: &OwnRow) -> Result<DeadLetter, DbErr> {
    Ok(DeadLetter {
        id: row.try_get_by_index(0)?,
        capability: row.try_get_by_index(1)?,
        partition: number(row, 2)?,
        order_key: row.try_get_by_index(3)?,
        ordered: row.try_get_by_index(4)?,
        name: row.try_get_by_index(5)?,
        reason: reason(row, 6)?,
        attempts: number(row, 7)?,
        error: row.try_get_by_index(8)?,
        trace: row.try_get_by_index(9)?,
        first_at_ms: number(row, 10)?,
        dead_at_ms: number(row, 11)?,
        held: row.try_get_by_index(12)?,
        record: row.try_get_by_index(13)?,
    })
}

fn reason(row: &OwnRow, column: usize) -> Result<DeadReason, DbErr> {
    let word: String = row.try_get_by_index(column)?;
    DeadReason::parse(&word).ok_or_else(|| DbErr::Type(format!("`{word}` is no reason that this binary knows")))
}
