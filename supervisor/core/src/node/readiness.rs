//! Readiness: whether a node should get traffic now, and what is wrong with it.

use crate::local::host::Host;
use crate::local::supervision::Health;
use crate::node::bus::Bus;

/// Whether a node should get traffic now.
pub struct Readiness {
    pub is_ready: bool,
    /// What is wrong. There may be reasons although the node is ready: `node.ready_in_outage`.
    pub reasons: Vec<String>,
}

/// What is wrong with a node that has not joined.
pub const NOT_JOINED: &str = "the node is starting: it has not joined the others yet";

impl Readiness {
    /// The readiness of a node that is still connecting to the wire and the log.
    pub fn not_joined() -> Self {
        Self { is_ready: false, reasons: vec![NOT_JOINED.into()] }
    }

    /// The readiness of a node with all that it hosts.
    pub fn of(bus: &Bus) -> Self {
        let own = Self::without_hosts(bus);
        let mut reasons: Vec<_> = bus.is_draining().then(|| "the node is draining".to_string()).into_iter().collect();
        reasons.extend(bus.hosts().iter().filter_map(|host| not_running(host)));
        let is_ready = own.is_ready && reasons.is_empty();
        reasons.extend(own.reasons);
        Self { is_ready, reasons }
    }

    /// The readiness of the node itself: its tasks, and what it depends on.
    pub fn without_hosts(bus: &Bus) -> Self {
        let mut outages = bus.tasks.outages().status();
        outages.retain(|outage| outage.is_needed);
        let mut reasons = bus.tasks.not_ready();
        let may_go_on = |shared: bool| shared && bus.settings.node.ready_in_outage;
        let is_ready = reasons.is_empty() && outages.iter().all(|outage| may_go_on(outage.shared));
        reasons.extend(outages.iter().map(|outage| outage.reason()));
        Self { is_ready, reasons }
    }
}

fn not_running(host: &Host) -> Option<String> {
    let name = &host.name;
    match host.supervision.health() {
        Health::Running if host.startup.is_done() => None,
        Health::Running => Some(format!("`{name}` has start-up work to do: {}", host.startup.pending().join(", "))),
        Health::Starting { reason } if reason.is_empty() => Some(format!("`{name}` is starting")),
        Health::Starting { reason } => Some(format!("`{name}` has not started: {reason}")),
        Health::Failed { reason } => Some(format!("`{name}` has failed: {reason}")),
    }
}
