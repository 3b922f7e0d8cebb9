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
pub use api::start::{Start, StartError};
pub use api::startup::StartupWork;
pub use local::arbiters::run;
pub use local::supervision::Health;
pub use node::connection::check_bridge;
pub use node::roster::Roster;
pub use node::{NodeError, RunningNode};

pub use essaim_base::{Backoff, Env};
pub use essaim_durable::schedule::{Missed, Schedule};
pub use essaim_durable::{SendOptions, SubscribeOptions};
pub use essaim_near::{Near, NearFigures};

// The lower wings, so that a path says which one it leads to.
use essaim_base::{
    backoff, call, codec, crash, exit, graph, idhash, lock, outages, panic, rendezvous, slot, task, trace,
};
use essaim_config as config;
use essaim_durable as durable;
use essaim_near as near;
use essaim_remote as remote;

/// What nodes are connected by.
mod bridge {
    pub use essaim_protocol::log;
}

/// Databases: a capability's own, its migrations, and the transactions of its handlers.
pub mod store {
    pub use essaim_store::{
        Database, DatabaseError, DatabaseKind, DatabaseReport, Reads, Schema, Transaction, TxError, check, classify,
        error, group, held, make_private, tables, tx_tracker,
    };

    #[cfg(test)]
    pub use essaim_store::testing;

    pub use crate::api::tx::Tx;
}
