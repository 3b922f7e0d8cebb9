//! Nodes, Redis and links that go away and come back: what clients are told meanwhile, and that nothing stays broken.
//!
//! Most tests here have customers at work all along ([`Load`]), and judge by their answers: reads never fail while a
//! host lives, an error says honestly what happened, and in the end there is one order for each acknowledgement.
//!
//! # Layout
//!
//! - [`stage`]: replicas over a Redis and a PostgreSQL, with customers.
//! - [`apart`]: environments that share one Redis server and nothing else.
//! - [`elsewhere`]: a name that leads to another server than the one that answers.
//! - [`forgotten`]: a Redis that goes on running and has forgotten what was in it.
//! - [`failover`]: a primary of Redis that is lost, and a replica that takes its place.
//! - [`full`]: a Redis whose memory is used up.
//! - [`killed`]: kill -9 of hosts and gateways. [`asleep`]: nodes that stop for longer than their lease. [`claims`]: who has a name.
//! - [`blocked`]: a handler that blocks its thread.
//! - [`bridge`]: Redis stops, falls silent, forgets everything, hangs up.
//! - [`circles`]: a node that crash-loops, since the ask graph has a cycle with it.
//! - [`drained`]: hosts and gateways that leave in order, which costs nobody anything.
//! - [`cut`]: a network link that is cut without a word. [`mixed`]: one fault after the other.
//! - [`disk`]: a database that is there and does not work.
//! - [`readiness`]: what `/readyz` and the log say of an outage.
//! - [`replaced`]: a file that is deleted, replaced or emptied under the node that has it open.
//! - [`rotated`]: another secret for the cluster.
//! - [`leavers`]: attempts of customers who are gone.
//!
//! [`Load`]: crate::support::Load

mod apart;
mod asleep;
mod blocked;
mod bridge;
mod circles;
mod claims;
mod cut;
mod disk;
mod drained;
mod elsewhere;
mod failover;
mod forgotten;
mod full;
mod killed;
mod leavers;
mod mixed;
mod readiness;
mod replaced;
mod rotated;
mod stage;
