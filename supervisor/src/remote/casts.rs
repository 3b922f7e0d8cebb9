//! What every node is told, at most once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::Remote;
use super::frame::{self, FrameMessage};
use crate::task::TaskName;

/// Broadcasts that may wait for the wire.
pub(super) const WAITING: usize = 1_024;

/// Begins to send what waits.
pub(super) fn start(remote: &Arc<Remote>, waiting: mpsc::Receiver<Bytes>) {
    let (sending, waiting) = (remote.clone(), Arc::new(Mutex::new(waiting)));
    remote.tasks.restarted(TaskName::of_node("broadcasts"), move || send(sending.clone(), waiting.clone()));
}

async fn send(remote: Arc<Remote>, casts: Arc<Mutex<mpsc::Receiver<Bytes>>>) {
    let mut casts = casts.lock().await;
    while let Some(frame) = casts.recv().await {
        if remote.inbox_closed.load(Ordering::Acquire) {
            // The farewell has been said, or is next.
            return;
        }
        if let Err(error) = remote.wire.broadcast(frame).await {
            tracing::debug!(%error, "a broadcast was not sent");
        }
    }
}

impl Remote {
    /// Tells every node.
    pub fn broadcast(&self, name: &str, body: &[u8], trace: &str) {
        let cast = frame::BroadcastMessage { name, trace, body: serde_bytes::Bytes::new(body) };
        self.cast(&FrameMessage::Broadcast(cast));
    }

    /// Sends one message to every node, from whichever thread; best effort.
    pub(super) fn cast(&self, message: &FrameMessage<'_>) {
        if let Some(frame) = self.frame_of(message)
            && self.casts.try_send(frame).is_err()
        {
            tracing::warn!("a broadcast was dropped: {WAITING} are waiting for the wire");
        }
    }
}
