//! The health of this node's own way through the wire, by which it judges whether the silence of others is theirs.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::task::TaskName;
use tokio::time::Instant;

use super::node_lease::renew_lease;
use super::{Remote, heartbeat};

pub(super) struct WireHealth(Mutex<WireHealthState>);

pub(super) struct WireHealthState {
    /// Since when the connection is up and pings come back; `None` while they do not.
    pub well_since: Option<Instant>,
    /// When the ping was sent that has not come back yet.
    pub pinged_at: Option<Instant>,
    /// How long the last ping that came back was under way.
    pub round_trip: Option<Duration>,
    pub lease_renewed_at: Instant,
    /// How long a renewal holds.
    lease: Duration,
    /// Whether the wire is lost.
    pub is_lost: bool,
}

impl WireHealth {
    pub fn new(now: Instant) -> Self {
        let state = WireHealthState {
            well_since: None,
            pinged_at: None,
            round_trip: None,
            lease_renewed_at: now,
            lease: Duration::MAX,
            is_lost: false,
        };
        Self(Mutex::new(state))
    }

    pub fn set_lease(&self, lease: Duration) {
        self.lock().lease = lease;
    }

    /// Whether the node may be sure that no other has taken over its name.
    pub fn holds_lease(&self, now: Instant) -> bool {
        let state = self.lock();
        now.saturating_duration_since(state.lease_renewed_at) <= state.lease
    }

    /// Whether the node has heard well for so long that the silence of others is theirs.
    pub fn may_declare_lost(&self, now: Instant, lease: Duration) -> bool {
        self.lock().well_since.is_some_and(|since| now.saturating_duration_since(since) > lease)
    }

    /// Whether the connection is up, and has not been for longer than that.
    pub fn came_back_within(&self, time: Duration, now: Instant) -> bool {
        self.lock().well_since.is_some_and(|since| now.saturating_duration_since(since) <= time)
    }

    pub fn lock(&self) -> MutexGuard<'_, WireHealthState> {
        self.0.lock()
    }
}

/// Ends all asks on the wire: they may have run, and they themselves say so.
pub(super) fn on_wire_lost(remote: &Arc<Remote>) {
    {
        let mut health = remote.health.lock();
        health.well_since = None;
        health.pinged_at = None;
        health.is_lost = true;
    }
    remote.pending.fail_all_as_wire_lost();
}

/// Renews the lease and says hello, to hear which other nodes there are.
pub(super) fn on_wire_restored(remote: &Arc<Remote>) {
    let now = remote.env.now();
    let was_lost = {
        let mut health = remote.health.lock();
        health.well_since = Some(now);
        health.pinged_at = None;
        std::mem::take(&mut health.is_lost)
    };
    if was_lost && let Some(inbound) = remote.ports.inbound.upgrade() {
        inbound.on_missed_broadcasts();
    }
    let returning = remote.clone();
    remote.tasks.restarted(TaskName::of_node("return"), move || rejoin(returning.clone()));
}

async fn rejoin(remote: Arc<Remote>) {
    renew_lease(&remote).await;
    heartbeat::send(&remote, true);
}
