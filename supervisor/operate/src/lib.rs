//! What operators, probes and other nodes ask of a node itself: the admin listener, status, and requests about durable
//! messages.
//!
//! The node that is asked (`requests`) asks the hosts of the capabilities in turn, here by a call and elsewhere over the wire,
//! and a capability's host (`host`) answers from its database and the log. What is to be done about a dead letter goes
//! through the log wherever its partition's owner has to do it.
//!
//! # Layout
//! - `node`: a node with all of this; `admin`: its listeners; `routes`: operators' requests at any listener, `access`: who may ask; `system`: the runtime's own asks, which other nodes send: `node_ask` those to a node itself.
//! - `https`, `tls`: the admin listener over TLS, and its certificate.
//! - `askers`: who asks at those listeners; `audit`: what they change is kept before it is done.
//! - `backup`: copies of the files of a node, at one moment.
//! - `api`: requests and answers, as the admin listener takes and gives them.
//! - `requests`, `retire`: how the node that is asked answers them; `host`: how a capability's host does; `operation`: what goes
//!   between the two.
//! - `dead_letters`: dead letters, in the database or in the log; `replay`: what is done about them; `payload`: what is in
//!   them, `edited`: one with another payload, checked, rehearsed or replayed, and `edit_requests`: how it is asked for.
//! - `figures`: what nodes count, and how fast that grows. `follow`: what is written from now on, as it is written.
//! - `logs`: log lines of all nodes. `records`: message records of all nodes, and traces; `gathering`: their storage, `last_records`:
//!   that of a node that leaves, `stored`: how they are read; `running`: what handlers do at the moment; `why`: why something is slow
//!   or stuck, in sentences.
//! - `parked`: messages that wait for another attempt. `schedules`: what capabilities send themselves at set times. `config`: the configuration in force. `contracts`: the messages that capabilities take; `checking`: JSON becomes one of them, and `sending`: it is sent.
//! - `status`: how nodes and their capabilities are; `metrics`: what they count, for Prometheus.
//! - `tests`: a whole node, above all its durable messages from end to end.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod access;
mod admin;
pub mod api;
mod askers;
mod audit;
mod backup;
mod checking;
mod config;
mod contracts;
mod dead_letters;
mod edit_requests;
mod edited;
mod figures;
mod follow;
mod gathering;
mod host;
mod https;
mod last_records;
mod logs;
mod metrics;
mod node;
mod node_ask;
mod operation;
mod parked;
mod payload;
mod records;
mod replay;
mod requests;
mod retire;
mod routes;
mod running;
mod schedules;
mod sending;
mod status;
mod stored;
mod subject;
mod system;
#[cfg(test)]
mod tests;
mod tls;
mod why;

pub use self::access::{Access, Right, log_reader};
pub use self::askers::listener_warning;
pub use self::audit::keep_act;
pub use self::figures::{Row, Sample};
pub use self::follow::{NO_EVENT, event};
pub use self::https::WANTS_TLS;
pub use self::node::Node;
pub use self::requests::{Refusal, ask};
pub use self::routes::{Ends, OperatorRoutes, accepts_events, event_stream, refused};
pub use self::status::{AbsentStatus, BlockingStatus, CapabilityStatus, MemberCapability, MemberStatus, NodeStatus};
pub use self::system::operators;
pub use self::tls::AdminTls;
