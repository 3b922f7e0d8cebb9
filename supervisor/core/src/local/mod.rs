//! The execution of messages in this process. `cell` and `arbiters` are the only files that know actix.

pub mod admission;
pub mod arbiters;
pub mod cell;
pub mod declared;
pub mod from_json;
pub mod guard;
pub mod handler;
pub mod host;
pub mod instance;
pub mod keys;
pub mod local_call;
pub mod mailbox;
pub mod run;
pub mod span;
pub mod supervision;
pub mod watchdog;

#[cfg(test)]
pub mod testing;
