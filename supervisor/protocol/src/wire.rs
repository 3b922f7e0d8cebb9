//! The wire: it carries ephemeral frames between nodes.
//!
//! A wire promises little, and the runtime builds on that little alone: a frame arrives once, twice or never; the receiver count
//! of a publish is certain only when it is 0; and a connection that was lost may have lost frames in both directions.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// An event that a wire reports to its node.
#[derive(Debug)]
pub enum WireEvent {
    /// A frame, and the channel on which it came.
    Frame(Channel, Bytes),
    /// The connection is lost, and with it perhaps frames in both directions.
    Lost,
    /// The connection is up and the inbox is subscribed.
    Restored,
    /// The inbox was unsubscribed by [`Wire::close_inbox`]; no event comes after this.
    Closed,
}

/// A channel that a node hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Its own inbox.
    Inbox,
    /// That of broadcasts.
    Broadcast,
}

/// The events of one node's wire. Bounded by the byte windows that the node has granted.
pub type WireEvents = mpsc::UnboundedReceiver<WireEvent>;

/// Why a frame was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The frame was certainly not sent.
    #[error("the wire is down")]
    NotSent,
    /// The frame was handed to the client library and not answered.
    #[error("the wire did not say whether it took the frame")]
    Unanswered,
}

/// Why a node cannot have its name or a capability to itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The server does not answer.
    #[error("the bridge at {url} does not answer: {reason}; is the server up, and is bridge.url right?")]
    Unreachable {
        /// Its URL, without the password.
        url: String,
        /// The error.
        reason: String,
    },
    /// The URL is none.
    #[error("bridge.url ({url}) leads nowhere: {reason}")]
    Malformed {
        /// The URL, without the password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server at the URL cannot be a bridge.
    #[error("the bridge at {url} cannot be used: {reason}")]
    Unsupported {
        /// Its URL, without the password.
        url: String,
        /// What the server is, and what to do.
        reason: String,
    },
    /// Another live node has the name or the capability, or another cluster the server's database.
    #[error("{0}")]
    Taken(String),
}

/// What a look at the server of a bridge has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeReport {
    /// What it is, and where.
    pub server: String,
    /// What keeps nodes from using it, each with what to do.
    pub problems: Vec<String>,
    /// What it does worse than it is asked to, each with what to do.
    pub warnings: Vec<String>,
}

/// The result of renewing a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// The claim is this node's for another lease.
    Held,
    /// Another node has the name with a higher epoch.
    Superseded,
    /// This node has to start again, for this reason: another cluster has taken the database of its own, or another node has a
    /// capability that must have one host.
    Displaced(String),
    /// The configured server cannot be a bridge, for this reason: the node has to end.
    Unsupported(String),
    /// The server did not answer.
    Unanswered,
}

/// The identity of a node on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The node's name.
    pub node: String,
    /// Higher than that of any earlier node of the name.
    pub epoch: u64,
    /// The channel of the node's inbox.
    pub inbox: String,
    /// The channel of broadcasts.
    pub broadcast: String,
    /// The identity of its cluster; empty in a single process.
    pub cluster: String,
}

impl Identity {
    /// The name of a channel that the node hears.
    pub fn channel(&self, channel: Channel) -> &str {
        match channel {
            Channel::Inbox => &self.inbox,
            Channel::Broadcast => &self.broadcast,
        }
    }
}

/// Carries ephemeral frames between nodes.
pub trait Wire: Send + Sync {
    /// Sends a frame to an inbox, and returns the receiver count of the server.
    fn publish<'a>(&'a self, inbox: &'a str, frame: Bytes) -> BoxFuture<'a, Result<u64, PublishError>>;

    /// Sends a frame to every node, this one included, and returns the receiver count of the server.
    fn broadcast(&self, frame: Bytes) -> BoxFuture<'_, Result<u64, PublishError>>;

    /// Renews the claims of the node on its name and its capabilities for another lease.
    fn renew(&self) -> BoxFuture<'_, Renewal>;

    /// Tells who waits for the claims of this node that it drains, and will have released them within this time.
    fn announce_release(&self, _within: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Replaces the connection, for a node whose own ping does not come back.
    fn reset(&self);

    /// Unsubscribes the inbox; [`WireEvent::Closed`] follows the last frame before the server's confirmation.
    fn close_inbox(&self) -> BoxFuture<'_, ()>;

    /// Releases the claims.
    fn release(&self) -> BoxFuture<'_, ()>;
}
