//! Heartbeats: this node's own, and what follows from those that others do not send.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_base::task::TaskName;
use essaim_protocol::frame::{FrameMessage, Heartbeat};
use futures_util::StreamExt;
use tokio::time::sleep;

use super::Remote;
use super::absent::Absence;
use super::node_lease::renew_lease;

/// Sends a heartbeat at once whenever a capability of this node comes up or is given up, so that the other nodes need not
/// wait for the next one.
pub(super) fn send_on_changes(remote: &Arc<Remote>) {
    let names = remote.ports.hosts.upgrade().map(|hosts| hosts.names()).unwrap_or_default();
    for capability in names {
        let (name, sending) = (TaskName::of("health", &capability), remote.clone());
        remote.tasks.restarted(name, move || send_as_it_changes(sending.clone(), capability.clone()));
    }
}

async fn send_as_it_changes(remote: Arc<Remote>, capability: Arc<str>) {
    let Some(mut changes) = remote.ports.hosts.upgrade().map(|hosts| hosts.changes(&capability)) else { return };
    while let Some(()) = changes.next().await {
        send(&remote, false);
    }
}

/// Sends heartbeats, renews the lease and looks for nodes that are overdue, until this node leaves.
pub(super) async fn run(remote: Arc<Remote>) {
    let members = &remote.settings.members;
    let interval = Duration::from_millis(members.heartbeat_ms);
    let (silent, lease) = (Duration::from_millis(members.silent_ms), Duration::from_millis(members.lease_ms));
    remote.health.set_lease(lease);
    let mut refused_since = None;
    while !remote.inbox_closed.load(Ordering::Acquire) {
        sleep(interval).await;
        if remote.inbox_closed.load(Ordering::Acquire) {
            // It has left meanwhile; another heartbeat would look like a return.
            return;
        }
        let now = remote.env.now();
        renew_lease(&remote).await;
        send(&remote, false);
        let overdue = remote.members.mark_silent(now, silent, lease);
        for peer in remote.members.all().iter().filter(|p| p.is_silent()) {
            remote.pending.fail_silent_node(&peer.name, |capability| remote.members.reach(capability));
        }
        if remote.health.may_declare_lost(now, lease) {
            for peer in overdue {
                let (node, epoch) = (&peer.name, peer.epoch);
                tracing::warn!(%node, epoch, lease_ms = members.lease_ms, "a node was lost: not heard for a lease");
                remote.members.remove(&peer.name, peer.epoch, Absence::Lost, now);
                remote.close_link(&peer.link.inbox);
            }
        }
        remote.close_idle_links();
        refused_since =
            remote.members.refusal(now, silent).map(|cycle| (refused_since.map_or(now, |(since, _)| since), cycle));
        if let Some((_, cycle)) = refused_since.take_if(|(since, _)| now - *since > lease)
            && remote.tasks.end_node((remote.cycle_fatal)(cycle.join(" -> ")))
        {
            tracing::error!(cycle = cycle.join(" -> "), "those who were there before refuse this node; it ends");
        }
    }
}

/// Broadcasts one heartbeat; `hello` requests one from every other node.
pub(super) fn send(remote: &Arc<Remote>, hello: bool) {
    remote.enqueue_broadcast(&FrameMessage::Heartbeat(remote.own_heartbeat(hello)));
}

impl Remote {
    /// This node's heartbeat, as of now.
    pub(super) fn own_heartbeat(&self, hello: bool) -> Heartbeat {
        Heartbeat {
            hello,
            state: self.state(),
            version: env!("CARGO_PKG_VERSION").into(),
            cluster: self.me.cluster.clone(),
            window_bytes: self.settings.wire.window_bytes,
            capabilities: self.ports.hosts.upgrade().map(|hosts| hosts.reports()).unwrap_or_default(),
        }
    }
}
