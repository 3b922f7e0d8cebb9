//! The gateway: one HTTP server in front of all capabilities.
//!
//! It mounts the routes that the roster hands it ([`RouteSet`](essaim_http::RouteSet)) and does for all of them what
//! none should do alone: it verifies access tokens, limits rates, sizes and times, joins traces, writes one log line a
//! request, and makes every error a problem. It knows no capability but `auth`, whose keys it needs.
//!
//! # Layout
//!
//! - [`GatewayActor`], [`GatewaySettings`]: what the roster hosts.
//! - `server`: the address, the workers, the drain.
//! - `gate`: the one middleware that every request passes; `visit` is what it knows of a request, `answer` the form of
//!   every response.
//! - `tokens`, `keys`: who is logged in.  `rate`, `address`, `cors`: who may come in.
//! - `stream`: a connection below HTTP, with its limits of time; `refusal` what is no request at all.
//! - `pages`: health, status and documentation; `document` the OpenAPI document; `unmatched` what no route takes.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod actor;
pub use actor::{GatewayActor, Shared};

mod settings;
pub use settings::GatewaySettings;

/// Checks that no two capabilities have the same route, or describe something differently, as a start of the gateway would.
///
/// # Errors
/// The first conflict.
pub fn check_routes(routes: &essaim_http::RouteSet) -> Result<(), essaim::StartError> {
    document::Document::of(routes).map(drop)
}

mod address;
mod answer;
mod bounded;
mod cors;
mod document;
mod framing;
mod front;
mod gate;
mod home;
mod keys;
mod pages;
mod rate;
mod record;
mod refusal;
mod server;
mod stream;
mod tokens;
mod unmatched;
mod visit;

#[cfg(test)]
mod tests;
