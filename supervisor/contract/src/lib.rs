//! Messages of capabilities and their errors: plain serde types, with no runtime behind them.
//!
//! A capability's contract crate names the capability and its messages; callers depend on the contract alone and
//! never on the implementation, so a capability can move to another process, or be rewritten, without its callers
//! noticing.
//!
//! # Layout
//!
//! - [`Capability`], [`Message`], [`Ask`], [`Broadcast`]: what a contract declares.
//! - [`Command`], [`Event`], [`MessageId`], [`SendError`]: messages that are stored until they are handled.
//! - [`AskError`], [`NotDelivered`], [`Unknown`], [`Failure`]: the error of an ask, which says no more than is known.
//! - [`Schemas`], [`message_schema!`], [`ask_schemas!`]: the forms of messages as JSON Schema.
//! - [`Principal`], [`Metadata`]: what travels with every message.

mod durable;
pub use durable::{Command, Event, MessageId, SendError};

mod error;
pub use error::{AskError, Failure, FailureKind, NotDelivered, Unknown};

mod message;
pub use message::{Ask, Broadcast, Capability, Message, Never, wire_name};

mod principal;
pub use principal::{Metadata, Principal};

mod schema;
pub use schema::{JsonSchema, Schemas};
