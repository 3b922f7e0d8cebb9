//! The bridge of a single process: nothing of it leaves the process but a file.
//!
//! # Layout
//! - `wire`: ephemeral frames, back to the node that sent them.
//! - `log`: durable messages, in one SQLite file.

mod wire;
pub(crate) use wire::Embedded;

mod log;
pub(crate) use log::EmbeddedLog;
