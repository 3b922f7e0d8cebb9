//! The loop of one partition's owner: it takes messages from the log, starts the work on them, and acknowledges what is
//! done.
//!
//! # Layout
//! - `acknowledge`: what the log is told.

mod acknowledge;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use essaim_base::crash;
use essaim_protocol::log::{Entry, Log, Partition, Position, Tally};
use essaim_protocol::record::{Batch, Record, RefusedRecord};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use self::acknowledge::{Acknowledgement, OpenEntry};
use super::in_flight::InFlight;
use super::no_database::{self, LogReport};
use super::owner::PartitionOwner;
use super::queue::{LogMessage, OrderKey, ParkedPlace, Queue, QueueItem, Tries};
use super::takeover::Ownership;
use super::work::{self, WorkOutcome};
use super::{replay, retry};
use crate::dead;

/// How often it is looked whether the inbox has room again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Works on a partition until it is told to stop or finds that it has another owner.
pub struct Worker {
    owner: Rc<PartitionOwner>,
    log: Arc<dyn Log>,
    queue: Queue,
    /// The work that is under way.
    running: FuturesUnordered<LocalBoxFuture<'static, FinishedWork>>,
    /// What is read and not done with.
    entries: BTreeMap<Position, OpenEntry>,
    /// Messages that are read and not done with; the reader looks at it.
    in_flight: Arc<InFlight>,
    /// The offsets of messages that wait in memory for their time or another try: they do not count as in flight, or
    /// nothing else would be read. They are bounded by what may wait in the partition.
    deferred: HashSet<u64>,
    /// What is to be acknowledged.
    done: Vec<Position>,
    /// Those among what is to be acknowledged that nobody of ours has written.
    foreign: Vec<Position>,
    /// What is told with it.
    report: LogReport,
    /// How many messages are parked, as the log was told last.
    reported: Option<u64>,
    most_at_a_time: usize,
}

/// Which piece of work has ended, and how.
struct FinishedWork {
    item: WorkItem,
    outcome: WorkOutcome,
}

/// The messages of an entry, and at which offsets the inbox knows their ids.
struct InboxLookup {
    messages: Vec<LogMessage>,
    seen: HashMap<String, Vec<u64>>,
}

enum WorkItem {
    Fresh(Rc<LogMessage>),
    Again(ParkedPlace),
    /// On its way into the database: behind others of its key, or until that moment.
    Parking(Rc<LogMessage>, ParkedPlace, Option<u64>),
    /// About no key's turn: a copy of what was applied.
    Duplicate(Rc<LogMessage>),
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEnd {
    /// It was told to stop, and has finished what was under way.
    Stopped,
    /// The partition has another owner, or nobody knows.
    Lost,
    /// The database has seen a higher epoch than the owner's: this one.
    StaleEpoch(u64),
}

impl Worker {
    pub fn new(ownership: Ownership, log: Arc<dyn Log>, in_flight: Arc<InFlight>) -> Self {
        let Ownership { owner, queue, .. } = ownership;
        let most_at_a_time = match owner.store {
            Some(_) => owner.handlers.instances(),
            None => owner.config.window,
        };
        Self {
            owner: Rc::new(owner),
            log,
            queue,
            running: FuturesUnordered::new(),
            entries: BTreeMap::new(),
            in_flight,
            deferred: HashSet::new(),
            done: Vec::new(),
            foreign: Vec::new(),
            report: LogReport::default(),
            reported: None,
            most_at_a_time,
        }
    }

    /// Works until it is told to stop, or has lost the partition.
    pub async fn work(mut self, mut entries: mpsc::UnboundedReceiver<Entry>) -> WorkerEnd {
        let mut stop = self.owner.stop.clone();
        let mut acknowledging: Option<LocalBoxFuture<'static, Acknowledgement>> = None;
        let mut looking: Option<LocalBoxFuture<'static, InboxLookup>> = None;
        loop {
            let stopping = *stop.borrow();
            if !stopping {
                self.begin();
            } else if self.running.is_empty() && !self.has_done() && acknowledging.is_none() {
                return WorkerEnd::Stopped;
            }
            if acknowledging.is_none() && self.has_news() {
                acknowledging = Some(self.acknowledge());
            }
            let acknowledged = async {
                match &mut acknowledging {
                    Some(acknowledging) => acknowledging.await,
                    None => pending().await,
                }
            };
            // Beside the work that is under way: while the database is away it goes on waiting in time, too.
            let is_looking = looking.is_some();
            let looked = async {
                match &mut looking {
                    Some(looking) => looking.await,
                    None => pending().await,
                }
            };
            let next_look = self.next_look();
            tokio::select! {
                Some(done) = self.running.next() => {
                    if self.take(done) {
                        return WorkerEnd::Lost;
                    }
                    self.in_flight.progressed();
                }
                InboxLookup { messages, seen } = looked, if !stopping => {
                    looking = None;
                    for message in messages {
                        let offsets = seen.get(message.record.id.as_str());
                        self.arrive(message, offsets);
                    }
                }
                entry = entries.recv(), if !stopping && !is_looking => match entry {
                    Some(entry) => looking = self.read(entry),
                    None => return WorkerEnd::Lost,
                },
                answer = acknowledged => {
                    acknowledging = None;
                    if answer == Acknowledgement::Fenced {
                        return WorkerEnd::Lost;
                    }
                    self.in_flight.progressed();
                }
                () = self.owner.until(next_look), if !stopping && self.running.len() < self.most_at_a_time => {}
                Ok(()) = stop.changed(), if !stopping => {}
            }
        }
    }

    /// Takes an entry of the log, and looks which of its messages the inbox knows; nothing if it is done with already.
    fn read(&mut self, entry: Entry) -> Option<LocalBoxFuture<'static, InboxLookup>> {
        if self.entries.contains_key(&entry.position) {
            return None;
        }
        if entry.foreign {
            self.bury_foreign(&entry);
            return None;
        }
        let (records, rest) = Batch::open(&entry.batch, entry.count, &self.owner.trust.keys);
        let mut open = OpenEntry::default();
        if let Some(rest) = rest {
            let (capability, partition) = (&self.owner.partition.capability, self.owner.number());
            let offset = entry.first + records.len() as u64;
            tracing::error!(%capability, partition, offset, why = rest.why, "the rest of a stored batch cannot be read");
            let bytes = Bytes::copy_from_slice(rest.bytes);
            open.report.dead.push((format!("unreadable-{partition}/{offset}"), bytes));
            open.report.tally.dead = rest.count.into();
        }
        let mut messages = Vec::with_capacity(records.len());
        for (record, offset) in records.into_iter().zip(entry.first..) {
            match record {
                Ok(record) => messages.push(self.message(record, offset, entry.position)),
                Err(refused) => open.report.add(self.refused(&refused, entry.position, offset)),
            }
        }
        self.in_flight.done(entry.count as usize - messages.len());
        crash::point("worker.after-read");
        if messages.is_empty() {
            self.close(entry.position, open);
            return None;
        }
        open.left = messages.len() as u32;
        let known = self.entries.insert(entry.position, open);
        debug_assert!(known.is_none(), "an entry is read once");
        let owner = self.owner.clone();
        Some(Box::pin(async move {
            let seen = owner.seen(&messages).await;
            InboxLookup { messages, seen }
        }))
    }

    /// A message that no node has stored is a dead letter of the log, under an id of its own: the one that it claims may be another's.
    fn refused(&self, refused: &RefusedRecord<'_>, Position(major, minor): Position, offset: u64) -> LogReport {
        let (owner, Partition { capability, number }) = (&self.owner, &self.owner.partition);
        owner.trust.refuse(refused.why, capability);
        let letter = dead::encode_refused(refused, owner.env.wall_ms());
        let dead = vec![(format!("refused-{capability}-{number}/{major}-{minor}/{offset}"), letter)];
        LogReport { tally: Tally { dead: 1, ..Tally::default() }, dead }
    }

    fn message(&self, record: Record, offset: u64, position: Position) -> LogMessage {
        // What is to be done about dead letters of one key is done one after the other, beside the work on the key.
        let order = match record.control {
            Some(_) => format!("dead/{}", record.order()).into(),
            None => record.order().into(),
        };
        // Before it is looked up: what another copy does from here on is not seen then.
        let copy = self.owner.store.as_ref().map(|store| Arc::new(store.copies.enter(&record.id)));
        LogMessage { record, order, offset: self.owner.place(offset), position, copy }
    }

    fn arrive(&mut self, message: LogMessage, offsets: Option<&Vec<u64>>) {
        let now = self.owner.env.wall_ms();
        let due_ms = message.record.not_before.filter(|due_ms| *due_ms > now);
        let Some(store) = self.owner.store.clone() else {
            match due_ms {
                Some(due_ms) => {
                    self.defer(&message);
                    self.queue.delay(message, due_ms);
                }
                None => {
                    let to_park = self.queue.arrive(message);
                    debug_assert!(to_park.is_none(), "without a database nothing is parked");
                }
            }
            return;
        };
        if offsets.is_some_and(|offsets| offsets.contains(&message.offset)) {
            // Delivered again: all is done but the acknowledgement.
            return self.finished(&message);
        }
        if offsets.is_some() && message.record.control.is_none() {
            let message = Rc::new(message);
            return self.run(WorkItem::Duplicate(message.clone()), work::duplicate(self.owner.clone(), store, message));
        }
        match due_ms {
            Some(due_ms) => self.park(Rc::new(message), Some(due_ms)),
            None => {
                if let Some(message) = self.queue.arrive(message) {
                    self.park(Rc::new(message), None);
                }
            }
        }
    }

    /// A message goes on waiting in memory, and others may be read meanwhile.
    fn defer(&mut self, message: &LogMessage) {
        if self.deferred.insert(message.offset) {
            self.in_flight.done(1);
        }
    }

    /// When something may be worked on for which nothing else wakes the loop, in milliseconds since 1970.
    fn next_look(&self) -> Option<u64> {
        match self.owner.is_inbox_full() {
            true => Some(self.owner.env.wall_ms() + LOOK_AGAIN.as_millis() as u64),
            false => self.queue.next_due(),
        }
    }

    /// Starts what may be worked on now.
    fn begin(&mut self) {
        while self.running.len() < self.most_at_a_time && !self.owner.is_inbox_full() {
            let now_ms = self.owner.env.wall_ms();
            self.queue.clock_shows(now_ms, self.owner.config.backoff_most_ms);
            let Some(next) = self.queue.next(now_ms) else { return };
            let owner = self.owner.clone();
            match (next, owner.store.clone()) {
                (QueueItem::Fresh(message, _), Some(store)) if message.record.control.is_some() => {
                    let first = self.queue.before(&OrderKey::from(message.record.order()));
                    self.run(WorkItem::Fresh(message.clone()), replay::control(owner, store, message, first));
                }
                (QueueItem::Fresh(message, _), Some(store)) => {
                    self.run(WorkItem::Fresh(message.clone()), work::fresh(owner, store, message));
                }
                (QueueItem::Fresh(message, tries), None) => {
                    self.run(WorkItem::Fresh(message.clone()), no_database::work(owner, message, tries));
                }
                (QueueItem::Parked(place, tries), Some(store)) => {
                    self.run(WorkItem::Again(place.clone()), retry::again(owner, store, place, tries));
                }
                (QueueItem::Parked(..), None) => debug_assert!(false, "without a database nothing is parked"),
            }
        }
    }

    /// Puts a message into the database: behind the others of its key, or until a moment.
    fn park(&mut self, message: Rc<LogMessage>, due_ms: Option<u64>) {
        let Some(store) = self.owner.store.clone() else { return };
        let owner = self.owner.clone();
        let place = ParkedPlace { order: message.order.clone(), seq: owner.next_seq() };
        if due_ms.is_none() {
            self.queue.begin_parking(&place);
        }
        let work = retry::park(owner, store, message.clone(), place.seq, due_ms);
        self.run(WorkItem::Parking(message, place, due_ms), work);
    }

    fn run(&self, item: WorkItem, work: impl Future<Output = WorkOutcome> + 'static) {
        self.running.push(Box::pin(async move { FinishedWork { item, outcome: work.await } }));
    }

    /// Notes how a piece of work has ended. Whether the partition is lost.
    fn take(&mut self, done: FinishedWork) -> bool {
        let FinishedWork { item, outcome } = done;
        match outcome {
            WorkOutcome::Lost => return true,
            // This node stops, and nothing was changed: the next owner begins with it.
            WorkOutcome::Left => return false,
            _ => {}
        }
        match item {
            WorkItem::Fresh(message) => self.take_fresh(message, outcome),
            WorkItem::Again(place) => {
                let behind = match outcome {
                    WorkOutcome::Parked { due_ms, tries, .. } => self.queue.failed(&place, due_ms, tries),
                    WorkOutcome::Held => self.queue.hold_after(&place),
                    _ => self.queue.removed(&place),
                };
                behind.into_iter().for_each(|message| self.park(message, None));
            }
            WorkItem::Parking(message, place, due_ms) => {
                let behind = match (outcome, due_ms) {
                    (WorkOutcome::Parked { .. }, Some(due_ms)) => {
                        self.queue.delay_parked(place, due_ms, Tries::default());
                        Vec::new()
                    }
                    (WorkOutcome::Parked { .. }, None) => {
                        self.queue.park_committed(&place);
                        Vec::new()
                    }
                    // A copy of what is there already, or too old to be put anywhere.
                    (outcome, due_ms) => {
                        if due_ms.is_none() {
                            self.queue.park_abandoned(&place);
                        }
                        match outcome {
                            WorkOutcome::Held => self.queue.hold_beside(&place.order),
                            _ => Vec::new(),
                        }
                    }
                };
                self.finished(&message);
                behind.into_iter().for_each(|message| self.park(message, None));
            }
            WorkItem::Duplicate(message) => self.finished(&message),
        }
        false
    }

    fn take_fresh(&mut self, message: Rc<LogMessage>, outcome: WorkOutcome) {
        let behind = match outcome {
            WorkOutcome::Retry { due_ms, tries } => {
                self.defer(&message);
                return self.queue.retry(message, due_ms, tries);
            }
            WorkOutcome::Parked { seq, due_ms, tries } => {
                self.queue.parked(&ParkedPlace { order: message.order.clone(), seq }, due_ms, tries)
            }
            WorkOutcome::Held => self.queue.hold(&message.order),
            outcome => {
                match outcome {
                    WorkOutcome::Reported(report) => {
                        if let Some(open) = self.entries.get_mut(&message.position) {
                            open.report.add(report);
                        }
                    }
                    WorkOutcome::Released { held, waits } => self.release(&message, held, waits),
                    WorkOutcome::Hurried(place) => self.queue.hurry(&place),
                    _ => {}
                }
                self.queue.finished(&message.order)
            }
        };
        self.finished(&message);
        behind.into_iter().for_each(|message| self.park(message, None));
    }

    /// A dead letter is one no longer: if it held its key that may go on, and if it is tried again it takes its place.
    fn release(&mut self, message: &LogMessage, held: bool, waits: Option<ParkedPlace>) {
        match waits {
            Some(place) if held => self.queue.add_parked(&place, 0, Tries::default()),
            Some(place) => self.queue.delay_parked(place, 0, Tries::default()),
            None => {}
        }
        if held {
            self.queue.release(&OrderKey::from(message.record.order()));
        }
    }
}
