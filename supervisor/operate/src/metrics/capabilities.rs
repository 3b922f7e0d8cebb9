//! What this node counts of its capabilities: instances, mailboxes, messages, connections to databases.

use std::collections::BTreeMap;

use essaim_base::measure::Outcome;
use essaim_core::local::admission::RefusalCause;
use essaim_core::local::handler::HandlerKind;
use essaim_core::local::host::Host;
use essaim_core::local::supervision::Health;
use essaim_core::node::bus::Bus;
use essaim_store::{Database, PoolFigures};

use super::families::*;
use super::samples::Samples;

/// Adds what is counted of one capability; asks nobody.
pub fn add(samples: &mut Samples, host: &Host) {
    let capability = [("capability", &*host.name)];
    let (health, supervision) = (host.supervision.health(), &host.supervision);
    samples.add(CAPABILITY_RUNNING, capability, health == Health::Running && host.startup.is_done());
    samples.add(CAPABILITY_GIVEN_UP, capability, matches!(health, Health::Failed { .. }));
    samples.add(INSTANCES, capability, host.instances().len());
    samples.add(INSTANCES_UP, capability, host.instances_up());
    samples.add(RESTARTS, capability, supervision.restarts());
    samples.add(PANICS, capability, supervision.panics());
    samples.add(MISSED_DEADLINES, capability, supervision.missed_deadlines());
    samples.add(MAILBOX, capability, host.admitted());
    samples.add(MAILBOX_LIMIT, capability, host.limit());
    for cause in RefusalCause::ALL {
        let labels = [("capability", &*host.name), ("cause", cause.as_str())];
        samples.add(REFUSED, labels, host.admission.refused(cause));
    }
    messages(samples, host);
    if let Some(database) = host.database() {
        connections(samples, &host.name, &database);
    }
}

fn messages(samples: &mut Samples, host: &Host) {
    for entry in host.entries() {
        let info = entry.info();
        let measures = &info.measures;
        let labels = [("capability", &*host.name), ("message", &*info.name)];
        // A capability without timers has no ticks.
        let is_counted = info.kind != HandlerKind::Tick || Outcome::ALL.iter().any(|o| measures.count(*o) > 0);
        // What was not delivered has no handler: its asker counts it.
        let ended = Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::NotDelivered);
        for outcome in ended.filter(|_| is_counted) {
            let [capability, message] = labels;
            samples.add(MESSAGES, [capability, message, ("outcome", outcome.as_str())], measures.count(outcome));
        }
        samples.add_histogram(WAIT, labels, measures.waited());
        samples.add_histogram(RUN, labels, measures.ran());
    }
}

/// Adds the asks of this node's that were not delivered, to whichever node they were to go: of all that may come to a handler here,
/// so that their first one is a rise from 0, and of all that were sent elsewhere.
pub fn add_not_delivered(samples: &mut Samples, bus: &Bus) {
    let mut counts = BTreeMap::<(String, String), u64>::new();
    for host in bus.hosts() {
        let asks = host.entries().iter().filter(|entry| entry.kind() == HandlerKind::Ask);
        counts.extend(asks.map(|entry| ((host.name.to_string(), entry.name().to_string()), 0)));
    }
    let sent = bus.not_delivered().into_iter();
    counts.extend(sent.map(|(capability, message, count)| ((capability.into(), message.to_string()), count)));
    for ((capability, message), count) in counts {
        let outcome = Outcome::NotDelivered.as_str();
        let labels = [("capability", &*capability), ("message", &*message), ("outcome", outcome)];
        samples.add(MESSAGES, labels, count);
    }
}

fn connections(samples: &mut Samples, capability: &str, database: &Database) {
    samples.add(DATABASE_UP, [("capability", capability)], !database.is_out());
    let (writes, reads) = database.pools();
    let mut pool = |usage: &str, figures: &PoolFigures| {
        let labels = [("capability", capability), ("use", usage)];
        samples.add(CONNECTIONS, labels, figures.in_use);
        samples.add(CONNECTIONS_LIMIT, labels, figures.size);
        samples.add(CONNECTION_WAITS, labels, figures.waiting);
    };
    pool(if reads.is_some() { "writes" } else { "all" }, &writes);
    if let Some(reads) = &reads {
        pool("reads", reads);
    }
    samples.add(TRANSACTIONS, [("capability", capability)], writes.transactions);
    samples.add(COMMITS, [("capability", capability)], writes.commits);
}
