//! The protocol of Essaim's nodes: the frames that they publish to each other, the records that they store, and the traits of
//! the two things that a bridge has to give, a wire for ephemeral frames and a log for durable messages.
//!
//! # Layout
//!
//! - [`wire`]: the trait [`Wire`](wire::Wire), its events and errors.
//! - [`log`]: the trait [`Log`](log::Log), its types, and the assignment of partitions to hosts.
//! - [`frame`]: the frames on the wire; `docs/protocol.md` describes them for other languages.
//! - [`frame_origin`]: whether a node made a frame.
//! - [`record`]: the messages in the log.
//! - [`keys`]: the secrets of a cluster, by which frames and records are told from forged ones.
//! - `conformance`: the cases that every log has to pass, behind a feature of that name.
//! - [`fuzz`]: what fuzzers do with a frame.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.

pub mod frame;
pub mod frame_origin;
#[doc(hidden)]
pub mod fuzz;
pub mod keys;
pub mod log;
pub mod record;
pub mod wire;

#[cfg(feature = "conformance")]
pub mod conformance;
