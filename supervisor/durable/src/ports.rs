//! The ports of this module: what the rest of the node implements, so that nothing here knows of hosts, buses or members.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::call::Call;
use essaim_contract::{AskError, NotDelivered};
use essaim_protocol::log::Subscription;
use futures_util::future::LocalBoxFuture;

use super::partition::delivery::DeliveryContext;

/// Result of a durable message's handler; a rejection as text.
pub type Applied = Result<(), AskError<String>>;

/// One capability's handlers in this node.
pub trait Handlers: Send + Sync {
    /// The capability's name.
    fn capability(&self) -> &Arc<str>;

    /// The wire names of the durable messages that it handles; an event says how its capability subscribes.
    fn messages(&self) -> Vec<(Arc<str>, Option<Subscription>)>;

    /// The handler of a message.
    fn handler_of(&self, message: &str) -> Option<DurableHandler>;

    /// Decodes a message and has the handler apply it. The result is awaited on the calling thread.
    ///
    /// # Errors
    /// Why no handler takes it.
    fn apply(
        self: Arc<Self>,
        handler: DurableHandler,
        body: &[u8],
        call: Call,
        delivery: Arc<DeliveryContext>,
    ) -> Result<LocalBoxFuture<'static, Applied>, NotDelivered>;

    /// How many messages it handles at a time.
    fn instances(&self) -> usize;

    /// Waits until an instance is up.
    fn running(&self) -> LocalBoxFuture<'_, ()>;

    /// Whether it rests, having been given up.
    fn is_resting(&self) -> bool;

    /// Whether handlers have blocked all its threads for so long.
    fn is_blocked_for(&self, limit: Duration) -> bool;
}

/// The handler of one durable message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableHandler {
    /// Its place among all handlers of the capability.
    pub entry: usize,
    /// How the capability subscribes, if the message is an event.
    pub subscription: Option<Subscription>,
}

/// The other nodes of the cluster.
pub trait Peers: Send + Sync {
    /// Whether a live node of this name hosts a capability.
    fn hosts(&self, node: &str, capability: &str) -> bool;
}
