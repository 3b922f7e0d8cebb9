//! The work on one partition by its owner.
//!
//! # Layout
//! - here: one loop that takes messages from the log, starts the work on them, and acknowledges what is done.
//! - `queue`: which message may be worked on now; `work`: the work on one; `owner`: what it needs.
//! - `takeover`: what an owner does before it begins; `bare`: the work for a capability without a database.

mod bare;
mod owner;
mod queue;
mod takeover;
mod work;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use essaim_contract::MessageId;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};

use self::bare::Buried;
pub(crate) use self::owner::{Base, Owner};
use self::queue::{Job, Next, Order, Queue};
pub(crate) use self::takeover::Takeover;
use self::work::Outcome;
use super::flight::InFlight;
use super::record::Batch;
use crate::bridge::log::{Acknowledge, Acknowledged, Entry, Log, Position, Tally};
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
    /// Messages of each entry that are not done with.
    entries: BTreeMap<Position, u32>,
    /// The ids of messages from the log that are under way.
    ids: HashSet<MessageId>,
    /// Messages that are read and not done with; the reader looks at it.
    in_flight: Arc<InFlight>,
    /// What is to be acknowledged.
    done: Vec<Position>,
    tally: Tally,
    dead: Vec<(String, Bytes)>,
    most_at_a_time: usize,
}

/// Which piece of work has ended, and how.
struct Done {
    piece: Piece,
    outcome: Outcome,
    /// Counted by the log, for a capability without a database.
    buried: Buried,
}

/// The messages of an entry, and at which offsets the inbox knows their ids.
struct Looked {
    jobs: Vec<Job>,
    seen: HashMap<String, Vec<u64>>,
}

enum Piece {
    Fresh(Rc<Job>),
    Again(Order, u64),
    Parking(Rc<Job>, u64),
    /// About no key's turn: a copy of what was applied, or what is to be done about a dead letter.
    Aside(Rc<Job>),
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to stop, and has finished what was under way.
    Stopped,
    /// The partition has another owner.
    Lost,
}

impl Worker {
    pub fn new(takeover: Takeover, log: Arc<dyn Log>, in_flight: Arc<InFlight>) -> Self {
        let Takeover { owner, queue } = takeover;
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
            ids: HashSet::new(),
            in_flight,
            done: Vec::new(),
            tally: Tally::default(),
            dead: Vec::new(),
            most_at_a_time,
        }
    }

    /// Works until it is told to stop, or has lost the partition.
    pub async fn work(mut self, mut entries: mpsc::UnboundedReceiver<Entry>, mut stop: watch::Receiver<bool>) -> Ended {
        let mut acknowledging: Option<LocalBoxFuture<'static, Acknowledgement>> = None;
        let mut looking: Option<LocalBoxFuture<'static, Looked>> = None;
        loop {
            let stopping = *stop.borrow();
            if !stopping {
                self.begin();
            } else if self.running.is_empty() && self.done.is_empty() && acknowledging.is_none() {
                return Ended::Stopped;
            }
            if acknowledging.is_none() && !self.done.is_empty() {
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
        let mut jobs = Vec::with_capacity(entry.count as usize);
        for (index, record) in Batch::records(&entry.batch).enumerate() {
            match record {
                Ok(record) => jobs.push(self.job(record, entry.first + index as u64, entry.position)),
                Err(error) => {
                    let (capability, partition) = (&self.owner.partition.capability, self.owner.number());
                    let offset = entry.first + index as u64;
                    tracing::error!(%capability, partition, offset, %error, "the rest of a stored batch cannot be read");
                    self.dead.push((format!("unreadable/{offset}"), entry.batch.clone()));
                    self.tally.dead += u64::from(entry.count).saturating_sub(index as u64);
                    break;
                }
            }
        }
        self.in_flight.done(entry.count as usize - jobs.len().min(entry.count as usize));
        crash::point("worker.after-read");
        if jobs.is_empty() {
            self.done.push(entry.position);
            return None;
        }
        self.entries.insert(entry.position, jobs.len() as u32);
        let owner = self.owner.clone();
        Some(Box::pin(async move {
            let seen = owner.seen(&jobs).await;
            Looked { jobs, seen }
        }))
    }

    fn job(&mut self, record: crate::durable::record::Record, offset: u64, position: Position) -> Job {
        let delayed = record.not_before.is_some_and(|at| at > self.owner.env.wall_ms());
        let ordered = record.key.is_some() && !delayed;
        let order = if ordered { record.order() } else { record.id.as_str() }.into();
        // An id that is under way belongs to the same key, so it is looked up again when its turn comes.
        let doubtful = !self.ids.insert(record.id.clone());
        Job { record, order, ordered, offset, position, doubtful }
    }

    fn arrive(&mut self, job: Job, offsets: Option<&Vec<u64>>) {
        let Some(base) = self.owner.base.clone() else {
            if let Some(job) = self.queue.arrive(job) {
                // Without a database nothing is parked.
                self.finished(&job);
            }
            return;
        };
        if offsets.is_some_and(|offsets| offsets.contains(&job.offset)) {
            // Delivered again: all is done but the acknowledgement.
            return self.finished(&job);
        }
        let owner = self.owner.clone();
        if job.record.control.is_some() {
            let first = self.queue.before(&Order::from(job.record.order()));
            return self.run_aside(job, |job| work::control(owner, base, job, first).boxed_local());
        }
        if offsets.is_some() {
            return self.run_aside(job, |job| work::duplicate(owner, base, job).boxed_local());
        }
        let retention = Duration::from_hours(owner.config.inbox_retention_hours).as_millis() as u64;
        if job.record.id.time_ms().saturating_add(retention) < owner.env.wall_ms() {
            return self.run_aside(job, |job| work::too_old(owner, base, job).boxed_local());
        }
        match job.record.not_before {
            Some(due_ms) if due_ms > owner.env.wall_ms() => self.park(job, due_ms),
            _ => {
                if let Some(job) = self.queue.arrive(job) {
                    self.park(job, 0);
                }
            }
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
            let Some(next) = self.queue.next(self.owner.env.wall_ms()) else { return };
            let owner = self.owner.clone();
            match (next, owner.base.clone()) {
                (Next::Fresh(job), Some(base)) => {
                    self.run(Piece::Fresh(job.clone()), work::fresh(owner, base, job));
                }
                (Next::Fresh(job), None) => {
                    let piece = Piece::Fresh(job.clone());
                    self.running.push(Box::pin(async move {
                        let buried = bare::work(owner, job).await;
                        Done { piece, outcome: Outcome::Finished, buried }
                    }));
                }
                (Next::Parked { order, seq, attempts }, Some(base)) => {
                    self.run(Piece::Again(order, seq), work::again(owner, base, seq, attempts));
                }
                (Next::Parked { .. }, None) => {}
            }
        }
    }

    fn park(&mut self, job: Job, due_ms: u64) {
        let Some(base) = self.owner.base.clone() else { return };
        let (owner, seq, job) = (self.owner.clone(), self.owner.next_seq(), Rc::new(job));
        self.queue.parking(&job.order, seq, due_ms);
        self.run(Piece::Parking(job.clone(), seq), work::park(owner, base, job, seq, due_ms));
    }

    fn run(&self, piece: Piece, work: impl Future<Output = Outcome> + 'static) {
        self.running.push(Box::pin(async move { Done { piece, outcome: work.await, buried: Buried::default() } }));
    }

    fn run_aside(&self, job: Job, work: impl FnOnce(Rc<Job>) -> LocalBoxFuture<'static, Outcome>) {
        let job = Rc::new(job);
        self.run(Piece::Aside(job.clone()), work(job));
    }

    /// Notes how a piece of work has ended. Whether the partition is lost.
    fn take(&mut self, done: Done) -> bool {
        let Done { piece, outcome, buried } = done;
        if matches!(outcome, Outcome::Lost) {
            return true;
        }
        self.tally.add(buried.tally);
        self.dead.extend(buried.dead);
        match piece {
            Piece::Fresh(job) => {
                let behind = match outcome {
                    Outcome::Parked { seq, due_ms, attempts } => self.queue.parked(&job.order, seq, due_ms, attempts),
                    Outcome::Held => self.queue.hold(&job.order),
                    _ => {
                        self.queue.finished(&job.order);
                        Default::default()
                    }
                };
                self.finished(&job);
                behind.into_iter().for_each(|job| self.park(job, 0));
            }
            Piece::Again(order, seq) => match outcome {
                Outcome::Parked { due_ms, attempts, .. } => self.queue.failed(&order, seq, due_ms, attempts),
                Outcome::Held => {
                    self.queue.removed(&order, seq);
                    self.queue.hold(&order);
                }
                _ => self.queue.removed(&order, seq),
            },
            Piece::Parking(job, seq) => {
                self.queue.arrived(&job.order, seq);
                self.finished(&job);
            }
            Piece::Aside(job) => {
                if let Outcome::Released { held, waits } = outcome {
                    if let Some((order, seq)) = waits {
                        self.queue.waits(&order, seq, 0, 0);
                    }
                    if held {
                        self.queue.release(&Order::from(job.record.order()));
                    }
                }
                self.finished(&job);
            }
        }
        false
    }

    /// A message from the log needs the log no more.
    fn finished(&mut self, job: &Job) {
        if !job.doubtful {
            self.ids.remove(&job.record.id);
        }
        self.in_flight.done(1);
        if let Some(base) = &self.owner.base {
            base.remembered.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(left) = self.entries.get_mut(&job.position) {
            *left -= 1;
            if *left == 0 {
                self.entries.remove(&job.position);
                self.done.push(job.position);
            }
        }
    }

    /// Acknowledges what is done, again and again until the log answers.
    fn acknowledge(&mut self) -> LocalBoxFuture<'static, Acknowledgement> {
        let acknowledge = Acknowledge {
            partition: self.owner.partition.clone(),
            epoch: self.owner.epoch,
            positions: std::mem::take(&mut self.done),
            tally: std::mem::take(&mut self.tally),
            dead: std::mem::take(&mut self.dead),
        };
        let (log, owner) = (self.log.clone(), self.owner.clone());
        Box::pin(async move {
            let mut tries = 0;
            crash::point("worker.before-acknowledge");
            loop {
                match log.acknowledge(std::slice::from_ref(&acknowledge)).await {
                    Ok(answers) if answers.first() == Some(&Acknowledged::Fenced) => return Acknowledgement::Fenced,
                    Ok(_) => {
                        crash::point("worker.after-acknowledge");
                        return Acknowledgement::Done;
                    }
                    Err(error) => {
                        tries += 1;
                        tracing::debug!(%error, "what is done could not be acknowledged yet");
                        owner.pause(tries).await;
                    }
                }
            }
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Acknowledgement {
    Done,
    Fenced,
}
