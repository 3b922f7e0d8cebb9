//! What authors of capabilities see.

pub mod actor;
pub mod client;
pub mod cx;
pub mod fault;
pub mod handles;
pub mod listen;
pub mod start;
pub mod startup;
pub mod tx;
