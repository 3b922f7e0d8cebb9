//! The embedded bridge of a single process: a wire back to the node itself, and a log in one SQLite file.
//!
//! # Layout
//! - `wire`: ephemeral frames, back to the node that sent them.
//! - `log`: durable messages, in one SQLite file.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod wire;
pub use wire::EmbeddedWire;

mod log;
pub use log::EmbeddedLog;
