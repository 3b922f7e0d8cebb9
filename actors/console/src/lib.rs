//! The operators' console: pages that show what all nodes do and what went wrong, served by the node that hosts it.
//!
//! The pages are files of this crate (`assets/`), without a build step; they ask what the command line asks
//! ([`OperatorRoutes`](essaim::operators::OperatorRoutes)), and a few things made for them.
//!
//! # Layout
//! - [`ConsoleActor`], [`ConsoleSettings`]: what the roster hosts. `console`: what all requests share; `server`: who listens.
//! - `assets`: the pages. `guard`: what every request passes; `session`, `login`: who is logged in; `access`: who
//!   asks what operators ask.
//! - `traces`: one trace with all that its page shows. `overview`: all nodes at one moment, with `links` between their
//!   capabilities; `layout`: where boxes and arrows are drawn. `readers`: how many pages are told what changes.
//! - `store`: the tables.

mod access;
mod actor;
mod assets;
mod console;
mod guard;
mod layout;
mod links;
mod login;
mod overview;
mod readers;
mod server;
mod session;
mod settings;
mod store;
mod traces;

pub use self::actor::{ConsoleActor, ConsoleShared};
pub use self::settings::{ConsoleSettings, LoginRule};
