//! The statements of a transaction that is only rehearsed, for people: their texts, and how many rows each read or changed. The
//! values that are bound to them are counted and not kept, since they may be personal.

use std::sync::atomic::{AtomicBool, Ordering};

use essaim_base::lock::Mutex;
use essaim_base::text::cut;
use sea_orm::Statement;

use super::error::StoreError;

/// Statements that are kept of one transaction; further ones are counted.
const MOST_STATEMENTS: usize = 200;
/// Characters that are kept of one statement, and of its error.
const LONGEST_TEXT: usize = 2_000;

/// The statements of one transaction, in their order.
#[derive(Debug, Default)]
pub struct StatementLog {
    logged: Mutex<Logged>,
    committed: AtomicBool,
}

#[derive(Debug, Default)]
struct Logged {
    /// Bounded by `MOST_STATEMENTS`.
    statements: Vec<LoggedStatement>,
    left_out: u64,
}

/// One statement that a handler ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedStatement {
    pub sql: String,
    /// How many values were bound to it.
    pub values: usize,
    /// Rows that it read or changed, or why it failed.
    pub rows: Result<u64, String>,
}

/// A statement whose end is not known yet.
pub struct BegunStatement {
    sql: String,
    values: usize,
}

impl BegunStatement {
    pub fn of(statement: &Statement) -> Self {
        Self { values: statement.values.as_ref().map_or(0, |values| values.0.len()), ..Self::of_text(&statement.sql) }
    }

    pub fn of_text(sql: &str) -> Self {
        Self { sql: cut(sql, LONGEST_TEXT), values: 0 }
    }
}

impl StatementLog {
    /// Keeps how a statement ended.
    pub fn ended<T>(&self, begun: BegunStatement, result: &Result<T, StoreError>, rows: impl FnOnce(&T) -> u64) {
        let rows = result.as_ref().map(rows).map_err(|error| cut(&error.to_string(), LONGEST_TEXT));
        let mut logged = self.logged.lock();
        if logged.statements.len() == MOST_STATEMENTS {
            logged.left_out += 1;
            return;
        }
        logged.statements.push(LoggedStatement { sql: begun.sql, values: begun.values, rows });
    }

    /// The handler has committed.
    pub fn set_committed(&self) {
        self.committed.store(true, Ordering::Release);
    }

    /// Whether the handler has committed: otherwise it has undone its statements itself.
    pub fn is_committed(&self) -> bool {
        self.committed.load(Ordering::Acquire)
    }

    /// What is kept, and how many further statements there were.
    pub fn statements(&self) -> (Vec<LoggedStatement>, u64) {
        let logged = self.logged.lock();
        (logged.statements.clone(), logged.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_what_fits_and_counts_the_rest() {
        let log = StatementLog::default();
        for row in 0..MOST_STATEMENTS as u64 + 2 {
            log.ended(BegunStatement::of_text(&"é".repeat(LONGEST_TEXT + 1)), &Ok(row), |row| *row);
        }
        let (statements, left_out) = log.statements();
        assert_eq!((statements.len(), left_out), (MOST_STATEMENTS, 2));
        assert_eq!((statements[1].rows.clone(), statements[1].sql.chars().count()), (Ok(1), LONGEST_TEXT + 1));
    }
}
