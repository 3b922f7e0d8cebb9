//! The lease of this node's name: it is renewed with each heartbeat, and a node that has lost it ends.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::exit::{self, Fatal};
use essaim_base::outages::Dependency;
use essaim_protocol::wire::Renewal;

use super::Remote;

/// Ends this node: one of the same name with a higher epoch exists.
pub(super) fn on_superseded(remote: &Arc<Remote>, by: u64) {
    let (node, epoch) = (&remote.me.node, remote.me.epoch);
    let reason = "another node has taken over this node's name; stop it first, or give this one another name";
    if remote.tasks.end_node(Fatal::new(exit::SUPERSEDED, reason)) {
        tracing::error!(%node, epoch, by, "another node has taken over this name; this one ends");
    }
}

pub(super) async fn renew_lease(remote: &Arc<Remote>) {
    let asked_at = remote.env.now();
    let outages = remote.tasks.outages();
    match remote.wire.renew().await {
        Renewal::Held => {
            remote.health.lock().lease_renewed_at = asked_at;
            outages.end(&Dependency::lease());
        }
        Renewal::Superseded => on_superseded(remote, 0),
        Renewal::Displaced(reason) => {
            if remote.tasks.end_node(Fatal::new(exit::DISPLACED, reason.as_str())) {
                tracing::error!(reason, "this node has lost its place; it ends");
            }
        }
        Renewal::Unsupported(reason) => {
            if remote.tasks.end_node(Fatal::new(exit::CONFIG, reason.as_str())) {
                tracing::error!(reason, "this node cannot go on with its configuration; it ends");
            }
        }
        // The loss of the wire is an outage already.
        Renewal::Unanswered if outages.has(&Dependency::wire()) => {}
        Renewal::Unanswered => {
            let renewed_at = remote.health.lock().lease_renewed_at;
            let unsure = remote.env.now().saturating_duration_since(renewed_at);
            if unsure * 2 > Duration::from_millis(remote.settings.members.lease_ms) {
                let for_ms = unsure.as_millis();
                outages.begin(Dependency::lease(), format!("the bridge has not renewed it for {for_ms} ms"));
            }
        }
    }
}
