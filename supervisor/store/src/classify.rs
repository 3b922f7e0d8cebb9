//! Classification of database errors: what each proves about a commit, its connection and the database.

use essaim_contract::FailureKind;
use sea_orm::sqlx::Error;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{DbErr, RuntimeErr};

use super::outage::is_outage;
use super::postgres::ServerError;
use super::sqlite_failure::{INTERRUPTED, SqliteFailure};

/// SQLite's primary result codes that the commit of a WAL transaction gives before its last frame is written: error
/// (no transaction is open any more), busy, locked, read-only, full, constraint. An I/O error is not among them: the
/// frames may be in the file, and a recovery after a crash would apply them.
const SQLITE_NOT_COMMITTED: [i32; 6] = [1, 5, 6, 8, 13, 19];

/// PostgreSQL ended the session because the transaction was open for too long: it surely never saw the commit.
const POSTGRES_TRANSACTION_TOO_OLD: [&str; 2] = ["25P03", "25P04"];

/// PostgreSQL's session may not write: its server has become a standby, or never was the primary.
const POSTGRES_READ_ONLY: &str = "25006";

/// Whether an error that answered a commit proves that nothing was committed.
pub fn nothing_committed(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    if let Some(error) = ServerError::of(error.as_ref()) {
        // An ERROR aborts the transaction: once the commit is written, PostgreSQL has no way to say ERROR any more. A
        // FATAL one may end the session between the commit and its answer, and poolers send class 08 when they lose
        // the server; 40003 says itself that it does not know.
        let says_unknown = error.code().starts_with("08") || error.code() == "40003";
        return POSTGRES_TRANSACTION_TOO_OLD.contains(&error.code()) || (error.is_of_transaction() && !says_unknown);
    }
    sqlite_code(error.as_ref()).is_some_and(|code| SQLITE_NOT_COMMITTED.contains(&code))
}

/// Whether SQLite reported a broken constraint.
pub fn constraint_broken(error: &Error) -> bool {
    error.as_database_error().and_then(sqlite_code) == Some(19)
}

/// Whether SQLite's statement was interrupted, since its time was over.
pub fn is_interrupted(error: &Error) -> bool {
    error.as_database_error().and_then(sqlite_code) == Some(INTERRUPTED)
}

/// Whether the connection that gave this error is of no more use.
pub fn connection_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed => true,
        Error::Database(error) => ServerError::of(error.as_ref())
            .is_some_and(|e| e.is_of_session() || e.code().starts_with("08") || e.code() == POSTGRES_READ_ONLY),
        _ => false,
    }
}

/// Whether the server that gave this error takes no writes, so that all connections to it are of no more use.
pub fn takes_no_writes(error: &Error) -> bool {
    let error = error.as_database_error().and_then(ServerError::of);
    error.is_some_and(|error| error.code() == POSTGRES_READ_ONLY)
}

/// Whether the database was away: no connection could be had, the one in use was lost, or it does not work now for any
/// statement. It did not refuse, and trying again makes sense.
pub fn is_away(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            is_no_statements(error)
        }
        _ => false,
    }
}

/// Whether an error is not about the statement that met it.
pub fn is_no_statements(error: &Error) -> bool {
    connection_lost(error) || is_outage(error)
}

/// The kind of failure of a handler that met the error.
pub fn failure_kind(error: &DbErr) -> FailureKind {
    if is_away(error) { FailureKind::Unavailable } else { FailureKind::Database }
}

/// The primary result code of an error of SQLite.
pub fn sqlite_code(error: &dyn sea_orm::sqlx::error::DatabaseError) -> Option<i32> {
    if let Some(failure) = error.as_error().downcast_ref::<SqliteFailure>() {
        return Some(failure.primary());
    }
    error.as_error().downcast_ref::<SqliteError>()?;
    let extended: i32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_proves_nothing_about_a_commit() {
        let lost = Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(!nothing_committed(&lost) && connection_lost(&lost));
        assert!(!nothing_committed(&Error::WorkerCrashed) && connection_lost(&Error::WorkerCrashed));
    }

    #[test]
    fn a_database_that_refuses_is_not_away() {
        let query = |e| DbErr::Query(RuntimeErr::SqlxError(std::sync::Arc::new(e)));
        assert!(is_away(&query(Error::Io(std::io::ErrorKind::ConnectionReset.into()))));
        assert!(is_away(&DbErr::Conn(RuntimeErr::Internal("start it".into()))));
        assert!(!is_away(&query(Error::RowNotFound)));
    }
}
