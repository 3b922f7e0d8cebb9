//! The effects of one handler, in a single statement of PostgreSQL.
//!
//! Its parts are in no order of their own, and all of them see the tables as they were when it began. But each takes the
//! row that the fence returns, so it does nothing before the fence is found, which from there on keeps a new owner out. A
//! fence that it has to wait for is judged as it is then (`READ COMMITTED`). A parked message that came while it waited is
//! not seen; nothing is committed then, and it is tried again.

use sea_orm::{DbBackend, Statement, Value};

use super::bulk::{self, Padding};
use super::inbox::{self, InboxMark};
use super::int;
use super::outbox::{self, OutboxRow};
use super::tx_effects::{EffectStatement, ExpectedRows};

/// The statement for a message that was handled under the epoch of its partition's owner: one from the log, the last one before
/// the offset `through`, which is marked in the inbox, or a parked one with that partition and number; and for what is sent
/// through a queue. It returns a row for the partition and one for the parked message or the mark, as far as they are there.
///
/// `None` if it would be too large.
pub(super) fn of(
    (partition, epoch): (u32, u64),
    through: u64,
    unparked: Option<(u32, u64)>,
    mark: Option<&InboxMark<'_>>,
    sent: Option<(&str, &[(u64, OutboxRow)])>,
) -> Option<EffectStatement> {
    let mut all = Parts { sql: String::new(), values: Vec::new() };
    let fenced = "UPDATE essaim_fence SET handled = handled + 1, through = greatest(through, $3) \
                  WHERE partition = $1 AND epoch = $2 RETURNING 1";
    all.sql = format!("WITH fenced AS ({fenced})");
    all.values = vec![int(partition), int(epoch), int(through)];
    let (mut found, mut expects) = ("SELECT 1 FROM fenced", ExpectedRows::Owned(1));
    if let Some((partition, seq)) = unparked {
        let removed = "DELETE FROM essaim_parked USING fenced WHERE partition = $4 AND seq = $5 RETURNING 1";
        all.sql += &format!(", unparked AS ({removed})");
        all.values.extend([int(partition), int(seq)]);
        (found, expects) = ("SELECT 1 FROM fenced UNION ALL SELECT 1 FROM unparked", ExpectedRows::OwnedAndParked);
    }
    if mark.is_some() {
        let once = format!("{} RETURNING 1", inbox::ONCE);
        all.insert("marked", inbox::INTO, mark.as_slice(), &once, |mark| inbox::row_of(mark));
        (found, expects) = ("SELECT 1 FROM fenced UNION ALL SELECT 1 FROM marked", ExpectedRows::OwnedAndMarked);
    }
    if let Some((queue, messages)) = sent {
        if messages.len() > bulk::LARGEST {
            return None;
        }
        all.insert("sent", outbox::INTO, messages, "", |message| outbox::row_of(queue, message));
    }
    let sql = format!("{} {found}", all.sql);
    Some(EffectStatement { statement: Statement::from_sql_and_values(DbBackend::Postgres, sql, all.values), expects })
}

/// A statement that grows.
struct Parts {
    sql: String,
    values: Vec<Value>,
}

impl Parts {
    /// Adds rows to a table, no more than one piece of them; `end` ends the statement.
    fn insert<T, const N: usize>(
        &mut self,
        name: &str,
        into: &str,
        items: &[T],
        end: &str,
        row: impl Fn(&T) -> [Value; N],
    ) {
        let piece = bulk::pieces(items, self.values.len() + 1, Padding::Nulls, row).next();
        let Some((tuples, values)) = piece else { return };
        let rows = format!("SELECT v.* FROM fenced, (VALUES {tuples}) AS v WHERE v.column1 IS NOT NULL");
        self.sql += &format!(", {name} AS (INSERT INTO {into} {rows} {end})");
        self.values.extend(values);
    }
}
