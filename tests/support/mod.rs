//! Servers, processes and clients that tests start and wait for.
//!
//! # Layout
//!
//! - [`Redis`], [`Postgres`]: real servers, each on a free port with a directory of its own.
//! - [`Cluster`]: the platform in one `essaim` process or in several.
//! - [`Api`]: a client of its HTTP interface.
//! - [`Process`], [`Signal`]: a child process, its output, its end.
//! - [`eventually`]: the one place that polls, for what no event announces.

// A support library is larger than what today's tests happen to use of it.
#![allow(dead_code, unused_imports)]

mod eventually;
pub use eventually::{PATIENCE, eventually};

mod keeper;
mod output;

mod ports;
pub use ports::free_port;

mod process;
pub use process::{Process, Signal, children_of, send};

mod scratch;
pub use scratch::{Scratch, repository};

mod redis;
pub use redis::Redis;

mod postgres;
pub use postgres::{Database, Postgres};

mod api;
pub use api::{Answer, Api};

mod cluster;
pub use cluster::{ADMIN_EMAIL, ADMIN_PASSWORD, Cluster, ClusterBuilder, ClusterNode, essaim};
