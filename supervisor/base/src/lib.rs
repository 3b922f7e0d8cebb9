//! What every part of Essaim's runtime stands on, and what knows none of them: time and chance, ids, tasks that are watched,
//! traces, the encoding of messages, and the slot in which an ask and its answer meet.
//!
//! # Layout
//!
//! - [`env`], [`backoff`]: the only source of time, ids and randomness; the pauses between retries.
//! - [`task`], [`panic`], [`outages`], [`exit`]: the runtime's own tasks and their panics, dependencies that are down, and the
//!   codes with which a process ends.
//! - [`threads`]: the threads on which tasks stay.
//! - [`call`], [`trace`], [`slot`]: what travels with a message, its trace, and its answer.
//! - [`codec`]: message bodies as bytes. [`objects`]: JSON that people send, read strictly.
//! - [`activity`]: what a handler does at the moment.
//! - [`measure`]: outcomes and times of handled messages, for metrics.
//! - [`lock`], [`sync`]: the locks that all parts use, and those that the model checker replaces.
//! - [`graph`], [`rendezvous`], [`idhash`]: cycles of a graph, rendezvous hashing, a hasher for ids.
//! - [`file_identity`], [`certificates`]: which file it is; what is wrong with a certificate.
//! - [`text`]: texts that are too long for where they stand. [`crash`]: fail points for tests.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

pub mod activity;
pub mod backoff;
pub use backoff::Backoff;

pub mod env;
pub use env::Env;

pub mod call;
pub mod certificates;
pub mod codec;
pub mod crash;
pub mod exit;
pub mod file_identity;
pub mod graph;
pub mod idhash;
pub mod lock;
pub mod measure;
pub mod objects;
pub mod outages;
pub mod panic;
pub mod rendezvous;
pub mod slot;
pub mod sync;
pub mod task;
pub mod text;
pub mod threads;
pub mod trace;
