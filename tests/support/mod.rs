//! Servers, processes and clients that tests start and wait for.
//!
//! # Layout
//!
//! - [`Redis`], [`Postgres`]: real servers, each on a free port with a directory of its own. [`Sentinel`]: it promotes
//!   a replica.
//! - [`PgBouncer`]: a pooler. [`Authority`]: certificates.
//! - [`Namespace`]: a network of one's own behind a link that can be cut.
//! - [`Name`]: an address that leads to one server, and later to another; [`Pair`], two servers of Redis behind one.
//! - [`Cluster`]: the platform in one `essaim` process or in several, each a [`ClusterNode`].
//! - [`Api`]: a client of its HTTP interface.
//! - [`Load`]: customers of it, who count what they are told; [`Kept`], the connection that each of them keeps.
//! - [`Raw`]: a client of bytes that need not be HTTP.
//! - [`Clock`]: a wall clock that jumps. [`Disk`]: one that can be full.
//! - [`Process`], [`Signal`]: a child process, its output, its end.
//! - [`eventually`]: the one place that polls, for what no event announces. [`tells`]: what a command comes to.

// A support library is larger than what today's tests happen to use of it.
#![allow(dead_code, unused_imports)]

mod eventually;
pub use eventually::{PATIENCE, eventually};

mod told;
pub use told::tells;

mod keeper;
mod output;

mod ports;
pub use ports::free_port;

mod process;
pub use process::{Process, Signal, children_of, send};

mod clock;
pub use clock::Clock;

mod disk;
pub use disk::Disk;

mod scratch;
pub use scratch::{Scratch, repository};

mod redis;
pub use redis::{Redis, copy_all};

mod sentinel;
pub use sentinel::Sentinel;

mod postgres;
pub use postgres::{Database, Postgres};

mod certificates;
pub use certificates::{Authority, Certificate};

mod pgbouncer;
pub use pgbouncer::PgBouncer;

mod api;
pub use api::{Answer, Api};

mod name;
pub use name::Name;

mod pair;
pub use pair::Pair;

mod namespace;
pub use namespace::Namespace;

mod kept;
pub use kept::{Kept, Reply, Request};

mod load;
pub use load::{Count, GATEWAY_KILLED, Load, Product, Told};

mod raw;
pub use raw::Raw;

mod node;
pub use node::ClusterNode;

mod cluster;
pub use cluster::{ADMIN_EMAIL, ADMIN_PASSWORD, Cluster, ClusterBuilder, essaim};
