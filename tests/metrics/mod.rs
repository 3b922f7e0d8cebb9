//! Metrics as Prometheus sees them: scraped from real nodes, read by Prometheus' own Python client, and used by the dashboard and
//! the alerts.
//!
//! # Layout
//!
//! - [`scrape`]: an answer of `/metrics`, parsed.
//! - [`ledger`]: that the served numbers alone account for all durable messages, in one process and across Redis.
//! - [`bounds`]: that no client makes labels. [`away`]: a database or a Redis that does not answer.
//! - [`queries`]: that dashboard and alerts name what is served.

mod away;
mod bounds;
mod ledger;
mod queries;
mod scrape;
