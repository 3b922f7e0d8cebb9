//! Heartbeats, leases, and the ping by which a node finds out that it is deaf.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Remote;
use super::frame::{FrameMessage, Heartbeat, HostReport};
use crate::bridge::Renewal;
use crate::durable::operations;
use crate::exit::{self, Fatal};
use crate::host::Host;
use crate::node::NodeError;
use crate::outages::Dependency;
use crate::supervision::Health as CapabilityHealth;
use crate::task::TaskName;

/// How this node's own way through the wire is.
pub(super) struct Health(Mutex<State>);

struct State {
    /// Since when the connection is up and pings come back; `None` while they do not.
    well_since: Option<Instant>,
    pinged: Option<Instant>,
    renewed: Instant,
    /// How long a renewal holds.
    lease: Duration,
    /// Whether the wire was lost since the last time it was up.
    gap: bool,
}

impl Health {
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(State { well_since: None, pinged: None, renewed: now, lease: Duration::MAX, gap: false }))
    }

    /// Whether the node may be sure that nobody has taken over its name.
    pub fn holds_lease(&self, now: Instant) -> bool {
        let state = self.lock();
        now.saturating_duration_since(state.renewed) <= state.lease
    }

    /// Whether what this node hears, or does not hear, says something about others.
    fn is_judge(&self, now: Instant, lease: Duration) -> bool {
        self.lock().well_since.is_some_and(|since| now.saturating_duration_since(since) > lease)
    }

    /// Whether the connection is up, and has not been for longer than that.
    pub fn came_back_within(&self, time: Duration, now: Instant) -> bool {
        self.lock().well_since.is_some_and(|since| now.saturating_duration_since(since) <= time)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node hears itself.
pub(super) fn heard_ping(remote: &Remote) {
    let now = remote.env.now();
    {
        let mut health = remote.health.lock();
        health.pinged = None;
        health.well_since.get_or_insert(now);
    }
    remote.tasks.outages().end(&Dependency::inbox());
}

/// The connection is gone: what was handed over may have run.
pub(super) fn wire_lost(remote: &Arc<Remote>) {
    {
        let mut health = remote.health.lock();
        health.well_since = None;
        health.pinged = None;
        health.gap = true;
    }
    // What was on the wire has an unknown outcome, and says so itself.
    remote.pending.wire_lost();
}

/// The connection is there: say so, and hear who else is.
pub(super) fn wire_restored(remote: &Arc<Remote>) {
    let now = remote.env.now();
    let gap = {
        let mut health = remote.health.lock();
        health.well_since = Some(now);
        health.pinged = None;
        std::mem::take(&mut health.gap)
    };
    if gap && let Some(bus) = remote.bus.upgrade() {
        // Invalidations may have been missed.
        bus.near.flush();
    }
    let back = remote.clone();
    remote.tasks.restarted(TaskName::of_node("return"), move || come_back(back.clone()));
}

async fn come_back(remote: Arc<Remote>) {
    renew(&remote).await;
    beat_now(&remote, true);
}

/// A node of this name with a higher epoch exists: this one must end.
pub(super) fn superseded(remote: &Arc<Remote>, by: u64) {
    let (node, epoch) = (&remote.me.node, remote.me.epoch);
    let reason = "another node has taken over this node's name; stop it first, or give this one another name";
    if end(remote, Fatal::new(exit::SUPERSEDED, reason)) {
        tracing::error!(%node, epoch, by, "another node has taken over this name; this one ends");
    }
}

/// The node must end. Whether this is the first reason: others change nothing.
fn end(remote: &Arc<Remote>, fatal: Fatal) -> bool {
    remote.ended.send_if_modified(|ended| {
        let is_first = ended.is_none();
        ended.get_or_insert(fatal);
        is_first
    })
}

/// Beats at once whenever a capability of this node comes up or is given up, so that nobody waits for the next beat.
pub(super) fn beat_on_changes(remote: &Arc<Remote>) {
    let hosts = remote.bus.upgrade().map(|bus| bus.hosts().to_vec()).unwrap_or_default();
    for host in hosts {
        let (name, beating) = (TaskName::of("health", &host.name), remote.clone());
        remote.tasks.restarted(name, move || beat_as_it_changes(beating.clone(), host.clone()));
    }
}

async fn beat_as_it_changes(remote: Arc<Remote>, host: Arc<Host>) {
    let (mut health, mut startup) = (host.supervision.watch(), host.startup.watch());
    loop {
        let changed = tokio::select! {
            changed = health.changed() => changed,
            changed = startup.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        beat_now(&remote, false);
    }
}

/// Beats, renews the lease and looks for those who are overdue, until the node ends.
pub(super) async fn beat(remote: Arc<Remote>) {
    let members = &remote.settings.members;
    let interval = Duration::from_millis(members.heartbeat_ms);
    let (silent, lease) = (Duration::from_millis(members.silent_ms), Duration::from_millis(members.lease_ms));
    remote.health.lock().lease = lease;
    let mut refused_since = None;
    while !remote.inbox_closed.load(std::sync::atomic::Ordering::Acquire) {
        sleep(interval).await;
        if remote.inbox_closed.load(std::sync::atomic::Ordering::Acquire) {
            // It has left meanwhile; another beat would look like a return.
            return;
        }
        let now = remote.env.now();
        renew(&remote).await;
        beat_now(&remote, false);
        let overdue = remote.members.overdue(now, silent, lease);
        for peer in remote.members.all().iter().filter(|p| p.is_silent()) {
            remote.pending.node_silent(&peer.name, |capability| remote.members.reach(capability));
        }
        if remote.health.is_judge(now, lease) {
            for peer in overdue {
                let (node, epoch) = (&peer.name, peer.epoch);
                tracing::warn!(%node, epoch, lease_ms = members.lease_ms, "a node was lost: not heard for a lease");
                remote.members.remove(&peer.name, peer.epoch);
                remote.close_lane(&peer.lane.inbox);
            }
        }
        remote.close_idle_lanes();
        refused_since =
            remote.members.refusal(now, silent).map(|cycle| (refused_since.map_or(now, |(since, _)| since), cycle));
        if let Some((_, cycle)) = refused_since.take_if(|(since, _)| now - *since > lease)
            && end(&remote, NodeError::Cycle(cycle.join(" -> ")).into_fatal())
        {
            tracing::error!(cycle = cycle.join(" -> "), "those who were there before refuse this node; it ends");
        }
    }
}

async fn renew(remote: &Arc<Remote>) {
    let asked = remote.env.now();
    let outages = remote.tasks.outages();
    match remote.wire.renew().await {
        Renewal::Held => {
            remote.health.lock().renewed = asked;
            outages.end(&Dependency::lease());
        }
        Renewal::Superseded => superseded(remote, 0),
        Renewal::Displaced(reason) => {
            if end(remote, Fatal::new(exit::DISPLACED, reason.as_str())) {
                tracing::error!(reason, "this node has lost its place; it ends");
            }
        }
        Renewal::Unsupported(reason) => {
            if end(remote, Fatal::new(exit::CONFIG, reason.as_str())) {
                tracing::error!(reason, "this node cannot go on with its configuration; it ends");
            }
        }
        // A wire that is lost has said so.
        Renewal::Unanswered if outages.has(&Dependency::wire()) => {}
        Renewal::Unanswered => {
            let renewed = remote.health.lock().renewed;
            let unsure = remote.env.now().saturating_duration_since(renewed);
            if unsure * 2 > Duration::from_millis(remote.settings.members.lease_ms) {
                let for_ms = unsure.as_millis();
                outages.begin(Dependency::lease(), format!("the bridge has not renewed it for {for_ms} ms"));
            }
        }
    }
}

/// Says once that this node is there; `hello` asks all others to say the same.
pub(super) fn beat_now(remote: &Arc<Remote>, hello: bool) {
    remote.cast(&FrameMessage::Heartbeat(remote.own_beat(hello)));
}

/// Pings the node's own inbox through the wire, and makes a new connection when that is not heard.
pub(super) async fn ping(remote: Arc<Remote>) {
    let interval = Duration::from_millis(remote.settings.wire.ping_interval_ms);
    let timeout = Duration::from_millis(remote.settings.wire.ping_timeout_ms);
    let mut count = 0;
    while !remote.inbox_closed.load(std::sync::atomic::Ordering::Acquire) {
        sleep(interval).await;
        let now = remote.env.now();
        let deaf = {
            let mut health = remote.health.lock();
            if health.gap {
                // There is no connection to be deaf on; whoever keeps it says when it is back.
                continue;
            }
            let deaf = health.pinged.is_some_and(|at| now.saturating_duration_since(at) > timeout);
            if deaf {
                health.well_since = None;
                health.pinged = None;
            } else {
                health.pinged.get_or_insert(now);
            }
            deaf
        };
        if deaf {
            let cause =
                format!("the node's own pings were not heard for {} ms: it subscribes anew", timeout.as_millis());
            remote.tasks.outages().begin(Dependency::inbox(), cause);
            remote.wire.reset();
            continue;
        }
        count += 1;
        if let Some(frame) = remote.frame_of(&FrameMessage::Ping(count)) {
            // Whether it arrives is seen by hearing it.
            let _ = remote.wire.publish(&remote.me.inbox, frame).await;
        }
    }
}

impl Remote {
    /// What this node says of itself.
    pub(super) fn own_beat(&self, hello: bool) -> Heartbeat {
        let hosts = self.bus.upgrade().map(|bus| bus.hosts().to_vec()).unwrap_or_default();
        Heartbeat {
            hello,
            state: self.state(),
            version: env!("CARGO_PKG_VERSION").into(),
            cluster: self.me.cluster.clone(),
            window_bytes: self.settings.wire.window_bytes,
            capabilities: hosts.iter().map(|h| (h.name.to_string(), host_beat(h))).collect::<BTreeMap<_, _>>(),
        }
    }

    /// Ends the lanes to inboxes that are no member's and have nothing waiting, or nobody who listens.
    fn close_idle_lanes(&self) {
        let members: Vec<_> = self.members.everyone().iter().map(|p| p.lane.inbox.clone()).collect();
        let idle: Vec<String> = {
            let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes
                .iter()
                .filter(|(inbox, l)| (l.is_idle() || l.is_unheard()) && !members.contains(inbox))
                .map(|(i, _)| i.clone())
                .collect()
        };
        idle.iter().for_each(|inbox| self.close_lane(inbox));
    }
}

fn host_beat(host: &Arc<Host>) -> HostReport {
    HostReport {
        running: host.supervision.health() == CapabilityHealth::Running && host.startup.is_done(),
        load: host.admitted(),
        limit: host.limit(),
        instances: host.instances().len() as u32,
        up: host.instances_up() as u32,
        restarts: host.supervision.restarts(),
        asks: host.asks().iter().map(|a| a.to_string()).collect(),
        messages: host
            .entries()
            .iter()
            .filter(|e| e.kind.is_on_wire())
            .map(|e| e.name.to_string())
            .chain([operations::name_of(&host.name)])
            .collect(),
    }
}
