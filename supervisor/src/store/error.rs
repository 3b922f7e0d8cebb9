//! Why something asked of a database has no result.

use std::fmt;
use std::sync::Arc;

use sea_orm::sqlx::Error;
use sea_orm::{DbErr, RuntimeErr};

use super::classify;

/// Why something asked of a connection has no result.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The driver's error.
    Database(Error),
    /// The time limit passed before the database answered.
    TimedOut,
    /// The connection was given up before.
    Gone,
    /// It was not tried.
    Refused(DbErr),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(e) => e.fmt(f),
            Self::TimedOut => f.write_str("it took longer than store.transaction_limit_ms"),
            Self::Gone => f.write_str("its connection was given up"),
            Self::Refused(e) => e.fmt(f),
        }
    }
}

impl StoreError {
    /// Whether the database was not there, or does not work now.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Database(error) => classify::is_no_statements(error),
            Self::Refused(error) => classify::is_away(error),
            Self::TimedOut | Self::Gone => false,
        }
    }

    pub fn into_query_error(self) -> DbErr {
        match self {
            Self::Database(e) => DbErr::Query(RuntimeErr::SqlxError(Arc::new(e))),
            other => other.into_other(),
        }
    }

    pub fn into_exec_error(self) -> DbErr {
        match self {
            Self::Database(e) => DbErr::Exec(RuntimeErr::SqlxError(Arc::new(e))),
            other => other.into_other(),
        }
    }

    fn into_other(self) -> DbErr {
        match self {
            Self::Database(e) => DbErr::Conn(RuntimeErr::SqlxError(Arc::new(e))),
            Self::Refused(e) => e,
            Self::TimedOut | Self::Gone => refusal(self.to_string()),
        }
    }
}

pub(crate) fn connection_error(text: String) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(text))
}

/// The error of a statement that the runtime itself ends or refuses.
pub(crate) fn refusal(why: impl Into<String>) -> DbErr {
    DbErr::Exec(RuntimeErr::Internal(why.into()))
}
