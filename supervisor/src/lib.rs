//! Essaim's runtime: capabilities as supervised actors that run, unchanged, in one process or in several.
//!
//! # Layout
//!
//! - [`Actor`], [`Handle`], [`Apply`], [`Hear`], [`Handles`]: what a developer implements.
//! - [`Cx`], [`Start`], [`Fault`]: what a handler may do, and how it says no.
//! - [`Client`]: how callers outside actors ask.
//! - [`Roster`], [`Node`], [`run`], [`exit`]: which capabilities there are, and a process that runs some of them.
//! - [`NodeStatus`], [`api`]: how a node is, and what operators ask it.
//! - [`Harness`]: one actor alone, for its author's tests.
//! - [`config`], [`store`], [`trace`], `otlp`, [`logs`], [`lock`], [`Near`], [`Env`]: what they stand on.
//!
//! The runtime itself is the crates below this one, each with one idea; what they offer to users is re-exported here.

pub use essaim_base::certificates::CertificateMistake;
pub use essaim_base::graph::cycle_in;
pub use essaim_base::objects::FromObjects;
pub use essaim_base::outages::OutageStatus;
pub use essaim_base::task::{TaskState, TaskStatus};
pub use essaim_base::{Backoff, Env, exit, lock};
pub use essaim_config as config;
pub use essaim_contract as contract;
pub use essaim_core::{
    Actor, Apply, Client, Cx, Fault, Handle, Handles, Health, Hear, NodeError, Roster, RunningNode, Start, StartError,
    StartupWork, check_bridge, check_export, fail, listen, reject, run,
};
pub use essaim_durable::schedule::{Missed, Schedule};
pub use essaim_durable::{SendOptions, SubscribeOptions};
pub use essaim_near::{Near, NearFigures};
pub use essaim_operate::{AbsentStatus, CapabilityStatus, MemberCapability, MemberStatus, Node, NodeStatus, api};
pub use essaim_operate::{AdminTls, WANTS_TLS, listener_warning};
pub use essaim_protocol::frame::NodeState;
#[doc(hidden)]
pub use essaim_protocol::fuzz;
pub use essaim_protocol::log::WhenFull;
pub use essaim_protocol::wire::ClaimError;
pub use essaim_testing::{Harness, Stage};

/// Operators' requests, for a capability that answers them itself.
pub mod operators {
    pub use essaim_audit::{ActEnd, Asker, AuditEntry, AuditPlace, AuditQuestion, EndKind};
    pub use essaim_operate::{
        Access, Ends, NO_EVENT, OperatorRoutes, Refusal, Right, Row, Sample, accepts_events, ask, event, event_stream,
        keep_act, log_reader, refused,
    };
}

/// Log lines: what each of them bears, for a subscriber of one's own.
pub mod logs {
    pub use essaim_base::activity::{CurrentMessage, current};
    pub use essaim_base::panic::log_panics;
    pub use essaim_logs::*;
}

/// Traces: what joins the messages of one request, and what nodes know of each message.
pub mod trace {
    pub use essaim_base::measure::Outcome;
    pub use essaim_base::trace::*;
    pub use essaim_trace::*;
}

/// Message records as spans of OpenTelemetry.
#[cfg(feature = "otlp")]
pub mod otlp {
    pub use essaim_otlp::of_trees;
}

/// Databases: a capability's own, its migrations, and the transactions of its handlers.
pub mod store {
    pub use essaim_core::api::tx::Tx;
    pub use essaim_store::models::ModelQueries;
    pub use essaim_store::{
        BudgetTooSmall, ConnectionBudget, Database, DatabaseError, DatabaseKind, DatabaseReport, Held, LocationMistake,
        Reads, RestoreError, Restored, Schema, SchemaError, TxError, check, held, make_private, restore, server_of,
        server_room, unfinished_restore,
    };
}
