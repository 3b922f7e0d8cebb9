//! The kind of an SQL statement, as far as its first word tells.

/// What a statement does, by its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// It reads.
    Read,
    /// It begins or ends a transaction.
    Transaction,
    /// Anything else.
    Write,
}

impl StatementKind {
    pub fn of(sql: &str) -> Self {
        let word = first_word(sql);
        let is = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
        if is(&["SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "PRAGMA", "SHOW"]) {
            Self::Read
        } else if is(&["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"]) {
            Self::Transaction
        } else {
            Self::Write
        }
    }
}

/// The first word after white space, parentheses and comments.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        let comment_end = match rest.get(..2) {
            Some("--") => rest.find('\n').map(|at| at + 1),
            Some("/*") => rest.find("*/").map(|at| at + 2),
            _ => break,
        };
        rest = comment_end.map_or("", |end| &rest[end..]);
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    &rest[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_tells_the_kind_whatever_stands_before_it() {
        for sql in ["SELECT 1", " \n(select 1)", "-- why\nSELECT 1", "/* a */ /* b */with x as (select 1) select 1"] {
            assert_eq!(StatementKind::of(sql), StatementKind::Read, "{sql}");
        }
        for sql in ["COMMIT", "begin;", " savepoint a"] {
            assert_eq!(StatementKind::of(sql), StatementKind::Transaction, "{sql}");
        }
        for sql in ["INSERT INTO a VALUES (1)", "", "-- only a comment", "drop table a", "/* open", "é"] {
            assert_eq!(StatementKind::of(sql), StatementKind::Write, "{sql}");
        }
    }
}
