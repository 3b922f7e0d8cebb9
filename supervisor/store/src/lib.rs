//! Databases: one for each capability, whose tables no other capability touches. Transactions of SQLite share commits, and what
//! the runtime writes for durable messages goes with them. sea-orm is used here and above, and nowhere lower.
//!
//! # Layout
//!
//! - `database`: opening a capability's database, by its kind (`location`, `sqlite`, `postgres`), under the lock that
//!   keeps a second host away from a file (`host_lock`).
//! - `schema`, `migrate`: the tables of a binary, and bringing a database to them.
//! - `connection`, `pool`, `lease`: connections, lending them, and the use of one; `group`: transactions that share a
//!   commit; `connection_budget`: what all pools of a node may have together; `shrink`: what is idle is given back; `error`, `classify`: what goes wrong, and what an error proves.
//! - `in_place`: the connections to SQLite that are called on their user's thread; `sqlx_rows`, `models`, `own_rows`: what is read there,
//!   for sea-orm, as models, and for the runtime itself.
//! - `checkpoints`: the journal of a file moves into it, beside the writer.
//! - `riding`: what goes out with a commit, and what comes along with it.
//! - `transaction`, `reads`: what statements go through; `tx_tracker`: how far the transactions of a message came.
//! - `tables`: the runtime's own tables beside the capability's, for durable messages; `write_effects`: what is written
//!   to them with a handler's transaction; `statement_log`: the statements of one that is only rehearsed.
//! - `settle`: the end of the use of a file.
//! - `cut`: files as they were at one moment; `backup`: their copies, with a `manifest`; `restore`: putting them back.
//! - `outage`: errors that say that a database does not work at all; `recheck`: when it does again.
//! - `outcome_guards`: what is held until the outcome of a transaction is certain.
//! - `report`: the state of a database for operators; `server_room`: the connections that a server has.
//! - `clock_hold`: what makes a paused clock wait for databases.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod database;
pub use database::{Database, OutageReports};

pub mod error;
pub use error::{DatabaseError, LocationMistake};

mod location;
pub use location::{DatabaseKind, check_location};

mod reads;
pub use reads::Reads;

mod report;
mod rights;
pub use report::{DatabaseReport, Held, check, held};

mod server_room;
pub use server_room::{server_of, server_room};

mod schema;
pub use schema::{Schema, SchemaError};

mod transaction;
pub use transaction::{Transaction, TxError};

mod backup;
pub use backup::{AboutBackup, BackupError, back_up};

mod manifest;
pub use manifest::{BackupFile, BackupManifest, BackupOf, ManifestError};

mod restore;
pub use restore::{RestoreError, Restored, restore, unfinished_restore};

mod checkpoints;
pub mod classify;
mod clock_hold;
pub use clock_hold::ClockHold;
mod connection;
mod connection_budget;
pub use connection_budget::{BudgetTooSmall, ConnectionBudget};
mod connection_lease;
mod cut;
pub use cut::CutFile;
pub mod group;
mod holders;
pub use holders::LockHolder;
mod host_lock;
mod in_place;
mod in_place_statement;
pub use host_lock::{HostLock, LockedBy, announce_end};
mod migrate;
pub mod models;
mod open_file;
mod outage;
mod outcome_guards;
pub mod own_rows;
mod pool;
pub use pool::PoolFigures;

#[cfg_attr(not(feature = "postgres"), path = "no_postgres.rs")]
mod postgres;
pub mod recheck;
mod riding;
mod settle;
mod shrink;
mod sqlite_failure;
mod sqlx_rows;
mod statement_kind;
pub mod statement_log;
pub mod tables;
pub mod tx_tracker;
mod waiting;
mod write_effects;

pub mod sqlite;
pub use sqlite::make_private;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
