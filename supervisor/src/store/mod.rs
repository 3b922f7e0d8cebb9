//! Databases: one for each capability, whose tables no other capability touches.
//!
//! # Layout
//! - `database`: opening a capability's database, by its kind (`location`, `sqlite`, `postgres`), under the lock that
//!   keeps a second host away from a file (`host_lock`).
//! - `schema`, `migrate`: the tables of a binary, and bringing a database to them.
//! - `connection`, `pool`, `lease`: connections, lending them, and the use of one; `group`: transactions that share a
//!   commit; `error`, `classify`: what goes wrong, and what an error proves.
//! - `transaction`, `reads`: what statements go through; `tx_tracker`: how far the transactions of a message came.
//! - `tables`: the runtime's own tables beside the capability's, for durable messages; `write_effects`: what is written
//!   to them with a handler's transaction.
//! - `outage`: errors that say that a database does not work at all; `recheck`: when it does again.
//! - `outcome_guards`: what is held until the outcome of a transaction is certain.
//! - `report`: the state of a database for operators.
//! - `clock_hold`: what makes a paused clock wait for databases.

mod database;
pub use database::{Database, DatabaseError};

mod location;
pub use location::DatabaseKind;

mod reads;
pub use reads::Reads;

mod report;
pub use report::{DatabaseReport, check, held};

mod schema;
pub use schema::Schema;

mod transaction;
// The transaction of a handler wraps one of these.
pub use crate::tx::Tx;
pub use transaction::{Transaction, TxError};

pub(crate) mod classify;
mod clock_hold;
mod connection;
pub(crate) mod error;
pub(crate) mod group;
mod host_lock;
mod lease;
mod migrate;
mod open_file;
mod outage;
mod outcome_guards;
mod pool;
mod postgres;
pub(crate) mod recheck;
mod savepoint;
mod statement_kind;
pub(crate) mod tables;
pub(crate) mod tx_tracker;
mod write_effects;

mod sqlite;
pub use sqlite::make_private;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
