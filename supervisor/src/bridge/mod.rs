//! What connects nodes: a wire, which carries ephemeral frames, and a log, which keeps durable messages (`log`).
//!
//! A wire promises little, and the runtime builds on that little alone: a frame arrives once, twice or never; the
//! receiver count of a publish is certain only when it is 0; and a connection that was lost may have lost frames in
//! both directions.

pub(crate) mod log;

mod embedded;
pub(crate) use embedded::{Embedded, EmbeddedLog};

mod redis;
pub(crate) use redis::{Cluster, Redis, RedisLog};

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// What a wire tells its node.
#[derive(Debug)]
pub(crate) enum WireEvent {
    /// A frame from an inbox or from everybody.
    Frame(Bytes),
    /// The connection is gone: what was under way in either direction may be lost.
    Lost,
    /// The connection is there and the inbox is subscribed.
    Restored,
    /// The inbox was unsubscribed on purpose; nothing comes after this.
    Closed,
}

/// The events of one node's wire. What is in it is bounded by the byte windows that the node granted.
pub(crate) type WireEvents = mpsc::UnboundedReceiver<WireEvent>;

/// Why a frame was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublishError {
    /// It surely was not sent.
    #[error("the wire is down")]
    NotSent,
    /// It was handed over and not answered.
    #[error("the wire did not say whether it took the frame")]
    Unanswered,
}

/// Why a node cannot have its name or a capability to itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The server does not answer.
    #[error("the bridge at {url} does not answer: {reason}; is the server up, and is bridge.url right?")]
    Unreachable {
        /// Where, without its password.
        url: String,
        /// What happened.
        reason: String,
    },
    /// What the URL leads to can be no bridge's server.
    #[error("the bridge at {url} cannot be used: {reason}")]
    Unsupported {
        /// Where, without its password.
        url: String,
        /// What it is, and what to do.
        reason: String,
    },
    /// Another live node has the name or the capability, or another cluster the server's database.
    #[error("{0}")]
    Taken(String),
}

/// One line about the server of a bridge, or why it does not answer. Each of its answers may take `response_timeout`.
///
/// # Errors
/// [`ClaimError::Unreachable`] and [`ClaimError::Unsupported`].
pub async fn check_bridge(url: &str, response_timeout: Duration) -> Result<String, ClaimError> {
    Redis::check(url, response_timeout).await
}

/// What became of the renewal of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It is this node's for another lease.
    Held,
    /// Another node has the name with a higher epoch.
    Superseded,
    /// This node cannot go on where it is, for this reason, and has to start again: another cluster stands where its own
    /// was, or another node has a capability that must have one host.
    Displaced(String),
    /// What the configuration leads to can be no bridge's server, for this reason: the node has to end.
    Unsupported(String),
    /// The server did not answer.
    Unanswered,
}

/// Who a node is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The node's name.
    pub node: String,
    /// Higher than that of any earlier node of the name.
    pub epoch: u64,
    /// The channel of the node's inbox.
    pub inbox: String,
    /// The identity of its cluster; empty in a single process.
    pub cluster: String,
}

/// Carries ephemeral frames between nodes.
pub(crate) trait Wire: Send + Sync {
    /// Sends a frame to an inbox; how many receivers the server saw.
    fn publish<'a>(&'a self, inbox: &'a str, frame: Bytes) -> BoxFuture<'a, Result<u64, PublishError>>;

    /// Sends a frame to every node, this one included; how many receivers the server saw.
    fn broadcast(&self, frame: Bytes) -> BoxFuture<'_, Result<u64, PublishError>>;

    /// Keeps the node's name and its claims for another lease.
    fn renew(&self) -> BoxFuture<'_, Renewal>;

    /// Throws the connection away and makes a new one; for a node that has found its inbox deaf.
    fn reset(&self);

    /// Unsubscribes the inbox; [`WireEvent::Closed`] comes after the last frame that was before the confirmation.
    fn close_inbox(&self) -> BoxFuture<'_, ()>;

    /// Gives the name and the claims back.
    fn release(&self) -> BoxFuture<'_, ()>;
}
