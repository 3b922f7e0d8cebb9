//! What connects nodes: for each bridge a wire, which carries ephemeral frames, and a log, which keeps durable messages.

pub(crate) use essaim_protocol::log;
pub use essaim_protocol::wire::ClaimError;
pub(crate) use essaim_protocol::wire::{Identity, PublishError, Renewal, Wire, WireEvent, WireEvents};

mod embedded;
pub(crate) use embedded::{Embedded, EmbeddedLog};

mod redis;
pub(crate) use redis::{Cluster, Redis, RedisLog};

use std::time::Duration;

/// One line about the server of a bridge, or why it does not answer. Each of its answers may take `response_timeout`.
///
/// # Errors
/// [`ClaimError::Unreachable`] and [`ClaimError::Unsupported`].
pub async fn check_bridge(url: &str, response_timeout: Duration) -> Result<String, ClaimError> {
    Redis::check(url, response_timeout).await
}
