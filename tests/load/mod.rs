//! Supervision and load: capabilities that panic, fail to start or block a thread, and more work than there is room for.
//!
//! # Layout
//!
//! - [`panics`], [`starts`], [`blocking`]: one capability misbehaves, in a node of the test's own process, and the
//!   others go on. [`actors`]: those capabilities. [`log`]: the node's log meanwhile.
//! - [`overload`]: ten times as much as a capability can do. [`full`]: more than can be stored.
//! - [`buyers`]: more buyers than there are pieces.
//! - [`crash`]: a process that is killed between the steps of an order, or away when its step comes.
//! - [`shown`]: the stock that is shown while it changes.
//! - [`outage`]: a PostgreSQL server that goes away under load.
//! - [`clients`]: many clients at once, and those who ask until they are answered. [`locks`]: holding up a database.

mod actors;
mod blocking;
mod buyers;
pub(crate) mod clients;
mod crash;
mod full;
pub(crate) mod locks;
mod log;
mod outage;
mod overload;
mod panics;
mod shown;
mod starts;
mod statements;
