//! An error of SQLite from a connection that is called in place.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use rusqlite::Error as Rusqlite;
use sea_orm::sqlx::Error;
use sea_orm::sqlx::error::{DatabaseError, ErrorKind};

/// SQLite's code for a statement that was interrupted.
pub const INTERRUPTED: i32 = 9;
/// SQLite's code for an error without one of its own.
const GENERIC: i32 = 1;

/// An error of SQLite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteFailure {
    /// The extended result code.
    pub code: i32,
    pub message: String,
}

impl SqliteFailure {
    /// The primary result code.
    pub fn primary(&self) -> i32 {
        self.code & 0xff
    }
}

impl From<Rusqlite> for SqliteFailure {
    fn from(error: Rusqlite) -> Self {
        match error {
            Rusqlite::SqliteFailure(error, message) => {
                Self { code: error.extended_code, message: message.unwrap_or_else(|| error.to_string()) }
            }
            other => Self { code: GENERIC, message: other.to_string() },
        }
    }
}

/// An error of rusqlite as one of sqlx.
pub fn failed(error: Rusqlite) -> Error {
    SqliteFailure::from(error).into()
}

impl fmt::Display for SqliteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(code: {}) {}", self.code, self.message)
    }
}

impl StdError for SqliteFailure {}

impl DatabaseError for SqliteFailure {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        match self.code {
            1555 | 2067 => ErrorKind::UniqueViolation,
            787 => ErrorKind::ForeignKeyViolation,
            1299 => ErrorKind::NotNullViolation,
            275 => ErrorKind::CheckViolation,
            _ => ErrorKind::Other,
        }
    }
}
