//! Why something asked of a database has no result. Authors see these as the errors of sea-orm, at the surface of
//! `ConnectionTrait` and in [`TxError`](super::TxError).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sea_orm::sqlx::Error;
use sea_orm::{DbErr, RuntimeErr};

use super::classify;
use super::host_lock::held_by;
use super::schema::SchemaError;

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

/// Why a database could not be opened or brought to the schema this binary needs. It displays in one line without secrets, with
/// what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// The key of the location has a form that it may not have. The value is not shown, since it may hold a password.
    #[error("{key} {mistake}")]
    Location { key: String, mistake: LocationMistake },
    /// The directory of a file cannot be made.
    #[error(
        "cannot make the data directory {}: {why}; make it writable for this user, or choose another with --data-dir \
         (node.data_dir)",
        .path.display()
    )]
    Directory { path: PathBuf, why: String },
    /// There is a directory at the path of the file.
    #[error("the database {} is a directory: name a file", .0.display())]
    IsDirectory(PathBuf),
    /// The file was made, and cannot be examined.
    #[error("{} cannot be looked at: {why}", .path.display())]
    Unreadable { path: PathBuf, why: String },
    /// The file of the host lock cannot be made or locked.
    #[error("cannot lock {}: {why}", .path.display())]
    Unlockable { path: PathBuf, why: String },
    /// The file has a host already.
    #[error("{}", held_by(.path, .holder))]
    Held { path: PathBuf, holder: String },
    /// A restore of the file was begun and has not ended: it may be neither the old one nor the restored one.
    #[error("a restore has not ended ({} is left of it): run `essaim restore DIR` again, with the directory that was restored", .0.display())]
    HalfRestored(PathBuf),
    /// The database does not answer, or refuses connections; in the words of its kind.
    #[error("{0}")]
    Unusable(String),
    /// The schema of the binary and the one of the database do not go together.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The bookkeeping of migrations cannot be read or written.
    #[error("its schema cannot be brought up to date: {0}")]
    Bookkeeping(String),
    /// A migration failed; nothing of it is applied.
    #[error("migration {version} (`{name}`) failed and was rolled back: {why}")]
    Migration { version: u32, name: String, why: String },
    /// The migrations took too long.
    #[error(
        "its schema was not up to date within store.migration_limit_ms ({limit_ms} ms): is another node still migrating?"
    )]
    MigrationLimit { limit_ms: u128 },
    /// An error of the runtime's own tables; those of a capability's need no mention.
    #[error("for the runtime's own tables, {0}")]
    RuntimeTables(Box<Self>),
    /// An error of migrations, with the database in which they ran.
    #[error("the database {location}: {error}")]
    At { location: String, error: Box<Self> },
}

/// What is wrong with the configured location of a database, as the rest of a sentence about its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationMistake {
    #[error("is no URL: use postgres://…, sqlite://PATH or nothing")]
    NoUrl,
    #[error("begins with `{0}:`: use postgres://…, sqlite://PATH or nothing")]
    OtherScheme(String),
    #[error("must be sqlite://PATH with the plain path of a file")]
    NoPlainPath,
    #[error("is no usable PostgreSQL URL: {0}")]
    PostgresUrl(String),
    #[error("leads to PostgreSQL, for which this binary was not built: build it with the feature `postgres`")]
    WithoutPostgres,
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
