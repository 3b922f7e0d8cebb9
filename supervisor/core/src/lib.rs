//! The core of a node: what authors of capabilities see, the execution of messages in one process, and the node that puts the
//! wings together.
//!
//! # Layout
//!
//! - [`api`]: actors, contexts, transactions, clients: the author's view.
//! - [`local`]: admission, mailboxes, instances, supervision: the execution in this process.
//! - [`node`]: start-up, routing, the roster, drain.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports, and `api` has its documentation.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

#[warn(missing_docs)]
pub mod api;
pub mod local;
pub mod node;

pub use api::actor::{Actor, Apply, Handle, Hear};
pub use api::client::Client;
pub use api::cx::Cx;
pub use api::fault::{Fault, fail, reject};
pub use api::handles::Handles;
pub use api::listen::listen;
pub use api::start::{Start, StartError};
pub use api::startup::StartupWork;
pub use local::arbiters::run;
pub use local::supervision::Health;
pub use node::connection::check_bridge;
pub use node::export::check as check_export;
pub use node::roster::Roster;
pub use node::{NodeError, RunningNode};
