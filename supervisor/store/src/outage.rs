//! Outages of a database: errors that are about all of it and not about one statement, such as a full disk, and their report.
//!
//! An outage begins with the first such error that a user of the database meets, and ends when the database has been written
//! to again (`recheck`). Meanwhile each request meets the error by itself, and fails as if the database were away.

use std::sync::atomic::{AtomicBool, Ordering};

use essaim_base::outages::{Dependency, Outages};
use sea_orm::sqlx::Error;
use tokio::sync::Notify;

use super::classify::sqlite_code;
use super::postgres::ServerError;

/// SQLite's primary result codes for a file that cannot be used now: busy, an I/O error, full, cannot be opened.
const SQLITE_OUTAGE: [i32; 4] = [5, 10, 13, 14];

/// SQLite's primary result codes for a file whose content makes no sense: a page of it, or all of it.
const SQLITE_DAMAGE: [i32; 2] = [11, 26];

/// SQLite may not write the file. A reader is refused so in any case.
const SQLITE_READ_ONLY: i32 = 8;

/// PostgreSQL's codes for a server that cannot go on: resources, a full disk, connections, and errors of its system.
const POSTGRES_OUTAGE: [&str; 5] = ["53000", "53100", "53300", "58000", "58030"];

/// Whether an error is not about the statement that met it: the database does not work now.
pub fn is_outage(error: &Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    match ServerError::of(error) {
        Some(error) => POSTGRES_OUTAGE.contains(&error.code()),
        None => sqlite_code(error).is_some_and(|code| {
            SQLITE_OUTAGE.contains(&code) || SQLITE_DAMAGE.contains(&code) || code == SQLITE_READ_ONLY
        }),
    }
}

/// Whether the content of a file is damaged. Other pages may take writes all the while.
pub fn is_damage(error: &Error) -> bool {
    error.as_database_error().and_then(sqlite_code).is_some_and(|code| SQLITE_DAMAGE.contains(&code))
}

/// Whether PostgreSQL has no further connection.
pub fn is_short_of_connections(error: &Error) -> bool {
    let error = error.as_database_error().and_then(ServerError::of);
    error.is_some_and(|error| error.code() == "53300")
}

/// Whether SQLite refuses to write.
pub fn is_read_only(error: &Error) -> bool {
    error.as_database_error().and_then(sqlite_code) == Some(SQLITE_READ_ONLY)
}

/// Whether another process has locked the file of SQLite.
pub fn is_locked(error: &Error) -> bool {
    error.as_database_error().and_then(sqlite_code) == Some(5)
}

/// Whether a database works, as its users find.
pub struct DatabaseHealth {
    /// Where outages are reported, and as which dependency.
    outages: Outages,
    dependency: Dependency,
    is_out: AtomicBool,
    /// Damage was met, and the file has not been checked since.
    is_damaged: AtomicBool,
    /// The database is to be looked at.
    pub look: Notify,
}

impl DatabaseHealth {
    /// A database that works.
    pub fn new(outages: Outages, dependency: Dependency) -> Self {
        Self { outages, dependency, is_out: false.into(), is_damaged: false.into(), look: Notify::new() }
    }

    /// Whether it is known not to work.
    pub fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Records that the database does not work, for this reason.
    pub fn fails(&self, cause: String) {
        self.is_out.store(true, Ordering::Relaxed);
        self.outages.begin(self.dependency.clone(), cause);
        self.look.notify_one();
    }

    /// Records damage: that the database can be written to says nothing until all of it was checked.
    pub fn found_damaged(&self) {
        self.is_damaged.store(true, Ordering::Relaxed);
    }

    /// Whether all of it is to be checked.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Records that the database has been written to, and is whole as far as is known.
    pub fn works(&self) {
        self.is_damaged.store(false, Ordering::Relaxed);
        self.is_out.store(false, Ordering::Relaxed);
        self.outages.end(&self.dependency);
    }
}
