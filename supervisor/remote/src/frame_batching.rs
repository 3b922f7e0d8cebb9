//! Frame batching: the one writer of a link packs all queued messages that the peer's credit allows into one frame.
//!
//! While the server answers to one frame the next messages gather. So frames batch by themselves:
//! idle traffic leaves at once, busy traffic shares the cost.

use std::sync::Arc;

use essaim_base::slot::Slot;
use essaim_contract::{AskError, NotDelivered, Unknown};
use essaim_protocol::frame::{self, FrameMessage, RawAnswer};
use essaim_protocol::wire::{PublishError, Wire};
use tokio::time::{Instant, timeout_at};

use super::framing::Framing;
use super::link::PeerLink;

/// Bytes that a header and a tag add to a frame, at most, unless the namespace is long.
const HEADER_BYTES: u64 = 512;

/// What the writer does next.
pub(super) enum WriterStep {
    Publish { frame: Vec<Vec<u8>>, asks: Vec<Arc<Slot<RawAnswer>>>, sent_bytes: u64, granted_bytes: u64 },
    WaitForCredit,
    WaitForMessage,
    End,
}

impl PeerLink {
    pub(super) fn next_step(&self) -> WriterStep {
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

    pub(super) fn record_published(&self, bytes: u64) {
        let mut state = self.lock();
        state.sent_bytes += bytes;
        state.is_publishing = false;
    }

    /// Writes until the link is closed.
    pub async fn run_writer(self: Arc<Self>, wire: Arc<dyn Wire>, framing: Arc<Framing>) {
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
                        self.publish(&*wire, &framing, vec![credit_request()], Vec::new(), None).await;
                    }
                }
                WriterStep::Publish { frame, asks, sent_bytes, granted_bytes } => {
                    if !frame.is_empty() {
                        request_at = None;
                    }
                    self.publish(&*wire, &framing, frame, asks, Some((sent_bytes, granted_bytes))).await;
                }
            }
        }
    }

    async fn publish(
        &self,
        wire: &dyn Wire,
        framing: &Framing,
        messages: Vec<Vec<u8>>,
        asks: Vec<Arc<Slot<RawAnswer>>>,
        counts: Option<(u64, u64)>,
    ) {
        let counts = counts.unwrap_or_else(|| {
            let state = self.lock();
            (state.sent_bytes, state.advertised_bytes)
        });
        let frame = match framing.frame(&self.inbox, counts, &messages) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(%error, "a frame cannot be encoded");
                self.record_published(0);
                let why = NotDelivered::Unreachable { node: self.node.to_string() };
                asks.iter().for_each(|slot| slot.answer(Err(AskError::NotDelivered(why.clone()))));
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

pub(super) fn credit_request() -> Vec<u8> {
    // A unit variant always encodes.
    frame::encode_message(&FrameMessage::CreditRequest).unwrap_or_default()
}
