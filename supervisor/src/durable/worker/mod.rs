//! The work on one partition by its owner.
//!
//! # Layout
//! - here: one loop that takes messages from the log, starts the work on them, and acknowledges what is done.
//! - `queue`: which message may be worked on now; `work`: the work on one, in `steps`; `owner`: what it needs.
//! - `acknowledging`: what the log is told. `lacking`: what another version handles.
//! - `takeover`: what an owner does before it begins; `bare`: the work for a capability without a database.

mod acknowledging;
mod bare;
mod lacking;
mod owner;
mod queue;
mod steps;
mod takeover;
mod work;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use self::acknowledging::{Acknowledgement, Open};
use self::bare::Buried;
pub(crate) use self::lacking::Lacking;
pub(crate) use self::owner::{Base, Owner};
use self::queue::{Job, Next, Order, Place, Queue, Tries};
pub(crate) use self::takeover::{Claim, Ownership};
use self::work::Outcome;
use super::flight::InFlight;
use super::record::{Batch, Record};
use crate::bridge::log::{Entry, Log, Position};
use crate::crash;

/// How often it is looked whether the inbox has room again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Works on a partition until it is told to stop or finds that it has another owner.
pub(crate) struct Worker {
    owner: Rc<Owner>,
    log: Arc<dyn Log>,
    queue: Queue,
    /// The work that is under way.
    running: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    /// What is read and not done with.
    entries: BTreeMap<Position, Open>,
    /// Messages that are read and not done with; the reader looks at it.
    in_flight: Arc<InFlight>,
    /// The offsets of messages that wait in memory for their time or another try: they do not count as in flight, or
    /// nothing else would be read. They are bounded by what may wait in the partition.
    aside: HashSet<u64>,
    /// What is to be acknowledged.
    done: Vec<Position>,
    /// Those among what is to be acknowledged that nobody of ours has written.
    foreign: Vec<Position>,
    /// What is told with it.
    buried: Buried,
    /// How many messages are parked, as the log was told last.
    told: Option<u64>,
    most_at_a_time: usize,
}

/// Which piece of work has ended, and how.
struct Done {
    piece: Piece,
    outcome: Outcome,
}

/// The messages of an entry, and at which offsets the inbox knows their ids.
struct Looked {
    jobs: Vec<Job>,
    seen: HashMap<String, Vec<u64>>,
}

enum Piece {
    Fresh(Rc<Job>),
    Again(Place),
    /// On its way into the database: behind others of its key, or until that moment.
    Parking(Rc<Job>, Place, Option<u64>),
    /// About no key's turn: a copy of what was applied.
    Aside(Rc<Job>),
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
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
        let most_at_a_time = match owner.base {
            Some(_) => owner.host.instances().len(),
            None => owner.config.window,
        };
        Self {
            owner: Rc::new(owner),
            log,
            queue,
            running: FuturesUnordered::new(),
            entries: BTreeMap::new(),
            in_flight,
            aside: HashSet::new(),
            done: Vec::new(),
            foreign: Vec::new(),
            buried: Buried::default(),
            told: None,
            most_at_a_time,
        }
    }

    /// Works until it is told to stop, or has lost the partition.
    pub async fn work(mut self, mut entries: mpsc::UnboundedReceiver<Entry>) -> Ended {
        let mut stop = self.owner.stop.clone();
        let mut acknowledging: Option<LocalBoxFuture<'static, Acknowledgement>> = None;
        let mut looking: Option<LocalBoxFuture<'static, Looked>> = None;
        loop {
            let stopping = *stop.borrow();
            if !stopping {
                self.begin();
            } else if self.running.is_empty() && !self.has_done() && acknowledging.is_none() {
                return Ended::Stopped;
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
                        return Ended::Lost;
                    }
                    self.in_flight.progressed();
                }
                Looked { jobs, seen } = looked, if !stopping => {
                    looking = None;
                    for job in jobs {
                        let offsets = seen.get(job.record.id.as_str());
                        self.arrive(job, offsets);
                    }
                }
                entry = entries.recv(), if !stopping && !is_looking => match entry {
                    Some(entry) => looking = self.read(entry),
                    None => return Ended::Lost,
                },
                answer = acknowledged => {
                    acknowledging = None;
                    if answer == Acknowledgement::Fenced {
                        return Ended::Lost;
                    }
                    self.in_flight.progressed();
                }
                () = self.owner.until(next_look), if !stopping && self.running.len() < self.most_at_a_time => {}
                Ok(()) = stop.changed(), if !stopping => {}
            }
        }
    }

    /// Takes an entry of the log, and looks which of its messages the inbox knows; nothing if it is done with already.
    fn read(&mut self, entry: Entry) -> Option<LocalBoxFuture<'static, Looked>> {
        if self.entries.contains_key(&entry.position) {
            return None;
        }
        if entry.foreign {
            self.bury_foreign(&entry);
            return None;
        }
        let (records, rest) = Batch::read(&entry.batch, entry.count);
        let mut open = Open::default();
        if let Some(rest) = rest {
            let (capability, partition) = (&self.owner.partition.capability, self.owner.number());
            let offset = entry.first + records.len() as u64;
            tracing::error!(%capability, partition, offset, why = rest.why, "the rest of a stored batch cannot be read");
            let bytes = Bytes::copy_from_slice(rest.bytes);
            open.buried.dead.push((format!("unreadable-{partition}/{offset}"), bytes));
            open.buried.tally.dead = rest.count.into();
        }
        let offsets = entry.first..;
        let jobs: Vec<_> = records.into_iter().zip(offsets).map(|(r, at)| self.job(r, at, entry.position)).collect();
        self.in_flight.done(entry.count as usize - jobs.len());
        crash::point("worker.after-read");
        if jobs.is_empty() {
            self.close(entry.position, open);
            return None;
        }
        open.left = jobs.len() as u32;
        self.entries.insert(entry.position, open);
        let owner = self.owner.clone();
        Some(Box::pin(async move {
            let seen = owner.seen(&jobs).await;
            Looked { jobs, seen }
        }))
    }

    fn job(&self, record: Record, offset: u64, position: Position) -> Job {
        // What is to be done about dead letters of one key is done one after the other, beside whatever the key does.
        let order = match record.control {
            Some(_) => format!("dead/{}", record.order()).into(),
            None => record.order().into(),
        };
        // Before it is looked up: what another copy does from here on is not seen then.
        let copy = self.owner.base.as_ref().map(|base| Arc::new(base.copies.enter(&record.id)));
        Job { record, order, offset: self.owner.place(offset), position, copy }
    }

    fn arrive(&mut self, job: Job, offsets: Option<&Vec<u64>>) {
        let now = self.owner.env.wall_ms();
        let due_ms = job.record.not_before.filter(|due_ms| *due_ms > now);
        let Some(base) = self.owner.base.clone() else {
            match due_ms {
                Some(due_ms) => {
                    self.set_aside(&job);
                    self.queue.delay(job, due_ms);
                }
                // Without a database nothing is parked.
                None => drop(self.queue.arrive(job)),
            }
            return;
        };
        if offsets.is_some_and(|offsets| offsets.contains(&job.offset)) {
            // Delivered again: all is done but the acknowledgement.
            return self.finished(&job);
        }
        if offsets.is_some() && job.record.control.is_none() {
            let job = Rc::new(job);
            return self.run(Piece::Aside(job.clone()), work::duplicate(self.owner.clone(), base, job));
        }
        match due_ms {
            Some(due_ms) => self.park(Rc::new(job), Some(due_ms)),
            None => {
                if let Some(job) = self.queue.arrive(job) {
                    self.park(Rc::new(job), None);
                }
            }
        }
    }

    /// A message goes on waiting in memory, and others may be read meanwhile.
    fn set_aside(&mut self, job: &Job) {
        if self.aside.insert(job.offset) {
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
            match (next, owner.base.clone()) {
                (Next::Fresh(job, _), Some(base)) if job.record.control.is_some() => {
                    let first = self.queue.before(&Order::from(job.record.order()));
                    self.run(Piece::Fresh(job.clone()), work::control(owner, base, job, first));
                }
                (Next::Fresh(job, _), Some(base)) => {
                    self.run(Piece::Fresh(job.clone()), work::fresh(owner, base, job));
                }
                (Next::Fresh(job, tries), None) => {
                    self.run(Piece::Fresh(job.clone()), bare::work(owner, job, tries));
                }
                (Next::Parked(place, tries), Some(base)) => {
                    self.run(Piece::Again(place.clone()), work::again(owner, base, place, tries));
                }
                (Next::Parked(..), None) => {}
            }
        }
    }

    /// Puts a message into the database: behind the others of its key, or until a moment.
    fn park(&mut self, job: Rc<Job>, due_ms: Option<u64>) {
        let Some(base) = self.owner.base.clone() else { return };
        let owner = self.owner.clone();
        let place = Place { order: job.order.clone(), seq: owner.next_seq() };
        if due_ms.is_none() {
            self.queue.parking(&place);
        }
        let work = work::park(owner, base, job.clone(), place.seq, due_ms);
        self.run(Piece::Parking(job, place, due_ms), work);
    }

    fn run(&self, piece: Piece, work: impl Future<Output = Outcome> + 'static) {
        self.running.push(Box::pin(async move { Done { piece, outcome: work.await } }));
    }

    /// Notes how a piece of work has ended. Whether the partition is lost.
    fn take(&mut self, done: Done) -> bool {
        let Done { piece, outcome } = done;
        match outcome {
            Outcome::Lost => return true,
            // This node stops, and nothing was changed: the next owner begins with it.
            Outcome::Left => return false,
            _ => {}
        }
        match piece {
            Piece::Fresh(job) => self.take_fresh(job, outcome),
            Piece::Again(place) => {
                let behind = match outcome {
                    Outcome::Parked { due_ms, tries, .. } => self.queue.failed(&place, due_ms, tries),
                    Outcome::Held => self.queue.hold_after(&place),
                    _ => {
                        self.queue.removed(&place);
                        Vec::new()
                    }
                };
                behind.into_iter().for_each(|job| self.park(job, None));
            }
            Piece::Parking(job, place, due_ms) => {
                let behind = match (outcome, due_ms) {
                    (Outcome::Parked { .. }, Some(due_ms)) => {
                        self.queue.later(place, due_ms, Tries::default());
                        Vec::new()
                    }
                    (Outcome::Parked { .. }, None) => {
                        self.queue.arrived(&place);
                        Vec::new()
                    }
                    // A copy of what is there already, or too old to be put anywhere.
                    (outcome, due_ms) => {
                        if due_ms.is_none() {
                            self.queue.withdrawn(&place);
                        }
                        if matches!(outcome, Outcome::Held) { self.queue.hold(&place.order) } else { Vec::new() }
                    }
                };
                self.finished(&job);
                behind.into_iter().for_each(|job| self.park(job, None));
            }
            Piece::Aside(job) => self.finished(&job),
        }
        false
    }

    fn take_fresh(&mut self, job: Rc<Job>, outcome: Outcome) {
        let behind = match outcome {
            Outcome::Retry { due_ms, tries } => {
                self.set_aside(&job);
                return self.queue.retry(job, due_ms, tries);
            }
            Outcome::Parked { seq, due_ms, tries } => {
                self.queue.parked(&Place { order: job.order.clone(), seq }, due_ms, tries)
            }
            Outcome::Held => self.queue.hold(&job.order),
            outcome => {
                match outcome {
                    Outcome::Buried(buried) => {
                        if let Some(open) = self.entries.get_mut(&job.position) {
                            open.buried.add(buried);
                        }
                    }
                    Outcome::Released { held, waits } => self.release(&job, held, waits),
                    _ => {}
                }
                self.queue.finished(&job.order);
                Vec::new()
            }
        };
        self.finished(&job);
        behind.into_iter().for_each(|job| self.park(job, None));
    }

    /// A dead letter is one no longer: if it held its key that may go on, and if it is tried again it takes its place.
    fn release(&mut self, job: &Job, held: bool, waits: Option<Place>) {
        match waits {
            Some(place) if held => self.queue.waits(&place, 0, Tries::default()),
            Some(place) => self.queue.later(place, 0, Tries::default()),
            None => {}
        }
        if held {
            self.queue.release(&Order::from(job.record.order()));
        }
    }
}
