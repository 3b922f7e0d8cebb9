//! Durable messages as operators see them: dead letters, the ledger, subscriptions and schedules, asked of a running node
//! by the real command line.
//!
//! # Layout
//!
//! - [`probe`]: capabilities whose handlers fail as long as the test says so.
//! - [`stage`]: them in one node, or in two with a real Redis between them, and `essaim` asking one.
//! - [`dead`], [`erase`], [`ledger`], [`subscriptions`], [`retire`], [`schedules`]: one command of `essaim` each.
//! - [`foreign`], [`forged`]: entries and rows that no node has written, without and with a secret of the cluster.
//! - [`kiosk`]: capabilities whose messages die of what is in them. [`mended`]: dead letters that are rehearsed, and replayed with
//!   another payload.
//! - [`delayed`]: commands that are due later. [`bridged`]: another log than before. [`crossing`]: versions that handle different messages.

mod bridged;
mod crossing;
mod dead;
mod delayed;
mod erase;
mod foreign;
mod forged;
mod kiosk;
mod ledger;
mod mended;
mod probe;
mod retire;
mod schedules;
mod stage;
mod subscriptions;
