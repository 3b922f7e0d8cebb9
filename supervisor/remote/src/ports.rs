//! The ports of this module: what the rest of the node implements, so that nothing here knows of buses, hosts or arbiters.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use essaim_base::call::{Call, WireOrigin};
use essaim_base::trace::TraceHeaders;
use essaim_contract::NotDelivered;
use essaim_protocol::frame::{HostReport, RawAnswer};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::LocalBoxStream;

pub use super::answering::AskBatch;

/// What the node does with the messages of other nodes.
pub trait Inbound: Send + Sync {
    /// Whether the runtime itself answers asks of this name: on the node's own thread, even while its actors are busy or
    /// blocked.
    fn is_for_the_runtime(&self, name: &str) -> bool;

    /// Answers an ask. The answer is awaited on the thread of the call.
    ///
    /// # Errors
    /// Why the ask is not taken.
    fn answer(
        self: Arc<Self>,
        name: &str,
        body: &[u8],
        call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered>;

    /// Delivers a broadcast; where it came from, if its record is kept.
    fn on_broadcast(&self, name: &str, body: &[u8], trace: TraceHeaders, origin: Option<Arc<WireOrigin>>);

    /// The wire was lost for a while: broadcasts, such as the invalidations of caches, may have been missed.
    fn on_missed_broadcasts(&self);
}

/// The capabilities that this node hosts.
pub trait Hosts: Send + Sync {
    /// Their names.
    fn names(&self) -> Vec<Arc<str>>;

    /// What heartbeats report of each, as of now.
    fn reports(&self) -> BTreeMap<String, HostReport>;

    /// An item whenever one of them comes up or is given up. No change after the call is missed.
    fn changes(&self, capability: &str) -> LocalBoxStream<'static, ()>;
}

/// The threads on which asks for actors are answered.
pub trait AnswerThreads: Send + Sync {
    /// Answers a batch on the thread whose turn it is, or at once if the calling thread is one of them.
    fn answer_in_turn(&self, turn: usize, batch: AskBatch);
}

/// All ports. They are weak since the node, which holds `Remote`, implements them.
pub struct Ports {
    pub inbound: Weak<dyn Inbound>,
    pub hosts: Weak<dyn Hosts>,
    pub threads: Weak<dyn AnswerThreads>,
}
