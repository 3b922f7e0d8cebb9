//! Essaim's runtime: capabilities as supervised actors that run, unchanged, in one process or in several.
//!
//! # Layout
//!
//! - [`Actor`], [`Handle`], [`Apply`], [`Hear`], [`Handles`]: what a developer implements.
//! - [`Cx`], [`Start`], [`Fault`]: what a handler may do, and how it says no.
//! - [`Client`]: how callers outside actors ask.
//! - [`Roster`], [`Node`], [`run`], [`exit`]: which capabilities there are, and a process that runs some of them.
//! - [`Harness`]: one actor alone, for its author's tests.
//! - [`config`], [`store`], [`trace`], [`Near`], [`Env`]: what they stand on.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod actor;
pub use actor::{Actor, Apply, Handle, Hear};

mod handler;
mod handles;
pub use handles::Handles;

mod cx;
pub use cx::Cx;

pub use durable::schedule::{Missed, Schedule};
pub use durable::{SendOptions, SubscribeOptions};
use essaim_durable as durable;

mod start;
pub use start::{Start, StartError};

mod startup;
pub use startup::StartupWork;

mod fault;
pub use fault::{Fault, fail, reject};

mod client;
pub use client::Client;

mod roster;
pub use roster::Roster;

mod admission;
mod arbiters;
pub use arbiters::run;

mod connection;
pub use connection::check_bridge;
pub use essaim_protocol::log::WhenFull;
pub use essaim_protocol::wire::ClaimError;

/// What nodes are connected by.
mod bridge {
    pub(crate) use essaim_protocol::log;
}

// Other nodes have a crate of their own.
pub use essaim_protocol::frame::NodeState;
use essaim_remote as remote;

mod node;
pub use node::{NodeError, RunningNode};

mod operate;
pub use operate::{CapabilityStatus, MemberCapability, MemberStatus, Node, NodeStatus, api};

mod operators;

mod supervision;
pub use supervision::Health;

#[cfg(test)]
mod durable_tests;

mod harness;
pub use harness::{Harness, Stage};

pub use essaim_contract as contract;

pub use essaim_config as config;
use essaim_near as near;
pub use essaim_near::{Near, NearFigures};
#[doc(hidden)]
pub use essaim_protocol::fuzz;

// What every part stands on has a crate of its own.
pub use backoff::Backoff;
pub use env::Env;
use essaim_base::{backoff, call, codec, crash, env, graph, idhash, lock, outages, panic, rendezvous, slot, task};
pub use essaim_base::{exit, trace};
pub use graph::cycle_in;
pub use outages::OutageStatus;
pub use task::{TaskState, TaskStatus};

/// Databases: a capability's own, its migrations, and the transactions of its handlers.
pub mod store {
    pub use essaim_store::{
        Database, DatabaseError, DatabaseKind, DatabaseReport, Reads, Schema, TxError, check, held, make_private,
    };
    pub(crate) use essaim_store::{Transaction, classify, error, group, tables, tx_tracker};

    #[cfg(test)]
    pub(crate) use essaim_store::testing;

    pub use crate::tx::Tx;
}

mod bus;
mod cell;
mod context;
mod drain;
mod guard;
mod host;
mod hosting;
mod instance;
mod keys;
mod local_call;
mod mailbox;
mod readiness;
mod run;
mod span;
mod tx;
mod watchdog;
