//! Customers place and cancel orders while everything under them is killed, stopped, drained and cut off. In the end,
//! when all is up and nothing is under way, the databases agree with what the customers were told: every acknowledged
//! order exists once and in a final state, the stock balances to the piece, and so does every ledger.
//!
//! The seed decides what happens when. It is printed, and `ESSAIM_CHAOS_SEED=N` sets it; `ESSAIM_CHAOS_ROUNDS=N` makes it
//! longer.
//!
//! # Layout
//!
//! - [`rounds`]: one fault after the other, in one process and in several.
//! - [`crashes`]: a process that dies at each step between a transaction and its acknowledgement.
//! - [`panics`]: a task of the runtime that panics.
//! - [`blocks`]: a handler that blocks its thread in the midst of its transaction.
//! - [`clocks`]: a wall clock that jumps.
//! - [`servers`]: a Redis that others write into, that forgets, that is full, or that is demoted behind its name.
//! - [`shoppers`]: the customers, and what they were told; [`leavers`]: those who go away for good.
//! - [`check`]: what must be so when all is up again.

mod blocks;
mod check;
mod clocks;
mod crashes;
mod leavers;
mod panics;
mod rounds;
mod servers;
mod shoppers;

pub(crate) use self::check::ledgers_balance;
pub(crate) use self::shoppers::Shoppers;
