//! Broadcasts: frames for every node, sent at most once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use essaim_base::task::TaskName;
use essaim_base::trace::{TraceContext, TraceState};
use essaim_protocol::frame::{self, FrameMessage};
use tokio::sync::{Mutex, mpsc};

use super::Remote;

/// Broadcasts that may wait for the wire.
pub(super) const MAX_QUEUED: usize = 1_024;

/// Starts the task that sends the queued broadcasts.
pub(super) fn start(remote: &Arc<Remote>, queue: mpsc::Receiver<Bytes>) {
    let (sending, queue) = (remote.clone(), Arc::new(Mutex::new(queue)));
    remote.tasks.restarted(TaskName::of_node("broadcasts"), move || send_queued(sending.clone(), queue.clone()));
}

async fn send_queued(remote: Arc<Remote>, queue: Arc<Mutex<mpsc::Receiver<Bytes>>>) {
    let mut queue = queue.lock().await;
    while let Some(frame) = queue.recv().await {
        if remote.inbox_closed.load(Ordering::Acquire) {
            // `Leave` has been sent, or is next; no heartbeat may follow it.
            return;
        }
        if let Err(error) = remote.wire.broadcast(frame).await {
            tracing::debug!(%error, "a broadcast was not sent");
        }
    }
}

impl Remote {
    /// Broadcasts an encoded message to every node.
    pub fn broadcast(&self, name: &str, body: &[u8], trace: &TraceContext, state: &TraceState) {
        let (text, trace_state, kept) = (trace.text(), state.as_str(), trace.kept);
        let (trace, body) = (text.as_str(), serde_bytes::Bytes::new(body));
        let message = frame::BroadcastMessage { name, trace, trace_state, kept, body };
        self.enqueue_broadcast(&FrameMessage::Broadcast(message));
    }

    /// Queues one message for every node, best effort. May be called on any thread.
    pub(super) fn enqueue_broadcast(&self, message: &FrameMessage<'_>) {
        if let Some(frame) = self.frame_of(message)
            && self.broadcasts.try_send(frame).is_err()
        {
            tracing::warn!("a broadcast was dropped: {MAX_QUEUED} are waiting for the wire");
        }
    }
}
