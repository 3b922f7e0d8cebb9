//! The link to one inbox: a queue, a writer, and the credit that the receiver granted.
//!
//! One writer packs all queued messages into one frame and publishes it; the next messages gather while the server
//! answers. So frames batch by themselves: idle traffic leaves at once, busy traffic shares the cost.
//!
//! Flow control is a pair of byte counts, as in QUIC: the sender says how many bytes it has sent before each frame, the
//! receiver up to how many it may send. A lost frame only makes the receiver's count jump, so no credit leaks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::slot::Slot;
use essaim_contract::{AskError, NotDelivered, Unknown};
use essaim_protocol::frame::{self, FrameHeader, FrameMessage, RawAnswer, VERSION};
use essaim_protocol::wire::{Identity, PublishError, Wire};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Bytes that a header adds to a frame, at most.
const HEADER_BYTES: u64 = 512;

pub struct PeerLink {
    /// The node at the other end, for errors and logs.
    pub node: Arc<str>,
    pub inbox: String,
    limits: LinkLimits,
    /// The peer's initial grant: the most that it ever grants at once.
    peer_window_bytes: u64,
    state: Mutex<LinkState>,
    wake: Notify,
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

struct LinkState {
    /// Bounded by `queue_bytes` for asks, and for all else by what the peer asked for.
    queue: VecDeque<QueuedMessage>,
    queued_bytes: u64,
    /// Outbound: bytes sent, and the total that the peer has granted.
    sent_bytes: u64,
    granted_bytes: u64,
    /// Inbound: bytes received, and the total that this node has last granted the peer.
    received_bytes: u64,
    advertised_bytes: u64,
    /// Whether the peer waits for a grant.
    peer_wants_credit: bool,
    /// Whether a frame is being published.
    is_publishing: bool,
    /// Whether the inbox had no subscriber when the last frame was published.
    has_no_subscriber: bool,
    is_closed: bool,
}

struct QueuedMessage {
    bytes: Vec<u8>,
    /// The slot of an ask, which begins when the ask is handed to the wire.
    ask: Option<Arc<Slot<RawAnswer>>>,
}

/// The queue of a link holds as many bytes as it may.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkFull {
    pub bound: u64,
}

/// What the writer does next.
enum WriterStep {
    Publish { frame: Vec<Vec<u8>>, asks: Vec<Arc<Slot<RawAnswer>>>, sent_bytes: u64, granted_bytes: u64 },
    WaitForCredit,
    WaitForMessage,
    End,
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
    pub fn enqueue_ask(&self, bytes: Vec<u8>, slot: Arc<Slot<RawAnswer>>) -> Result<(), LinkFull> {
        let state = self.lock();
        if state.queued_bytes + bytes.len() as u64 > self.limits.queue_bytes {
            return Err(LinkFull { bound: self.limits.queue_bytes });
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

    fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock()
    }

    fn next_step(&self) -> WriterStep {
        let mut state = self.lock();
        if state.is_closed {
            return WriterStep::End;
        }
        debug_assert!(!state.is_publishing, "one writer publishes one frame at a time");
        let mut frame = Vec::new();
        let mut asks = Vec::new();
        let mut bytes = 0;
        while let Some(message) = state.queue.front() {
            let more = message.bytes.len() as u64;
            let credit = state.granted_bytes.saturating_sub(state.sent_bytes);
            // With the whole window free even a message larger than the window may go; nothing else would move it.
            let fits = bytes + more + HEADER_BYTES <= credit
                || (bytes == 0 && credit >= self.peer_window_bytes.min(self.limits.window_bytes));
            if !fits || (bytes > 0 && bytes + more > self.limits.frame_bytes) {
                break;
            }
            let Some(message) = state.queue.pop_front() else { break };
            debug_assert!(state.queued_bytes >= more, "queued bytes are those of the queue");
            state.queued_bytes -= more;
            match message.ask {
                // The asker withdrew it.
                Some(slot) if slot.begin().is_none() => continue,
                Some(slot) => asks.push(slot),
                None => {}
            }
            bytes += more;
            frame.push(message.bytes);
        }
        let grantable = state.received_bytes.saturating_add(self.limits.window_bytes);
        debug_assert!(grantable >= state.advertised_bytes, "a grant is never taken back");
        let unadvertised = grantable.saturating_sub(state.advertised_bytes);
        if frame.is_empty() && !state.peer_wants_credit && unadvertised < self.limits.window_bytes / 2 {
            return if state.queue.is_empty() { WriterStep::WaitForMessage } else { WriterStep::WaitForCredit };
        }
        state.peer_wants_credit = false;
        state.advertised_bytes = grantable;
        state.is_publishing = true;
        WriterStep::Publish { frame, asks, sent_bytes: state.sent_bytes, granted_bytes: grantable }
    }

    fn record_published(&self, bytes: u64) {
        let mut state = self.lock();
        state.sent_bytes += bytes;
        state.is_publishing = false;
    }

    /// Writes until the link is closed.
    pub async fn run_writer(self: Arc<Self>, wire: Arc<dyn Wire>, me: Arc<Identity>) {
        // When to request credit: messages that are queued meanwhile do not begin the wait anew.
        let mut request_at = None;
        loop {
            match self.next_step() {
                WriterStep::End => return,
                WriterStep::WaitForMessage => self.wake.notified().await,
                WriterStep::WaitForCredit => {
                    let at = *request_at.get_or_insert_with(|| Instant::now() + self.limits.credit_request_after);
                    if timeout_at(at, self.wake.notified()).await.is_err() {
                        request_at = None;
                        self.publish(&*wire, &me, vec![credit_request()], Vec::new(), None).await;
                    }
                }
                WriterStep::Publish { frame, asks, sent_bytes, granted_bytes } => {
                    if !frame.is_empty() {
                        request_at = None;
                    }
                    self.publish(&*wire, &me, frame, asks, Some((sent_bytes, granted_bytes))).await;
                }
            }
        }
    }

    async fn publish(
        &self,
        wire: &dyn Wire,
        me: &Identity,
        messages: Vec<Vec<u8>>,
        asks: Vec<Arc<Slot<RawAnswer>>>,
        counts: Option<(u64, u64)>,
    ) {
        let (sent_bytes, granted_bytes) = counts.unwrap_or_else(|| {
            let state = self.lock();
            (state.sent_bytes, state.advertised_bytes)
        });
        let header = FrameHeader {
            version: VERSION,
            from: &me.node,
            epoch: me.epoch,
            inbox: &me.inbox,
            sent_bytes,
            granted_bytes,
            message_count: messages.len() as u32,
        };
        let frame = match frame::encode(&header, &messages) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(%error, "a frame cannot be encoded");
                self.record_published(0);
                return;
            }
        };
        let bytes = frame.len() as u64;
        let published = wire.publish(&self.inbox, frame).await;
        self.record_published(bytes);
        if let Ok(receivers) = published {
            self.record_receivers(receivers);
        }
        let node = || self.node.to_string();
        let error = match published {
            Ok(0) | Err(PublishError::NotSent) => AskError::NotDelivered(NotDelivered::Unreachable { node: node() }),
            Ok(_) => return,
            Err(PublishError::Unanswered) => AskError::Unknown(Unknown::WireLost { node: node() }),
        };
        for slot in asks {
            slot.answer(Err(error.clone()));
        }
    }
}

fn credit_request() -> Vec<u8> {
    // A unit variant always encodes.
    frame::encode_message(&FrameMessage::CreditRequest).unwrap_or_default()
}

#[cfg(test)]
mod tests;
