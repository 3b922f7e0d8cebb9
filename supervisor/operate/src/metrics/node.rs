//! What this node counts of itself: readiness, outages, tasks, the near cache, the wire.

use essaim_base::task::TaskState;
use essaim_core::node::bus::Bus;
use essaim_core::node::readiness::Readiness;
use essaim_protocol::keys::Distrusted;
use essaim_remote::{Remote, WireFigures};

use super::families::*;
use super::samples::Samples;

/// Adds what a node tells that has not joined the others yet.
pub fn add_starting(samples: &mut Samples) {
    add_build(samples);
    let Readiness { is_ready, reasons } = Readiness::not_joined();
    samples.add(READY, [], is_ready);
    samples.add(NOT_READY_REASONS, [], reasons.len());
}

/// Adds what a node tells of itself; asks nobody.
pub fn add(samples: &mut Samples, bus: &Bus) {
    add_build(samples);
    let cluster = bus.remote().map_or("", |remote| &remote.identity().cluster);
    samples.add(NODE, [("node", &bus.settings.node.name), ("cluster", cluster)], true);
    let Readiness { is_ready, reasons } = Readiness::of(bus);
    samples.add(READY, [], is_ready);
    samples.add(NOT_READY_REASONS, [], reasons.len());
    samples.add(DRAINING, [], bus.is_draining());
    samples.add(BLOCKED, [], bus.watchdog.blocked());
    for outage in bus.tasks.outages().status() {
        let labels = [("dependency", outage.label), ("capability", outage.capability.as_deref().unwrap_or(""))];
        samples.add(OUTAGE, labels, true);
        samples.add(OUTAGE_SECONDS, labels, outage.since_ms as f64 / 1e3);
    }
    for task in bus.tasks.status() {
        let labels = [("task", &*task.name), ("owner", &*task.owner)];
        samples.add(TASK_RUNNING, labels, task.running);
        samples.add(TASK_DOWN, labels, task.state == TaskState::Panicked);
        samples.add(TASK_RESTARTS, labels, task.restarts);
    }
    add_near(samples, bus);
    if let Some(exports) = bus.recorder.exports().figures() {
        samples.add(EXPORTED, [], exports.exported);
        samples.add(EXPORT_MISSED, [], exports.missed);
        samples.add(EXPORT_REFUSED, [], exports.refused);
        samples.add(EXPORT_FAILURES, [], exports.failures);
    }
    if let Some(gathered) = &bus.gathered {
        let figures = gathered.figures();
        samples.add(RECORDS_GATHERED, [], figures.gathered);
        samples.add(RECORDS_DROPPED, [], figures.dropped);
        samples.add(GATHERING_MISSED, [], figures.missed);
        samples.add(RECORDS_STORED, [], figures.bytes);
    }
    if let Some(durable) = bus.durable() {
        for (reason, count) in by_reason(durable.trust.refused()) {
            samples.add(STORED_REFUSED, [("reason", reason)], count);
        }
    }
    if let Some(remote) = bus.remote() {
        add_wire(samples, remote);
    }
}

fn add_build(samples: &mut Samples) {
    samples.add(BUILD, [("version", env!("CARGO_PKG_VERSION"))], true);
}

fn add_near(samples: &mut Samples, bus: &Bus) {
    let near = bus.near.figures();
    samples.add(NEAR_HITS, [], near.hits);
    samples.add(NEAR_MISSES, [], near.misses);
    samples.add(NEAR_LOADS, [], near.loads);
    samples.add(NEAR_ENTRIES, [], near.entries);
    samples.add(NEAR_BYTES, [], near.bytes);
    samples.add(NEAR_INVALIDATIONS, [], near.invalidations);
    samples.add(NEAR_FLUSHES, [], near.flushes);
}

/// The words for reasons, as labels have them.
fn by_reason(distrusted: Distrusted) -> [(&'static str, u64); 3] {
    let Distrusted { untagged, unknown_secret, forged } = distrusted;
    [("untagged", untagged), ("unknown_secret", unknown_secret), ("forged", forged)]
}

fn add_wire(samples: &mut Samples, remote: &Remote) {
    let wire: WireFigures = remote.figures();
    samples.add(NODE_EPOCH, [], remote.identity().epoch);
    samples.add(WIRE_UP, [], wire.is_up);
    if let Some(round_trip) = wire.round_trip {
        samples.add(WIRE_ROUND_TRIP, [], round_trip.as_secs_f64());
    }
    for (direction, (frames, bytes)) in [("sent", wire.sent), ("received", wire.received)] {
        samples.add(WIRE_FRAMES, [("direction", direction)], frames);
        samples.add(WIRE_BYTES, [("direction", direction)], bytes);
    }
    samples.add(WIRE_UNREADABLE, [], wire.unreadable);
    let refused = wire.refused_frames;
    for (reason, count) in by_reason(refused.distrusted).into_iter().chain([("repeated", refused.repeated)]) {
        samples.add(WIRE_REFUSED, [("reason", reason)], count);
    }
    samples.add(WIRE_QUEUED, [], wire.queued);
    samples.add(PENDING_ASKS, [], wire.pending_asks);
    samples.add(UNANSWERED_ASKS, [], wire.unanswered_asks);
    for (state, count) in
        [("ready", wire.ready), ("draining", wire.draining), ("silent", wire.silent), ("refused", wire.refused)]
    {
        samples.add(PEERS, [("state", state)], count);
    }
}
