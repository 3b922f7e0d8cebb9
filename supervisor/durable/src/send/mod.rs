//! The way of durable messages into the log.
//!
//! # Layout
//! - `message`: an outgoing message, encoded; `options`: what its sender may say about it.
//! - `handler_effects`: what the runtime writes with a handler's transaction, what the handler sends among it.
//! - `sent_record`: the record of what was sent.
//! - `sender`: stores in the log what this node sends, many messages at a time.

pub mod handler_effects;
pub mod message;
pub mod options;
pub mod sender;
pub mod sent_record;
