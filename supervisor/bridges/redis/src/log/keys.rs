//! The names of the log's keys.

use essaim_protocol::log::Partition;

/// The names under `{namespace}:log`.
pub struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(namespace: &str) -> Self {
        Self { prefix: format!("{namespace}:log") }
    }

    /// A hash: `identity`, which tells this log from others, `version`, and `rank`, the version of the last change where that is
    /// another; `partitions:{capability}`, `subscription:{capability}:{event}` with `since:…`, `retired:{capability}` with
    /// the version that has retired it last; `run`, the server process that it was used on last; `telling`, the end of a
    /// restore, in microseconds since 1970 by the server's clock; and `young` if an older one may still be restored over it.
    pub fn registry(&self) -> String {
        format!("{}:registry", self.prefix)
    }

    /// The entries of a partition. Of the fields of an entry, `c` counts its messages, `f` is the offset of the first,
    /// and `b` is the batch.
    pub fn stream(&self, partition: &Partition) -> String {
        format!("{}:{}:{}", self.prefix, partition.capability, partition.number)
    }

    /// The identity of a log from before the registry had it: a text.
    pub fn old_identity(&self) -> String {
        format!("{}:identity", self.prefix)
    }

    /// A hash of the counts of a partition: `appended`, `waiting`, `parked` and the fields of a tally; `born`, when
    /// it was begun, and `lost`, when entries were lost last, in milliseconds since 1970.
    pub fn counts(&self, partition: &Partition) -> String {
        format!("{}:{}:{}:counts", self.prefix, partition.capability, partition.number)
    }

    /// A hash: for each partition the epoch that was given last, a space, and the owner if there is one. Epochs stay
    /// when owners go.
    pub fn owners(&self, capability: &str) -> String {
        format!("{}:{capability}:owners", self.prefix)
    }

    /// A hash: when the lease of each host ends, in microseconds since 1970 by the server's clock.
    pub fn hosts(&self, capability: &str) -> String {
        format!("{}:{capability}:hosts", self.prefix)
    }

    /// A hash: the names of the messages that each host handles, a line each.
    pub fn handles(&self, capability: &str) -> String {
        format!("{}:{capability}:handles", self.prefix)
    }

    /// A hash: `version` of hosts and owners, `run`, the server process that the epochs are from, and `granted` once there
    /// were owners.
    pub fn state(&self, capability: &str) -> String {
        format!("{}:{capability}:state", self.prefix)
    }

    /// A hash: dead letters by message id.
    pub fn dead(&self, capability: &str) -> String {
        format!("{}:{capability}:dead", self.prefix)
    }
}
