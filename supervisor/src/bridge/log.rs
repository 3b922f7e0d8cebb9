//! The log: what keeps durable messages until they are handled.
//!
//! Each capability has a number of partitions, and each partition is one queue of entries; an entry is a batch of
//! messages. An event is appended once for each subscribing capability, to a partition of that capability. So a
//! partition has one reader, its owner, and what is in it is exactly what its owner has not acknowledged: nothing can be
//! stranded with a reader that died, and there is nothing to trim. Reading changes nothing; acknowledging needs the
//! owner's epoch.
//!
//! # Layout
//! - `share`: which host works on which partition.

pub(crate) mod share;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// One queue of a capability's messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub capability: Arc<str>,
    pub number: u32,
}

/// Where an entry is in its partition; entries are read in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position(pub u64, pub u64);

/// Messages to be stored in one partition.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    pub to: Partition,
    /// Messages in it.
    pub count: u32,
    pub batch: Bytes,
    /// It is stored even if the partition is full: what makes room must not wait for room.
    pub urgent: bool,
}

/// What became of one [`Append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is stored; its first message has this offset.
    Stored { first: u64 },
    /// It is not: so many messages wait in the partition.
    Full { waiting: u64 },
}

/// Why appending failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The registry has changed since the version that the sender has read; nothing is stored.
    #[error("the registry of the log has changed")]
    Stale,
    /// Nothing is stored.
    #[error("{0}")]
    NotStored(String),
    /// It is not known what is stored.
    #[error("{0}")]
    Unknown(String),
}

/// Why the log did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LogError(pub String);

/// Messages that were stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// No log of ours has written it: `batch` shows what was found, it counts as one message, and it goes by
    /// [`Acknowledge::foreign`].
    pub foreign: bool,
    pub position: Position,
    /// The offset of its first message: how many were appended to the partition before it, ever.
    pub first: u64,
    pub count: u32,
    pub batch: Bytes,
}

/// Reading on in one partition.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub partition: Partition,
    /// Entries after this one.
    pub after: Position,
    /// At most so many entries.
    pub most: u32,
}

impl Entry {
    /// More messages than an entry of ours can hold, however large its batch may be.
    pub const MOST_MESSAGES: u64 = 1_000_000;
    /// Offsets have so many bits at most: an inbox keeps the log's number above them.
    pub const OFFSET_BITS: u32 = 40;

    /// The messages of an entry that says to hold so many from that offset on, if it can be one of ours.
    pub fn counted(first: u64, count: u64) -> Option<u32> {
        let is_ours = first >> Self::OFFSET_BITS == 0 && (1..Self::MOST_MESSAGES).contains(&count);
        u32::try_from(count).ok().filter(|_| is_ours)
    }
}

/// What was read, for each partition in which there was something.
pub(crate) type Found = Vec<(Partition, Vec<Entry>)>;

/// What became of messages, for handlers without a database, which have no better place to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub handled: u64,
    pub duplicates: u64,
    pub dead: u64,
    pub expired: u64,
}

impl Tally {
    /// The higher of each.
    pub fn most(self, other: Self) -> Self {
        Self {
            handled: self.handled.max(other.handled),
            duplicates: self.duplicates.max(other.duplicates),
            dead: self.dead.max(other.dead),
            expired: self.expired.max(other.expired),
        }
    }

    /// Counts another one in.
    pub fn add(&mut self, other: Self) {
        self.handled += other.handled;
        self.duplicates += other.duplicates;
        self.dead += other.dead;
        self.expired += other.expired;
    }
}

/// Entries that are handled and can go.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledge {
    pub partition: Partition,
    /// The owner's.
    pub epoch: u64,
    pub positions: Vec<Position>,
    /// Entries that no log of ours has written; each that is removed counts as one message that was appended.
    pub foreign: Vec<Position>,
    /// Added to what the log counts.
    pub tally: Tally,
    /// Dead letters to keep in the log: those of handlers without a database, by message id. One that is there already
    /// is replaced.
    pub dead: Vec<(String, Bytes)>,
    /// Messages that have left the log and wait in the capability's database. They count as those that wait in the log do
    /// when it is asked whether the partition has room.
    pub parked: u64,
}

/// What became of one [`Acknowledge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    Done,
    /// Another owner has a higher epoch; nothing was changed.
    Fenced,
}

/// A host that takes part in the work on a capability's partitions.
#[derive(Debug, Clone)]
pub(crate) struct HostHeartbeat {
    pub capability: Arc<str>,
    /// The node's name and epoch, unique among all hosts that ever were.
    pub host: String,
    /// The wire names of the durable messages that it handles.
    pub handles: BTreeSet<String>,
    /// It wants none any more and has stopped working on what it had: all of that is free at once.
    pub leaving: bool,
    /// Partitions that it owned and has stopped working on.
    pub given_up: Vec<u32>,
    /// Partitions of its own, or just given up, in which a message waits that it does not handle, with the message's name: if
    /// another live host handles it, the partition goes there.
    pub lacks: Vec<(u32, String)>,
    /// Partitions of its own whose database has seen an epoch that is not below its own, given by another log: an owner
    /// needs a higher one.
    pub stale_epochs: Vec<(u32, u64)>,
    /// How long it counts as live without another heartbeat.
    pub lease: Duration,
}

/// A partition that a host owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned {
    pub number: u32,
    /// Higher than that of any owner before.
    pub epoch: u64,
    /// Another host should have it: finish what is under way and give it up.
    pub wanted: bool,
}

/// What is known to all senders: where messages go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registry {
    /// Changes with every change.
    pub version: u64,
    /// The number of partitions of each capability.
    pub partitions: BTreeMap<String, u32>,
    /// Who gets which event: capability by wire name.
    pub subscriptions: BTreeMap<String, BTreeMap<String, Subscription>>,
}

/// How a capability subscribes to an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// What happens while as many messages wait for the subscriber as may.
    pub when_full: WhenFull,
    /// What a new subscription begins with.
    #[serde(default, skip_serializing_if = "Beginning::is_registration")]
    pub from: Beginning,
    /// How long an event waits for the subscriber at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// The version of the registry that has brought it; the log's to say.
    #[serde(default)]
    pub since: u64,
}

/// What a new subscription begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Beginning {
    /// The first event that is published after it.
    #[default]
    Registration,
    /// What the event's publisher has kept.
    EarliestRetained,
}

impl Beginning {
    fn is_registration(&self) -> bool {
        *self == Self::Registration
    }
}

/// What happens to an event while a subscriber's partition is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It waits in the publisher's database; other subscribers get theirs.
    #[default]
    OverflowToDisk,
    /// It becomes a dead letter of the subscriber, kept by the publisher.
    DeadLetter,
    /// The publisher waits.
    Block,
}

/// How much is in one partition, measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionCount {
    pub number: u32,
    /// Messages appended, ever.
    pub appended: u64,
    /// Messages in entries that are not acknowledged.
    pub waiting: u64,
    /// What handlers without a database did.
    pub tally: Tally,
    /// The owner's host and epoch, if it has one.
    pub owner: Option<(String, u64)>,
}

/// Some of the dead letters of a capability without a database, by message id.
///
/// Whoever reads page after page gets every letter that is there all the time, perhaps twice; of what comes or goes
/// meanwhile perhaps nothing. A page may be somewhat larger than wanted, or empty although it is not the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeadLetters {
    pub letters: Vec<(String, Bytes)>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<String>,
}

/// What became of a capability that was to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Retired {
    /// Nothing is left of it; so many messages waited, or were dead letters of the log.
    Done { messages: u64 },
    /// This host of it is there: nothing is changed.
    Hosted { host: String },
    /// Nobody has registered it.
    Unknown,
}

/// Keeps durable messages until they are handled.
pub(crate) trait Log: Send + Sync {
    /// Where messages go now.
    fn registry(&self) -> BoxFuture<'_, Result<Arc<Registry>, LogError>>;

    /// Notes a capability with its number of partitions, unless one is noted already, and what it subscribes to beside
    /// what is noted. An existing number stays: it decides where keys are.
    fn register<'a>(
        &'a self,
        capability: &'a str,
        partitions: u32,
        subscriptions: &'a [(String, Subscription)],
    ) -> BoxFuture<'a, Result<(), LogError>>;

    /// Ends a subscription; whether there was one.
    fn unsubscribe<'a>(&'a self, event: &'a str, capability: &'a str) -> BoxFuture<'a, Result<bool, LogError>>;

    /// Forgets a capability for good, if no host of it is there: its partitions with what is in them, its subscriptions, its
    /// counters and the dead letters that the log keeps of it. Senders that know it find that the registry has changed.
    fn retire<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Retired, LogError>>;

    /// Stores messages, all of an [`Append`] or nothing of it, if the registry still has this version. A partition takes no
    /// more while `most` messages or more wait in it or are parked, except for what is urgent.
    fn append<'a>(
        &'a self,
        registry: u64,
        most: u64,
        appends: &'a [Append],
    ) -> BoxFuture<'a, Result<Vec<Appended>, AppendError>>;

    /// Says that a host is there, and which partitions are its own now.
    ///
    /// The live hosts of a capability share its partitions evenly. A partition whose owner is not live goes to another at
    /// once; one whose owner has too many is marked as wanted, and goes when it is given up. A host that handles less than
    /// another live host does gets none. Where each of several handles something that the others do not, as while a new version is
    /// rolled out, a partition stays where it is until a message waits in it that its owner does not handle.
    fn heartbeat<'a>(&'a self, heartbeat: &'a HostHeartbeat) -> BoxFuture<'a, Result<Vec<Owned>, LogError>>;

    /// The entries after those positions, in order; waits up to `patience` until there are any.
    fn read<'a>(&'a self, readings: &'a [Reading], patience: Duration) -> BoxFuture<'a, Result<Found, LogError>>;

    /// Removes entries.
    fn acknowledge<'a>(&'a self, acknowledges: &'a [Acknowledge])
    -> BoxFuture<'a, Result<Vec<Acknowledged>, LogError>>;

    /// Looks whether all is there that was kept, and says what is not; called with every heartbeat.
    fn check(&self) -> BoxFuture<'_, Result<(), LogError>>;

    /// A capability's database knows what became of so many messages of a partition of this log: at least as many were
    /// appended.
    fn accounted(&self, partition: &Partition, messages: u64);

    /// What tells this log from every other one, for as long as it keeps what is stored in it.
    fn identity(&self) -> BoxFuture<'_, Result<String, LogError>>;

    /// How much is in the partitions of a capability.
    fn counts<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Vec<PartitionCount>, LogError>>;

    /// How many dead letters of a capability without a database there are.
    fn dead_count<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<u64, LogError>>;

    /// A page of the dead letters of a capability without a database, from a place that the page before has named. They are
    /// in no order that means anything.
    fn dead<'a>(
        &'a self,
        capability: &'a str,
        from: Option<&'a str>,
        most: u32,
    ) -> BoxFuture<'a, Result<DeadLetters, LogError>>;

    /// Those of such dead letters that have these message ids.
    fn dead_with<'a>(
        &'a self,
        capability: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, LogError>>;

    /// Forgets those of such dead letters that are still what they were, byte by byte; how many there were. One that was
    /// replayed and has died again meanwhile is another.
    fn forget<'a>(
        &'a self,
        capability: &'a str,
        letters: &'a [(String, Bytes)],
    ) -> BoxFuture<'a, Result<u64, LogError>>;

    /// What of the configured durability the log does not give, in words that say what to do; `None` if it gives it all.
    fn weaker_than_configured(&self) -> BoxFuture<'_, Option<String>>;
}
