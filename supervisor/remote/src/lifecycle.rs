//! The node's life in the cluster: it joins, drains and leaves without losing an ask.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_protocol::frame::FrameMessage;
use tokio::time::timeout;

use super::{Remote, heartbeat};

impl Remote {
    /// Says hello and waits until every node that heard it has answered. Returns the cycle in the ask graph of all nodes, if
    /// this node would close one.
    pub async fn join(self: &Arc<Self>) -> Option<Vec<String>> {
        let hello = self.frame_of(&FrameMessage::Heartbeat(self.own_heartbeat(true)))?;
        // This node hears itself too.
        let others = self.wire.broadcast(hello).await.unwrap_or(1).saturating_sub(1) as usize;
        let silent = Duration::from_millis(self.settings.members.silent_ms);
        let refusal = || self.members.refusal(self.env.now(), silent);
        // An earlier node may yet be heard that refuses, in this node's place, the one that it seems to close a cycle with.
        let all_answered = self.until(|| self.members.heard() >= others && refusal().is_none());
        // The server counts clients that only listen too, and they never answer.
        let _ = timeout(silent, all_answered).await;
        refusal()
    }

    /// Announces the leave and waits until the others have seen it: from then on they send no new asks.
    pub async fn announce_leave(self: &Arc<Self>) {
        self.draining.store(true, Ordering::Release);
        heartbeat::send(self, false);
        let seen = self.until(|| self.members.all().iter().all(|p| p.saw_drain() || p.is_silent()));
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
        if let Some(leave) = self.frame_of(&FrameMessage::Leave) {
            let _ = self.wire.broadcast(leave).await;
        }
        self.wire.release().await;
    }

    /// Waits for a condition whose changes `changed` announces.
    async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition() {
                return;
            }
            // The silence of a node is noticed by the clock, not announced.
            let _ = timeout(Duration::from_millis(self.settings.members.heartbeat_ms), changed).await;
        }
    }
}
