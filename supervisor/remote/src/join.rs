//! Join: a node says hello, waits for those that are there, and learns whether it may be among them.

use std::sync::Arc;
use std::time::Duration;

use essaim_protocol::frame::FrameMessage;
use essaim_protocol::wire::Channel;
use tokio::time::timeout;

use super::Remote;

impl Remote {
    /// Says hello and waits until every node that heard it has answered. Returns the cycle in the ask graph of all nodes, if
    /// this node would close one.
    pub async fn join(self: &Arc<Self>) -> Option<Vec<String>> {
        let hello = self.frame_of(Channel::Broadcast, &FrameMessage::Heartbeat(self.own_heartbeat(true)))?;
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

    /// Waits for a condition whose changes `changed` announces.
    pub(super) async fn until(&self, condition: impl Fn() -> bool) {
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
