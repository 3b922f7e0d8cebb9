//! Actors under test, for their authors and for the runtime itself.
//!
//! # Layout
//! - [`Harness`], [`Stage`]: one actor alone, with a database and a log of its own, stubs for what it asks, and a clock that
//!   can be paused.
//! - `tests`: handlers' transactions, tried on the harness.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod harness;
#[cfg(test)]
mod tests;

pub use self::harness::{Harness, Stage};
