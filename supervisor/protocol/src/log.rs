//! The log: it keeps durable messages until they are handled.
//!
//! Each capability has a number of partitions, and each partition is one queue of entries; an entry is a batch of
//! messages. An event is appended once for each subscribing capability, to a partition of that capability. So a
//! partition has one reader, its owner, and its entries are exactly those that its owner has not acknowledged: no entry can be
//! stranded with a reader that died, and there is nothing to trim. Reading changes nothing; acknowledging needs the owner's
//! epoch.
//!
//! # Layout
//! - [`assignment`]: which host works on which partition.

pub mod assignment;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// One queue of a capability's messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    pub capability: Arc<str>,
    pub number: u32,
}

/// The position of an entry in its partition; entries are read in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64, pub u64);

/// Messages to be stored in one partition.
#[derive(Debug, Clone)]
pub struct Append {
    pub to: Partition,
    /// The number of messages in `batch`.
    pub count: u32,
    pub batch: Bytes,
    /// Whether it is stored even if the partition is full: a request that makes room must not wait for room.
    pub urgent: bool,
}

/// The result of one [`Append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is stored; its first message has this offset.
    Stored { first: u64 },
    /// It is not stored, since so many messages wait in the partition.
    Full { waiting: u64 },
}

/// Why appending failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The registry has changed since the version that the sender has read; nothing is stored.
    #[error("the registry of the log has changed")]
    Stale,
    /// Nothing is stored.
    #[error("{0}")]
    NotStored(String),
    /// Whether it is stored is not known.
    #[error("{0}")]
    Unknown(String),
}

/// An error of the log, or of the connection to it. The texts are for people: the cause and, where it is known, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The request did not leave this node: nothing was done.
    #[error("{0}")]
    NotSent(String),
    /// The request was sent, and whether it was carried out is not known.
    #[error("{0}")]
    Unanswered(String),
    /// The log refused it.
    #[error("{0}")]
    Refused(String),
    /// The log answered, and too few replicas have what it answered with.
    #[error("{0}")]
    NotReplicated(String),
    /// The memory of the log's server is full.
    #[error("{0}")]
    OutOfMemory(String),
    /// The answer is not of the form that was asked for.
    #[error("{server} answered {asked} with something else than was asked for; is bridge.namespace used otherwise?")]
    UnexpectedAnswer { server: &'static str, asked: &'static str },
    /// The log has lost records, and does nothing until nodes have restored them.
    #[error("{server} has forgotten where messages go, and nodes are telling it; trying again")]
    Restoring { server: &'static str },
    /// Others changed the same record again and again; nothing was done.
    #[error("{0}")]
    Contended(&'static str),
    /// No capability is registered with this partition.
    #[error("the log has no partition {} of {}: is the capability registered?", .0.number, .0.capability)]
    UnknownPartition(Partition),
}

impl From<AppendError> for LogError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Stale => Self::Contended("the registry of the log has changed"),
            AppendError::NotStored(reason) => Self::Refused(reason),
            AppendError::Unknown(reason) => Self::Unanswered(reason),
        }
    }
}

/// Messages that were stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whether no log of ours has written it: then `batch` shows the data that was found, it counts as one message, and it is
    /// acknowledged by [`Acknowledge::foreign`].
    pub foreign: bool,
    pub position: Position,
    /// The offset of its first message: the number of messages appended to the partition before it, ever.
    pub first: u64,
    pub count: u32,
    pub batch: Bytes,
}

/// A request to read one partition.
#[derive(Debug, Clone)]
pub struct Reading {
    pub partition: Partition,
    /// The position behind which to read.
    pub after: Position,
    /// The most entries to read.
    pub most: u32,
}

impl Entry {
    /// One more than the most messages in an entry of ours.
    pub const MOST_MESSAGES: u64 = 1_000_000;
    /// The most bits of an offset: an inbox keeps the log's number above them.
    pub const OFFSET_BITS: u32 = 40;

    /// The message count of an entry, if its own count and its offset can be those of one of ours.
    pub fn counted(first: u64, count: u64) -> Option<u32> {
        let is_ours = first >> Self::OFFSET_BITS == 0 && (1..Self::MOST_MESSAGES).contains(&count);
        u32::try_from(count).ok().filter(|_| is_ours)
    }
}

/// The entries read, for each partition in which there were any.
pub type FoundEntries = Vec<(Partition, Vec<Entry>)>;

/// The outcomes of messages: counted in the log for handlers without a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub handled: u64,
    pub duplicates: u64,
    pub dead: u64,
    pub expired: u64,
}

impl Tally {
    /// The higher of each count.
    pub fn most(self, other: Self) -> Self {
        Self {
            handled: self.handled.max(other.handled),
            duplicates: self.duplicates.max(other.duplicates),
            dead: self.dead.max(other.dead),
            expired: self.expired.max(other.expired),
        }
    }

    /// Adds the counts of another one.
    pub fn add(&mut self, other: Self) {
        self.handled += other.handled;
        self.duplicates += other.duplicates;
        self.dead += other.dead;
        self.expired += other.expired;
    }
}

/// An acknowledgement of entries, which removes them.
#[derive(Debug, Clone)]
pub struct Acknowledge {
    pub partition: Partition,
    /// The owner's epoch.
    pub epoch: u64,
    pub positions: Vec<Position>,
    /// The positions of entries that no log of ours has written; each that is removed counts as one appended message.
    pub foreign: Vec<Position>,
    /// Added to the log's own tally.
    pub tally: Tally,
    /// Dead letters to keep in the log, by message id: those of handlers without a database. They replace earlier ones of the
    /// same ids.
    pub dead: Vec<(String, Bytes)>,
    /// Messages that have left the log and wait in the capability's database: they take room of the partition as waiting ones do.
    pub parked: u64,
}

/// The result of one [`Acknowledge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    Done,
    /// Another owner has a higher epoch; nothing was changed.
    Fenced,
}

/// A heartbeat of a host, which takes part in the work on a capability's partitions.
#[derive(Debug, Clone)]
pub struct HostHeartbeat {
    pub capability: Arc<str>,
    /// The node's name and epoch, unique among all hosts that ever were.
    pub host: String,
    /// The wire names of the durable messages that it handles.
    pub handles: BTreeSet<String>,
    /// Whether it wants no partition any more and has stopped working on its own: all of these are free at once.
    pub leaving: bool,
    /// Partitions that it owned and has stopped working on.
    pub given_up: Vec<u32>,
    /// Partitions of its own, or just given up, in which a message waits that it does not handle, with the message's name: each
    /// goes to a live host that handles it, if there is one.
    pub unhandled: Vec<(u32, String)>,
    /// Partitions of its own, each with an epoch of another log that its database has seen and that is not below the owner's:
    /// the owner needs a higher one.
    pub stale_epochs: Vec<(u32, u64)>,
    /// The time for which it counts as live without another heartbeat.
    pub lease: Duration,
}

/// A partition that a host owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedPartition {
    pub number: u32,
    /// Higher than that of any earlier owner.
    pub epoch: u64,
    /// Whether another host should have it: then its owner finishes the running messages and gives it up.
    pub wanted: bool,
}

/// The registry of capabilities, which tells senders where messages go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// Changes with every change of the registry.
    pub version: u64,
    /// The number of partitions of each capability.
    pub partitions: BTreeMap<String, u32>,
    /// The subscribers of each event: by its wire name, and then by capability.
    pub subscriptions: BTreeMap<String, BTreeMap<String, Subscription>>,
}

/// How a capability subscribes to an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The policy while the subscriber's partition is full.
    pub when_full: WhenFull,
    /// The first event of a new subscription.
    #[serde(default, skip_serializing_if = "Beginning::is_registration")]
    pub from: Beginning,
    /// The longest time for which an event waits for the subscriber.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// The version of the registry in which it began; set by the log.
    #[serde(default)]
    pub since: u64,
}

/// The first event of a new subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// The first event that is published after it.
    #[default]
    Registration,
    /// The earliest event that its publisher has retained.
    EarliestRetained,
}

impl Beginning {
    fn is_registration(&self) -> bool {
        *self == Self::Registration
    }
}

/// The policy for an event while a subscriber's partition is full.
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

/// The measured counts of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCount {
    pub number: u32,
    /// Messages appended, ever.
    pub appended: u64,
    /// Messages in entries that are not acknowledged.
    pub waiting: u64,
    /// The outcomes of messages of handlers without a database.
    pub tally: Tally,
    /// The owner's host and epoch, if it has one.
    pub owner: Option<(String, u64)>,
}

/// A page of the dead letters of a capability without a database, by message id.
///
/// A reader of page after page gets every letter that exists the whole time, perhaps twice, and perhaps none of those that come
/// or go meanwhile. A page may be somewhat larger than asked for, or empty although it is not the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    pub letters: Vec<(String, Bytes)>,
    /// The beginning of the next page; `None` after the last one.
    pub next: Option<String>,
}

/// The result of retiring a capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retired {
    /// The capability is removed, and with it so many messages that waited or were dead letters of the log.
    Done { messages: u64 },
    /// It has this live host; nothing is changed.
    Hosted { host: String },
    /// It is not registered.
    Unknown,
}

/// Keeps durable messages until they are handled.
pub trait Log: Send + Sync {
    /// For the end of the node: what is stored in a file of it is then in the main file alone.
    fn settle(&self) -> BoxFuture<'_, ()>;

    /// The registry.
    fn registry(&self) -> BoxFuture<'_, Result<Arc<Registry>, LogError>>;

    /// Registers a capability with its number of partitions, and adds its subscriptions. A number that is registered already
    /// stays: it decides which partition a key is in.
    fn register<'a>(
        &'a self,
        capability: &'a str,
        partitions: u32,
        subscriptions: &'a [(String, Subscription)],
    ) -> BoxFuture<'a, Result<(), LogError>>;

    /// Ends a subscription, and returns whether there was one.
    fn unsubscribe<'a>(&'a self, event: &'a str, capability: &'a str) -> BoxFuture<'a, Result<bool, LogError>>;

    /// Removes a capability for good, if it has no live host: its partitions with their messages, its subscriptions, its counters
    /// and the dead letters that the log keeps for it. Senders that know it find that the registry has changed.
    fn retire<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Retired, LogError>>;

    /// Stores messages, each [`Append`] whole or not at all, if the registry still has this version. A partition takes no more
    /// while `most` messages or more wait in it or are parked, except for urgent ones.
    fn append<'a>(
        &'a self,
        registry: u64,
        most: u64,
        appends: &'a [Append],
    ) -> BoxFuture<'a, Result<Vec<Appended>, AppendError>>;

    /// Records a host's heartbeat, and returns the partitions that it owns now.
    ///
    /// The live hosts of a capability share its partitions evenly. A partition whose owner is not live goes to another at
    /// once; one whose owner has too many is marked as wanted, and goes when it is given up. A host that handles less than
    /// another live host does gets none. Where each of several handles something that the others do not, as while a new version is
    /// rolled out, a partition stays where it is until a message waits in it that its owner does not handle.
    fn heartbeat<'a>(&'a self, heartbeat: &'a HostHeartbeat) -> BoxFuture<'a, Result<Vec<OwnedPartition>, LogError>>;

    /// Reads the entries behind the given positions, in order; waits up to `patience` until there are any.
    fn read<'a>(&'a self, readings: &'a [Reading], patience: Duration)
    -> BoxFuture<'a, Result<FoundEntries, LogError>>;

    /// Removes entries.
    fn acknowledge<'a>(&'a self, acknowledges: &'a [Acknowledge])
    -> BoxFuture<'a, Result<Vec<Acknowledged>, LogError>>;

    /// Checks that nothing stored has been lost, and reports what has; called with every heartbeat.
    fn check(&self) -> BoxFuture<'_, Result<(), LogError>>;

    /// Messages appended to a partition, as far as the log knows: fewer than ever were if it is an older state of itself.
    fn appended<'a>(&'a self, partition: &'a Partition) -> BoxFuture<'a, Result<u64, LogError>>;

    /// Counts on from behind messages that a capability's database knows to have been appended to a partition of this log.
    fn raise<'a>(&'a self, partition: &'a Partition, appended: u64) -> BoxFuture<'a, Result<(), LogError>>;

    /// The identity that tells this log from every other one, for as long as it keeps what is stored in it.
    fn identity(&self) -> BoxFuture<'_, Result<String, LogError>>;

    /// The measured counts of a capability's partitions.
    fn counts<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Vec<PartitionCount>, LogError>>;

    /// The number of dead letters of a capability without a database.
    fn dead_count<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<u64, LogError>>;

    /// A page of the dead letters of a capability without a database, in no order, from the [`DeadLetterPage::next`] before it.
    fn dead<'a>(
        &'a self,
        capability: &'a str,
        from: Option<&'a str>,
        most: u32,
    ) -> BoxFuture<'a, Result<DeadLetterPage, LogError>>;

    /// The dead letters of a capability without a database that have these message ids.
    fn dead_with<'a>(
        &'a self,
        capability: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, LogError>>;

    /// Deletes dead letters of a capability without a database that are unchanged, byte by byte, and returns their number. One
    /// that was replayed and has died again meanwhile is another.
    fn forget<'a>(
        &'a self,
        capability: &'a str,
        letters: &'a [(String, Bytes)],
    ) -> BoxFuture<'a, Result<u64, LogError>>;

    /// The part of the configured durability that the log does not give, in words that say what to do; `None` if it gives all.
    fn weaker_than_configured(&self) -> BoxFuture<'_, Option<String>>;
}
