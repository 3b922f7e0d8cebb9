//! What operators ask about durable messages, and have done about them, at any node.
//!
//! The node that is asked (`node`) asks the hosts of the capabilities in turn, here by a call and elsewhere over the wire,
//! and a capability's host (`host`) answers from its database and the log. What is to be done about a dead letter goes
//! through the log wherever its partition's owner has to do it.
//!
//! # Layout
//! - `form`: questions and answers, as the admin listener takes and gives them.
//! - `node`: the node that is asked; `host`: a capability's host; `wire`: what goes between the two.
//! - `retiring`: the end of a capability that is gone for good.
//! - `letters`: dead letters, whichever place keeps them; `again`: what is done about them; `payload`: what is in them.

mod again;
pub mod form;
mod host;
mod letters;
mod node;
mod payload;
mod retiring;
mod wire;

pub use form::*;
pub(crate) use host::{answer, report};
pub(crate) use node::{Answers, Refusal};
pub(crate) use wire::{capability_of, name_of};
