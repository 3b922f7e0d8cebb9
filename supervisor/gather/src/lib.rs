//! The store of gathered message records: one SQLite file of the node that gathers, so that a trace is whole after the nodes
//! that wrote its records have ended.
//!
//! The gathering node reads the rings of all nodes page by page. What a page says and where the next one begins are written in
//! one transaction, so that each record is stored once, whatever happens in between. The file is bounded by time and by size;
//! losing it loses nothing but history. SQLite works on threads of its own: no handler and no task of the node waits for a disk.
//!
//! # Layout
//! - `store`: the store as the rest of the node sees it; `file`: opening the file, and what is wrong with it.
//! - `write`: adding pages, and removing what is too old or too much; `read`: the stored records that a filter takes.
//! - `rate`: how many records of each node are stored.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod file;
mod rate;
mod read;
mod store;
#[cfg(test)]
mod tests;
mod write;

pub use self::file::{FILE, GatherError};
pub use self::read::{StoredPage, StoredQuestion};
pub use self::store::{GatherFigures, GatheredStore, NodePage};
