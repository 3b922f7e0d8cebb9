//! Drain, the half of it that concerns other nodes: no ask to or from them is lost when this node leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_protocol::frame::FrameMessage;
use essaim_protocol::wire::Channel;
use tokio::time::timeout;

use super::{Remote, heartbeat};

impl Remote {
    /// Announces the leave and waits until the others have seen it: from then on they send no new asks.
    pub async fn announce_leave(self: &Arc<Self>) {
        self.draining.store(true, Ordering::Release);
        heartbeat::send(self, false);
        let within = Duration::from_millis(self.settings.drain.timeout_ms);
        let told = self.wire.announce_release(within);
        let seen = self.until(|| self.members.all().iter().all(|p| p.saw_drain() || p.is_silent()));
        let seen = async { futures_util::future::join(told, seen).await };
        if timeout(Duration::from_millis(self.settings.members.lease_ms), seen).await.is_err() {
            tracing::warn!("not every node has confirmed that it saw the drain; leaving all the same");
        }
    }

    /// Waits until every ask of other nodes is answered. Handlers that wait for other nodes still get their answers, since
    /// the inbox stays open.
    pub async fn finish_answers(self: &Arc<Self>) {
        self.until(|| self.unanswered.load(Ordering::Acquire) == 0).await;
    }

    /// Closes the inbox, answers what came until then, and leaves.
    pub async fn close(self: &Arc<Self>) {
        self.wire.close_inbox().await;
        self.until(|| self.inbox_closed.load(Ordering::Acquire)).await;
        self.finish_answers().await;
        let flushed = async {
            while !self.links_idle() {
                tokio::task::yield_now().await;
            }
        };
        let _ = timeout(Duration::from_millis(self.settings.wire.response_timeout_ms), flushed).await;
        if let Some(leave) = self.frame_of(Channel::Broadcast, &FrameMessage::Leave) {
            let _ = self.wire.broadcast(leave).await;
        }
        self.wire.release().await;
    }
}
