//! The way of durable messages out of the log: one capability's share of its partitions, and the work on each.
//!
//! # Layout
//! - `consumer`: this host's share of a capability's partitions; `reader`: reads the log for all workers of the node;
//!   `in_flight`: what a worker was given and has not finished.
//! - `takeover`: what an owner does before it begins; `older_log`: what it does about a log that was restored; `owner`: what the work
//!   on each message needs; `delivery`: what a message's handler is told of it.
//! - `worker`: the loop of one partition; `queue`: which message may be worked on now; `work`: the work on one, in the owner's
//!   own `transactions`; `retry`, `dead_letter_policy`, `replay`: where a message goes that is not applied.
//! - `no_database`: the work for a capability without a database; `unhandled`: messages that this version has no handler of;
//!   `copies`: copies of one message that are under way at once; `rehearsal`: a handler that runs without effect.

pub mod consumer;
pub mod copies;
mod dead_letter_policy;
pub mod delivery;
mod in_flight;
mod no_database;
mod older_log;
mod owner;
mod queue;
pub mod reader;
pub mod rehearsal;
mod replay;
mod retry;
mod takeover;
mod transactions;
mod unhandled;
mod work;
mod worker;
