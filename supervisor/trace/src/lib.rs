//! Message records: what a node knows of each message that it sent or handled, kept in memory for a while.
//!
//! The handler of a message writes one record at its end. The sender of a message writes another where the handler's cannot
//! say all: if the message crossed the wire, was stored, or did not arrive. The records of a trace, from all nodes, are its
//! tree.
//!
//! # Layout
//! - `record`: one record. `ring`: the memory that keeps them. `recorder`: a node's rings, and which traces are kept in them.
//! - `shown`: what records show of a message itself. `text`: a text that many of them share. `sampler`: the share of new traces
//!   that is kept. `clock`: moments as records tell them. `export`: what is counted of their export.
//! - `filter`: conditions on the fields of records. `tree`: the records of a trace, joined; `skew`: clocks that differ.
//! - `steps`: what happens in the sequence diagram of a trace; `mermaid`: the diagram as text for a ticket.
//! - `duration`: times as people read them.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.

mod clock;
mod duration;
mod export;
mod filter;
mod mermaid;
mod record;
mod recorder;
mod ring;
mod sampler;
mod shown;
mod skew;
mod steps;
mod text;
mod tree;

pub use self::duration::duration;
pub use self::export::{ExportCounts, ExportFigures};
pub use self::filter::{Conditions, Field, Filter, FilterError, Filterable};
pub use self::mermaid::mermaid;
pub use self::record::{Half, MessageKind, MessageRecord, TraceId};
pub use self::recorder::{Cursor, Page, Recorder};
pub use self::ring::{Footprint, Ring};
pub use self::shown::{Shown, shown_key};
pub use self::steps::{Step, Steps};
pub use self::text::Text;
pub use self::tree::{Span, TraceTree};
