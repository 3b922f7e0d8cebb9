//! The audit: who has changed what of a node, in one SQLite file of its own.
//!
//! An act is written, and on the disk, before it is done; how it ended is written behind it. So a process that dies in between
//! leaves an act without an end, and never an end without an act. What cannot be written is not done: that is for who asks the
//! store. The file is bounded by time and by size.
//!
//! # Layout
//! - `store`: the store as the rest of the node sees it; `file`: opening the file, and what is wrong with it.
//! - `entry`: acts, their ends, and which of them are asked for; `rows`: their SQL.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod entry;
mod file;
mod rows;
mod store;
#[cfg(test)]
mod tests;

pub use self::entry::{ActEnd, Asker, AuditEntry, AuditPlace, AuditQuestion, EndKind};
pub use self::file::{AuditError, file_of};
pub use self::store::AuditStore;
