//! The families: each has a name, a kind and one line of help. All of them are in every answer, also those that have no samples
//! now, so that an operator finds them without waiting for their first event.

/// The kind of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// It only rises, until the process ends. Its samples are named with `_total`.
    Counter,
    Gauge,
    Histogram,
    /// Constant labels. Its sample is named with `_info`.
    Info,
}

/// A family of samples that differ by their labels.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: FamilyKind,
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(pub const $constant: &Family = &Family { name: $name, kind: FamilyKind::$kind, help: $help };)*

        /// All families, in the order in which they are served.
        pub const ALL: &[&Family] = &[$($constant),*];
    };
}

families! {
    BUILD: Info "essaim_build", "The binary";
    NODE: Info "essaim_node", "The node, and the identity of its cluster";
    NODE_EPOCH: Gauge "essaim_node_epoch", "Epoch of the node's name on the bridge";
    READY: Gauge "essaim_ready", "1 while traffic should come to this node, as /readyz says";
    NOT_READY_REASONS: Gauge "essaim_not_ready_reasons", "Reasons that /readyz names";
    DRAINING: Gauge "essaim_draining", "1 once the node has begun to leave";
    OUTAGE: Gauge "essaim_outage", "1 while a dependency does not work; absent while it does";
    OUTAGE_SECONDS: Gauge "essaim_outage_seconds", "Time since a dependency has stopped working; absent while it works";
    SCRAPE_MISSING: Gauge "essaim_scrape_missing", "1 if a part of this answer is missing, since its source did not answer in time";

    CAPABILITY_RUNNING: Gauge "essaim_capability_running", "1 while a capability of this node takes asks";
    CAPABILITY_GIVEN_UP: Gauge "essaim_capability_given_up", "1 while a capability was given up and rests until the next try";
    INSTANCES: Gauge "essaim_capability_instances", "Instances of a capability";
    INSTANCES_UP: Gauge "essaim_capability_instances_up", "Instances that have their state";
    RESTARTS: Counter "essaim_capability_restarts", "Restarts of instances";
    PANICS: Counter "essaim_capability_panics", "Panics of handlers";
    MISSED_DEADLINES: Counter "essaim_capability_missed_deadlines", "Handlers that were dropped at their deadline";
    MAILBOX: Gauge "essaim_mailbox_messages", "Messages admitted and not done";
    MAILBOX_LIMIT: Gauge "essaim_mailbox_limit_messages", "Messages that may be admitted";
    STORED_REFUSED: Counter "essaim_refused_messages", "Stored messages that no node of the cluster has stored, by reason";
    REFUSED: Counter "essaim_mailbox_refused_messages", "Messages that were not admitted, by cause";
    MESSAGES: Counter "essaim_messages", "Messages that have ended, by outcome";
    WAIT: Histogram "essaim_message_wait_seconds", "Time of messages in the mailbox, where it was measured";
    RUN: Histogram "essaim_message_run_seconds", "Time of handlers, where it was measured";
    BLOCKED: Counter "essaim_blocked_arbiters", "Times that a handler was found blocking its thread";

    WAITING: Gauge "essaim_durable_waiting_messages", "Durable messages in the log, not acknowledged: the lag of a partition";
    PARKED: Gauge "essaim_durable_parked_messages", "Durable messages in the database, to be tried again or at their time";
    OWNED: Gauge "essaim_durable_partition_owned", "1 while a host on any node owns the partition";
    OWN: Gauge "essaim_durable_partition_own", "1 while this node owns the partition";
    DEAD: Gauge "essaim_dead_letters", "Dead letters that are there now, by where they are kept";
    OUTBOX: Gauge "essaim_outbox_waiting_messages", "Messages on their way from a database into the log; counted up to 10001";
    APPENDED: Counter "essaim_ledger_appended_messages", "Messages that were ever appended to the partition";
    FATES: Counter "essaim_ledger_messages", "Messages of the partition that are finished, by fate";
    IN_FLIGHT: Gauge "essaim_ledger_in_flight_messages", "Messages of the partition that wait in the log or are parked";
    DIFFERENCE: Gauge "essaim_ledger_difference_messages",
        "Messages accounted for less those appended: 0 at rest where the ledger balances";

    DATABASE_UP: Gauge "essaim_database_up", "1 while no outage of the capability's database is known";
    CONNECTIONS: Gauge "essaim_database_connections", "Connections at work, by use";
    CONNECTIONS_LIMIT: Gauge "essaim_database_connections_limit", "Connections at most, by use";
    CONNECTION_WAITS: Gauge "essaim_database_connection_waits", "Users that wait for a connection, by use";
    TRANSACTIONS: Counter "essaim_database_transactions", "Transactions that have begun";
    COMMITS: Counter "essaim_database_commits", "COMMITs that succeeded; transactions may share one";

    WIRE_UP: Gauge "essaim_wire_up", "1 while the connection between nodes is up and pings come back";
    WIRE_ROUND_TRIP: Gauge "essaim_wire_round_trip_seconds", "Time of the last ping that came back through the wire";
    WIRE_FRAMES: Counter "essaim_wire_frames", "Frames, by direction";
    WIRE_BYTES: Counter "essaim_wire_bytes", "Bytes of frames, by direction";
    WIRE_UNREADABLE: Counter "essaim_wire_unreadable_frames", "Frames that could not be read";
    WIRE_REFUSED: Counter "essaim_wire_refused_frames", "Frames that no node of the cluster can have made, or that came before, by reason";
    WIRE_QUEUED: Gauge "essaim_wire_queued_messages", "Messages that wait for credit of their receiver or for the server";
    PENDING_ASKS: Gauge "essaim_wire_pending_asks", "Asks of this node to others without an answer yet";
    UNANSWERED_ASKS: Gauge "essaim_wire_unanswered_asks", "Asks of other nodes that this one has not answered yet";
    PEERS: Gauge "essaim_peers", "Other nodes, by state";

    TASK_RUNNING: Gauge "essaim_task_running", "Tasks of the runtime that run, by name and owner";
    TASK_DOWN: Gauge "essaim_task_down", "1 while such a task has panicked and is not back";
    TASK_RESTARTS: Counter "essaim_task_restarts", "Restarts of such tasks after a panic";

    EXPORTED: Counter "essaim_records_exported", "Message records that the receiver of traces has taken";
    EXPORT_MISSED: Counter "essaim_records_missed", "Message records that were gone before they were exported";
    EXPORT_REFUSED: Counter "essaim_records_refused", "Message records that the receiver has refused for good";
    EXPORT_FAILURES: Counter "essaim_records_export_failures", "Exports of message records that failed";

    NEAR_HITS: Counter "essaim_near_hits", "Reads of the near cache that found a value";
    NEAR_MISSES: Counter "essaim_near_misses", "Reads of the near cache that found none";
    NEAR_LOADS: Counter "essaim_near_loads", "Loads that ran; several misses may wait for one";
    NEAR_ENTRIES: Gauge "essaim_near_entries", "Entries of the near cache";
    NEAR_BYTES: Gauge "essaim_near_bytes", "Weight of the near cache";
    NEAR_INVALIDATIONS: Counter "essaim_near_invalidations", "Invalidations, from this node and others";
    NEAR_FLUSHES: Counter "essaim_near_flushes", "Times that all entries were dropped";

    RECORDS_GATHERED: Counter "essaim_records_gathered", "Message records of all nodes that were stored here";
    RECORDS_DROPPED: Counter "essaim_records_dropped", "Records that were not stored, since their node wrote too many in a second";
    GATHERING_MISSED: Counter "essaim_records_gathering_missed", "Records that were gone from their node before they were read";
    RECORDS_STORED: Gauge "essaim_records_stored_bytes", "Size of the file of stored records with its journal";

    PROCESS_CPU: Counter "process_cpu_seconds", "Processor time of the process, in user and system mode";
    PROCESS_RESIDENT: Gauge "process_resident_memory_bytes", "Resident memory of the process";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes", "Virtual memory of the process";
    PROCESS_THREADS: Gauge "process_threads", "Threads of the process";
    PROCESS_FDS: Gauge "process_open_fds", "Open file descriptors";
    PROCESS_FDS_LIMIT: Gauge "process_max_fds", "File descriptors that may be open";
    PROCESS_START: Gauge "process_start_time_seconds", "Start of the process, in seconds since 1970";
}

impl Family {
    /// The name of its samples; those of a histogram add `_bucket`, `_sum` or `_count` to it.
    #[cfg(test)]
    pub fn sample_name(&self) -> String {
        match self.kind {
            FamilyKind::Counter => format!("{}_total", self.name),
            FamilyKind::Info => format!("{}_info", self.name),
            FamilyKind::Gauge | FamilyKind::Histogram => self.name.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            let fit = family.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(
                fit && (family.name.starts_with("essaim_") || family.name.starts_with("process_")),
                "{}",
                family.name
            );
            assert!(!family.name.ends_with("_total") && !family.name.ends_with("_info"), "{}", family.name);
            assert!(!family.help.contains(['\\', '"', '\n']) && !family.help.ends_with('.'), "{}", family.help);
        }
    }

    /// The first column of the tables of docs/metrics.md.
    fn documented() -> BTreeSet<String> {
        let text = include_str!("../../../../docs/metrics.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        rows.map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn the_documentation_lists_every_family_and_no_other() {
        let served: BTreeSet<_> = ALL.iter().map(|family| family.sample_name()).collect();
        let documented = documented();
        let missing: Vec<_> = served.difference(&documented).collect();
        let unknown: Vec<_> = documented.difference(&served).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "not in docs/metrics.md: {missing:?}; only there: {unknown:?}"
        );
    }
}
