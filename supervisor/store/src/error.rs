//! Why something asked of a database has no result. Authors see these as the errors of sea-orm, at the surface of
//! `ConnectionTrait` and in [`TxError`](super::TxError).

use std::fmt;
use std::sync::Arc;

use sea_orm::sqlx::Error;
use sea_orm::{DbErr, RuntimeErr};

use super::classify;

/// Why something asked of a database has no result.
#[derive(Debug, Clone)]
pub enum StoreError {
    /// The driver's error.
    Driver(Arc<Error>),
    /// The time limit passed before the database answered.
    TimedOut,
    /// The connection was given up before.
    ConnectionGone,
    /// The database could not be used, for this reason.
    Unavailable(String),
    /// The runtime refused the statement or the commit.
    Refused(Refusal),
    /// A message that a transaction was to remove from the parked ones is not among them any more.
    NotParked,
}

/// Why the runtime refuses a statement or a commit.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    #[error("the transaction is the runtime's: use tx.commit(), or drop it")]
    RuntimesTransaction,
    #[error("a statement undid the whole transaction: use tx.rollback(), or drop it")]
    Undone,
    #[error("the transaction cannot go on after an earlier failure ({0})")]
    AfterFailure(String),
    #[error("the transaction is older than store.transaction_limit_ms; do the waiting before cx.begin()")]
    TooOld,
    #[error("the deadline of the message has passed: its asker may have been told so, and have looked")]
    DeadlinePassed,
    #[error("the transaction has ended")]
    Ended,
    #[error("cx.db() only reads: write in a transaction (cx.begin())")]
    OnlyReads,
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Driver(Arc::new(error))
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => error.fmt(f),
            Self::TimedOut => f.write_str("it took longer than store.transaction_limit_ms"),
            Self::ConnectionGone => f.write_str("its connection was given up"),
            other => other.clone().into_exec_error().fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// Whether the database could not be reached, or does not work now.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Driver(error) => classify::is_no_statements(error),
            Self::Unavailable(_) => true,
            Self::TimedOut | Self::ConnectionGone | Self::Refused(_) | Self::NotParked => false,
        }
    }

    /// What it is to the author of a query.
    pub fn into_query_error(self) -> DbErr {
        match self {
            Self::Driver(error) => DbErr::Query(RuntimeErr::SqlxError(error)),
            other => other.into_exec_error(),
        }
    }

    /// What it is to the author of a statement that changes something, or of a commit.
    pub fn into_exec_error(self) -> DbErr {
        let internal = |text: String| DbErr::Exec(RuntimeErr::Internal(text));
        match self {
            Self::Driver(error) => DbErr::Exec(RuntimeErr::SqlxError(error)),
            Self::Unavailable(why) => DbErr::Conn(RuntimeErr::Internal(why)),
            Self::Refused(refusal) => internal(refusal.to_string()),
            Self::NotParked => DbErr::RecordNotUpdated,
            Self::TimedOut | Self::ConnectionGone => internal(self.to_string()),
        }
    }
}
