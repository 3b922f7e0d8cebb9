//! The platform as a whole: real processes, a real Redis, a real PostgreSQL, and the rules that the source must keep.
//!
//! One binary, so that it links once and its tests share one PostgreSQL server. Every test has ports, directories and
//! processes of its own; nothing it started outlives it, however it ends.
//!
//! # Layout
//!
//! - [`support`]: servers, processes and clients that tests start and wait for.
//! - [`scenario`]: one story, told alike by one process, several, and replicas.
//! - [`platform`]: the platform from outside: document, traces, figures, first start.
//! - [`records`]: message records and traces, as operators read them.
//! - [`cli`]: the command line: output and exit codes.
//! - [`colours`]: what is wrong has a colour on a terminal alone.
//! - [`first_hour`]: what somebody meets who starts the platform for the first time.
//! - [`check`]: what `essaim check` finds before a start does.
//! - [`ends`]: how commands and nodes end: codes, output that cannot be written, what is left behind.
//! - [`successor`]: a node that starts while the one before it drains.
//! - [`console`]: the operators' console: who may see it, and what it tells. [`browser`]: its pages, in Chromium.
//! - [`admin_tls`]: the admin listener over TLS: its certificates, and those who ask there.
//! - [`audit`]: who has changed what, known before it is done and after everything.
//! - [`backups`]: what a node keeps in files, copied at one moment while it works, and put back.
//! - [`chaos`]: customers at work while everything is killed, stopped and cut, again and again; final checks.
//! - [`faults`]: nodes and Redis that go away and come back.
//! - [`hostile`]: input that is wrong, or meant to do harm.
//! - [`errors`]: each way an ask can fail, in one process and across Redis.
//! - [`durable`]: dead letters, ledger, subscriptions and schedules, as operators see them.
//! - [`golden`]: bytes that other nodes rely on.
//! - [`load`]: capabilities that misbehave, and more work than there is room for.
//! - [`messages`]: what capabilities take, as operators see it.
//! - [`metrics`]: what `/metrics` tells, and the dashboard and alerts over it.
//! - [`store`]: a capability on a server that restarts, disappears or falls silent.
//! - [`structure`]: rules of the source.

// These tests watch real processes, on the machine's own clock and threads.
#![allow(clippy::disallowed_methods)]

mod admin_tls;
mod audit;
mod backups;
mod browser;
mod chaos;
mod check;
mod cli;
mod colours;
mod console;
mod durable;
mod ends;
mod errors;
mod faults;
mod first_hour;
mod golden;
mod hostile;
mod load;
mod messages;
mod metrics;
mod platform;
mod records;
mod scenario;
mod store;
mod structure;
mod successor;
mod support;
