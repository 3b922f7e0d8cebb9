//! The link to one inbox: a queue, and the credit that the receiver granted.
//!
//! Flow control is a pair of byte counts, as in QUIC: the sender says how many bytes it has sent before each frame, the
//! receiver up to how many it may send. A lost frame only makes the receiver's count jump, so no credit leaks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::slot::Slot;
use essaim_contract::{AskError, NotDelivered};
use essaim_protocol::frame::RawAnswer;
use tokio::sync::Notify;

pub struct PeerLink {
    /// The node at the other end, for errors and logs.
    pub node: Arc<str>,
    pub inbox: String,
    pub(super) limits: LinkLimits,
    /// The peer's initial grant: the most that it ever grants at once.
    pub(super) peer_window_bytes: u64,
    pub(super) state: Mutex<LinkState>,
    pub(super) wake: Notify,
}

/// The bounds of a link.
#[derive(Debug, Clone, Copy)]
pub struct LinkLimits {
    /// A frame is closed when it holds this many bytes.
    pub frame_bytes: u64,
    /// Bytes of asks that may be queued.
    pub queue_bytes: u64,
    /// Bytes that the peer may have on the way to this node.
    pub window_bytes: u64,
    /// How long a writer without credit waits before it requests some.
    pub credit_request_after: Duration,
}

pub(super) struct LinkState {
    /// Bounded by `queue_bytes` for asks, and for all else by what the peer asked for.
    pub(super) queue: VecDeque<QueuedMessage>,
    pub(super) queued_bytes: u64,
    /// Outbound: bytes sent, and the total that the peer has granted.
    pub(super) sent_bytes: u64,
    pub(super) granted_bytes: u64,
    /// Inbound: bytes received, and the total that this node has last granted the peer.
    pub(super) received_bytes: u64,
    pub(super) advertised_bytes: u64,
    /// Whether the peer waits for a grant.
    pub(super) peer_wants_credit: bool,
    /// Whether a frame is being published.
    pub(super) is_publishing: bool,
    /// Whether the inbox had no subscriber when the last frame was published.
    pub(super) has_no_subscriber: bool,
    pub(super) is_closed: bool,
}

pub(super) struct QueuedMessage {
    pub(super) bytes: Vec<u8>,
    /// The slot of an ask, which begins when the ask is handed to the wire.
    pub(super) ask: Option<Arc<Slot<RawAnswer>>>,
}

/// Why a link did not queue an ask.
#[derive(Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// Its queue holds as many bytes as it may.
    Full { bound: u64 },
    /// It was closed since the asker chose it; its writer has ended.
    Closed,
}

impl PeerLink {
    /// A link whose peer grants `granted_bytes` initially.
    pub fn new(node: Arc<str>, inbox: String, limits: LinkLimits, granted_bytes: u64) -> Self {
        let state = LinkState {
            queue: VecDeque::new(),
            queued_bytes: 0,
            sent_bytes: 0,
            granted_bytes,
            received_bytes: 0,
            advertised_bytes: limits.window_bytes,
            peer_wants_credit: false,
            is_publishing: false,
            has_no_subscriber: false,
            is_closed: false,
        };
        Self { node, inbox, limits, peer_window_bytes: granted_bytes, state: Mutex::new(state), wake: Notify::new() }
    }

    /// Queues an ask; its slot begins when the ask is handed to the wire.
    pub fn enqueue_ask(&self, bytes: Vec<u8>, slot: Arc<Slot<RawAnswer>>) -> Result<(), NotQueued> {
        let state = self.lock();
        if state.is_closed {
            return Err(NotQueued::Closed);
        }
        if state.queued_bytes + bytes.len() as u64 > self.limits.queue_bytes {
            return Err(NotQueued::Full { bound: self.limits.queue_bytes });
        }
        self.push(state, QueuedMessage { bytes, ask: Some(slot) });
        Ok(())
    }

    /// Queues any other message, and says whether it did. What the peer asked for bounds these messages, so only a closed
    /// link refuses them.
    pub fn enqueue(&self, bytes: Vec<u8>) -> bool {
        let state = self.lock();
        let is_open = !state.is_closed;
        if is_open {
            self.push(state, QueuedMessage { bytes, ask: None });
        }
        is_open
    }

    fn push(&self, mut state: MutexGuard<'_, LinkState>, message: QueuedMessage) {
        state.queued_bytes += message.bytes.len() as u64;
        state.queue.push_back(message);
        drop(state);
        self.wake.notify_one();
    }

    /// Number of queued messages.
    pub fn queue_len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Whether nothing is queued and nothing is being published.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.queue.is_empty() && !state.is_publishing
    }

    /// Whether the inbox had no subscriber when the last frame was published, and the peer gave no sign of life since.
    pub fn has_no_subscriber(&self) -> bool {
        self.lock().has_no_subscriber
    }

    /// Records how many receivers the server counted for a frame; a sign of life of the peer counts as one.
    pub fn record_receivers(&self, receivers: u64) {
        self.lock().has_no_subscriber = receivers == 0;
    }

    /// Records a frame from the peer: how much the peer has sent by now, and what it grants.
    pub fn record_frame(&self, sent_before: u64, frame_bytes: u64, granted_bytes: u64) {
        let mut state = self.lock();
        state.received_bytes = state.received_bytes.max(sent_before.saturating_add(frame_bytes));
        state.granted_bytes = state.granted_bytes.max(granted_bytes);
        drop(state);
        self.wake.notify_one();
    }

    /// Records that the peer waits for a grant.
    pub fn record_credit_request(&self) {
        self.lock().peer_wants_credit = true;
        self.wake.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Ends the writer; queued messages are not sent.
    pub fn close(&self) {
        let unsent = {
            let mut state = self.lock();
            state.is_closed = true;
            state.queued_bytes = 0;
            std::mem::take(&mut state.queue)
        };
        for slot in unsent.into_iter().filter_map(|m| m.ask) {
            slot.answer(Err(AskError::NotDelivered(NotDelivered::Unreachable { node: self.node.to_string() })));
        }
        self.wake.notify_one();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests;
