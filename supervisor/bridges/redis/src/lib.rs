//! The Redis bridge: a wire over pub/sub and a log over streams, on one server that all nodes use.
//!
//! # Layout
//!
//! - [`RedisWire`]: frames between nodes (`wire`), on their `channels`; the `claims` of a node on its name and capabilities.
//! - [`RedisLog`]: durable messages (`log`).
//! - [`Cluster`]: the identity of the cluster on the server, which a node remembers (`memory`).
//! - [`check`]: what a node will need of the server, tried from outside.
//! - `keep`: a connection that is replaced when it fails; `endpoint`, `sentinels`: the server's address; `failed`: what an error
//!   says of its connection; `server`, `full`: facts about the server and what it still does when its memory is full.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod cluster;
pub use cluster::Cluster;

mod log;
pub use log::RedisLog;

mod wire;
pub use wire::RedisWire;

mod check;
pub use check::check;

mod channels;
mod claims;
mod cluster_file;
mod command_error;
mod connection;
mod endpoint;
mod out_of_memory;
mod sentinels;
mod server_process;
mod tls;

#[cfg(test)]
mod tests;
