//! Databases: one a capability, its tables touched by nobody else.
//!
//! # Layout
//! - `database`: opening a capability's database, by its kind (`place`, `sqlite`, `postgres`), under the lock that
//!   keeps a second host away from a file (`lock`).
//! - `schema`, `migrate`: the tables of a binary, and bringing a database to them.
//! - `connection`, `lanes`, `lease`: connections, lending them, and the use of one; `group`: transactions that share a
//!   commit; `trouble`, `outcome`: what goes wrong, and what an error proves.
//! - `tx`, `reads`: what a handler works with; every transaction begins in [`Tx`].
//! - `durable`: the runtime's own tables beside the capability's, for durable messages; `enclosing`: what is written to
//!   them with a handler's transaction.
//! - `outage`: errors that say that a database does not work at all; `recheck`: when it does again.
//! - `outdated`: what near caches may not serve while a transaction changes it.
//! - `report`: what an operator is told.
//! - `clock_hold`: what makes a paused clock wait for databases.

mod database;
pub use database::{Database, DatabaseError};

mod place;
pub use place::DatabaseKind;

mod reads;
pub use reads::Reads;

mod report;
pub use report::{DatabaseReport, check, held};

mod schema;
pub use schema::Schema;

mod tx;
pub use tx::{Tx, TxError};

mod clock_hold;
mod connection;
pub(crate) mod durable;
mod enclosing;
mod group;
mod lanes;
mod lease;
mod lock;
mod migrate;
mod open_file;
mod outage;
pub(crate) mod outcome;
mod outdated;
mod postgres;
pub(crate) mod recheck;
mod savepoint;
mod sql;
mod trouble;

mod sqlite;
pub use sqlite::make_private;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
