//! What texts that people give may be, and when two of them are one: the rules that several capabilities share.
//!
//! # Layout
//!
//! - [`visible`]: texts of which something is seen.
//! - [`Mailbox`]: e-mail addresses, and which of them are the same mailbox.

pub mod visible;

mod mailbox;
pub use mailbox::{Mailbox, NotAMailbox, caseless};
