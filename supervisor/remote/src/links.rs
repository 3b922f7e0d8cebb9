//! The node's links, one for each inbox that it sends to.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::task::TaskName;
use futures_util::FutureExt;

use super::Remote;
use super::link::{LinkLimits, PeerLink};

impl Remote {
    /// The link to an inbox, made if it is new; `window_bytes` is the peer's initial grant. Must run on the node's own
    /// thread, where its writer lives.
    pub(super) fn link(&self, node: &str, inbox: &str, window_bytes: u64) -> Arc<PeerLink> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(inbox) {
            return link.clone();
        }
        let wire = &self.settings.wire;
        let limits = LinkLimits {
            frame_bytes: wire.frame_bytes,
            queue_bytes: wire.queue_bytes,
            window_bytes: wire.window_bytes,
            credit_request_after: Duration::from_millis(wire.ping_interval_ms),
        };
        let link = Arc::new(PeerLink::new(node.into(), inbox.to_string(), limits, window_bytes));
        let name = TaskName::of_node("lane").which(node);
        self.tasks.vital(name, link.clone().run_writer(self.wire.clone(), self.framing.clone()).map(Ok));
        links.insert(inbox.to_string(), link.clone());
        link
    }

    /// The link by which an asker gets its answers: the known one, unless it has been closed for being idle.
    pub(super) fn answer_link(&self, known: Option<Arc<PeerLink>>, node: &str, inbox: &str) -> Arc<PeerLink> {
        let new = || self.link(node, inbox, self.settings.wire.window_bytes);
        known.filter(|link| !link.is_closed()).unwrap_or_else(new)
    }

    pub(super) fn known_link(&self, inbox: &str) -> Option<Arc<PeerLink>> {
        self.links.lock().get(inbox).cloned()
    }

    pub(super) fn close_link(&self, inbox: &str) {
        let link = self.links.lock().remove(inbox);
        if let Some(link) = link {
            link.close();
        }
    }

    /// Closes the links to inboxes of no member that have an empty queue or no subscriber.
    pub(super) fn close_idle_links(&self) {
        let in_use: Vec<_> = self.members.all_heard().iter().map(|p| p.link.inbox.clone()).collect();
        let idle: Vec<String> = {
            let links = self.links.lock();
            let idle = links
                .iter()
                .filter(|(inbox, link)| (link.is_idle() || link.has_no_subscriber()) && !in_use.contains(inbox));
            idle.map(|(inbox, _)| inbox.clone()).collect()
        };
        idle.iter().for_each(|inbox| self.close_link(inbox));
    }

    pub(super) fn links_idle(&self) -> bool {
        self.links.lock().values().all(|link| link.is_idle())
    }
}
