//! Message records as spans of OpenTelemetry (OTLP), and their export to a receiver.
//!
//! A handler's record is a span with the record's own ids and parent. A sender's record has no id of its own: it is a span
//! beside the handler's, whose id is derived from what both halves know, and which the handler's span names as a link.
//!
//! # Layout
//! - `span`: a record as a span; `attributes`: its attributes; `request`: spans of nodes with their resources, as one request.
//! - `receiver`: where requests are sent, over gRPC or HTTP; `exporter`: the task that reads a node's records and sends them.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.

mod attributes;
mod exporter;
mod receiver;
mod request;
mod span;

pub use self::exporter::Exporter;
pub use self::receiver::OtlpError;
pub use self::request::of_trees;
