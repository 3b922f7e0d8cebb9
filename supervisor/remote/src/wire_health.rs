//! The health of this node's own way through the wire: its lease, and the ping by which it finds out that it is deaf.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_base::exit::{self, Fatal};
use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::outages::Dependency;
use essaim_base::task::TaskName;
use essaim_protocol::frame::FrameMessage;
use essaim_protocol::wire::Renewal;
use tokio::time::{Instant, sleep};

use super::{Remote, heartbeat};

pub(super) struct WireHealth(Mutex<WireHealthState>);

struct WireHealthState {
    /// Since when the connection is up and pings come back; `None` while they do not.
    well_since: Option<Instant>,
    /// When the ping was sent that has not come back yet.
    pinged_at: Option<Instant>,
    lease_renewed_at: Instant,
    /// How long a renewal holds.
    lease: Duration,
    /// Whether the wire is lost.
    is_lost: bool,
}

impl WireHealth {
    pub fn new(now: Instant) -> Self {
        let state = WireHealthState {
            well_since: None,
            pinged_at: None,
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

    fn lock(&self) -> MutexGuard<'_, WireHealthState> {
        self.0.lock()
    }
}

/// Records that the node has heard its own ping.
pub(super) fn on_own_ping(remote: &Remote) {
    let now = remote.env.now();
    {
        let mut health = remote.health.lock();
        health.pinged_at = None;
        health.well_since.get_or_insert(now);
    }
    remote.tasks.outages().end(&Dependency::inbox());
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
        if let Some(frame) = remote.frame_of(&FrameMessage::Ping(count)) {
            // The node hears whether it arrives.
            let _ = remote.wire.publish(&remote.me.inbox, frame).await;
        }
    }
}
