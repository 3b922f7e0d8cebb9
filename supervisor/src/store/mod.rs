//! Databases: one a capability, its tables touched by nobody else.

mod database;
pub use database::{Database, DatabaseError, Reads};

mod schema;
pub use schema::Schema;

mod tx;
pub use tx::{Tx, TxError};
