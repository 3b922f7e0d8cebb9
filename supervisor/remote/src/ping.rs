//! Pings: a node sends itself messages through the wire, and so finds out that it is deaf.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_base::outages::Dependency;
use essaim_protocol::frame::FrameMessage;
use essaim_protocol::wire::Channel;
use tokio::time::sleep;

use super::Remote;

/// Pings the node's own inbox through the wire, and makes a new connection when the ping does not come back.
pub(super) async fn run_pings(remote: Arc<Remote>) {
    let interval = Duration::from_millis(remote.settings.wire.ping_interval_ms);
    let timeout = Duration::from_millis(remote.settings.wire.ping_timeout_ms);
    let mut count = 0;
    while !remote.inbox_closed.load(Ordering::Acquire) {
        sleep(interval).await;
        let now = remote.env.now();
        let is_deaf = {
            let mut health = remote.health.lock();
            if health.is_lost {
                // There is no connection to be deaf on; the wire says when it is back.
                continue;
            }
            let is_deaf = health.pinged_at.is_some_and(|at| now.saturating_duration_since(at) > timeout);
            if is_deaf {
                health.well_since = None;
                health.pinged_at = None;
            } else {
                health.pinged_at.get_or_insert(now);
            }
            is_deaf
        };
        if is_deaf {
            let cause =
                format!("the node's own pings were not heard for {} ms: it subscribes anew", timeout.as_millis());
            remote.tasks.outages().begin(Dependency::inbox(), cause);
            remote.wire.reset();
            continue;
        }
        count += 1;
        if let Some(frame) = remote.frame_of(Channel::Inbox, &FrameMessage::Ping(count)) {
            // The node hears whether it arrives.
            let _ = remote.wire.publish(&remote.me.inbox, frame).await;
        }
    }
}

/// Records that the node has heard its own ping.
pub(super) fn on_own_ping(remote: &Remote) {
    let now = remote.env.now();
    {
        let mut health = remote.health.lock();
        if let Some(pinged_at) = health.pinged_at.take() {
            health.round_trip = Some(now.saturating_duration_since(pinged_at));
        }
        health.well_since.get_or_insert(now);
    }
    remote.tasks.outages().end(&Dependency::inbox());
}
