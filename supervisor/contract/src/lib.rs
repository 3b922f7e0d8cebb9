//! What capabilities say to each other: plain serde types, with no runtime behind them.
//!
//! A capability's contract crate names the capability and its messages; callers depend on the contract alone and
//! never on the implementation, so a capability can move to another process, or be rewritten, without its callers
//! noticing.
//!
//! # Layout
//!
//! - [`Capability`], [`Message`], [`Ask`], [`Broadcast`]: what a contract declares.
//! - [`AskError`], [`NotDelivered`], [`Unknown`], [`Failure`]: what became of an ask, told truthfully.
//! - [`Principal`], [`Metadata`]: what travels with every message.

mod error;
pub use error::{AskError, Failure, FailureKind, NotDelivered, Unknown};

mod message;
pub use message::{Ask, Broadcast, Capability, Message, Never, wire_name};

mod principal;
pub use principal::{Metadata, Principal};
