//! Which message of a partition may be worked on now: those of one key one at a time and in order, different keys beside
//! each other, and behind a message that failed only those of its key. A message that waits for its time takes its place
//! among those of its key when the time has come.

mod clock;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crate::bridge::log::Position;
use crate::durable::copies::OneCopy;
use crate::durable::record::Record;

/// What orders a message among others: its key, or itself alone.
pub(crate) type Order = Rc<str>;

/// A message from the log.
#[derive(Debug)]
pub(crate) struct Job {
    pub record: Record,
    pub order: Order,
    /// Its offset as the inbox remembers it.
    pub offset: u64,
    /// The entry that it came in.
    pub position: Position,
    /// It, among its copies; absent where nothing is remembered of what was applied.
    pub copy: Option<Arc<OneCopy>>,
}

impl Job {
    /// Whether another copy of it may have been applied since it came.
    pub fn is_contested(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.is_contested())
    }
}

/// How often a message was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    /// Attempts that count towards `durable.attempts`.
    pub attempts: u32,
    /// Tries in a row since it was read, also for want of what its handler needs: for how long the next one waits.
    pub tries: u32,
}

impl Tries {
    /// These and another one, which counts as an attempt or does not.
    pub fn another(self, counts: bool) -> Self {
        Self { attempts: self.attempts + u32::from(counts), tries: self.tries.saturating_add(1) }
    }
}

/// Where a message that waits in the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub order: Order,
    /// Its number in the partition.
    pub seq: u64,
}

/// What can be done next.
#[derive(Debug)]
pub(crate) enum Next {
    /// A message from the log.
    Fresh(Rc<Job>, Tries),
    /// A message that waits in the database.
    Parked(Place, Tries),
}

/// The messages of a partition that its owner knows of.
#[derive(Default)]
pub(crate) struct Queue {
    orders: HashMap<Order, State>,
    ready: VecDeque<Next>,
    /// When the first parked message of each order is due, in milliseconds since 1970.
    due: BTreeSet<(u64, Order)>,
    /// What is in no order before its time, by that time and in the order of coming.
    later: BTreeMap<(u64, u64), Later>,
    laters: u64,
    /// Messages in the database.
    stored: u64,
    /// What the wall clock showed last.
    clock_ms: u64,
}

/// Something that waits for its time.
enum Later {
    /// It takes its place among those of its order then.
    Joins(Next),
    /// It has the turn of its order and keeps it.
    HasTurn(Next),
}

enum State {
    /// A message is being worked on; these wait behind it, in memory or in the database.
    Busy(VecDeque<Next>),
    /// All messages of the order are in the database.
    Parked(Parked),
}

#[derive(Default)]
struct Parked {
    /// By number, which is their order.
    rows: BTreeMap<u64, Row>,
    /// The first of them is being worked on.
    running: bool,
    /// A dead letter keeps the others from being tried.
    held: bool,
    /// Under which moment the order stands in [`Queue::due`].
    scheduled: Option<u64>,
}

#[derive(Clone, Copy)]
struct Row {
    due_ms: u64,
    tries: Tries,
    /// It is on its way into the database, not there yet.
    arriving: bool,
}

impl Next {
    fn tries(&self) -> Tries {
        let (Self::Fresh(_, tries) | Self::Parked(_, tries)) = self;
        *tries
    }

    fn order(&self) -> &Order {
        match self {
            Self::Fresh(job, _) => &job.order,
            Self::Parked(place, _) => &place.order,
        }
    }
}

impl Queue {
    /// Takes a message from the log. One that must be parked behind others of its key is given back: it is then to be
    /// announced with [`Queue::parking`].
    pub fn arrive(&mut self, job: Job) -> Option<Job> {
        match self.orders.get_mut(&job.order) {
            None => {
                self.orders.insert(job.order.clone(), State::Busy(VecDeque::new()));
                self.ready.push_back(Next::Fresh(Rc::new(job), Tries::default()));
                None
            }
            Some(State::Busy(behind)) => {
                behind.push_back(Next::Fresh(Rc::new(job), Tries::default()));
                None
            }
            Some(State::Parked(_)) => Some(job),
        }
    }

    /// What can be worked on now.
    pub fn next(&mut self, now_ms: u64) -> Option<Next> {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now_ms) {
            match entry.remove() {
                Later::Joins(next) => self.join(next),
                Later::HasTurn(next) => self.ready.push_back(next),
            }
        }
        if let Some(next) = self.ready.pop_front() {
            return Some(next);
        }
        if self.due.first().is_none_or(|(due, _)| *due > now_ms) {
            return None;
        }
        let (_, order) = self.due.pop_first()?;
        let Some(State::Parked(parked)) = self.orders.get_mut(&order) else { return None };
        parked.scheduled = None;
        let (seq, row) = parked.rows.first_key_value()?;
        parked.running = true;
        Some(Next::Parked(Place { order, seq: *seq }, row.tries))
    }

    /// When something is due next, in milliseconds since 1970.
    pub fn next_due(&self) -> Option<u64> {
        let (parked, later) = (self.due.first().map(|(due, _)| *due), self.later.keys().next().map(|(due, _)| *due));
        parked.into_iter().chain(later).min()
    }

    /// Messages that wait in the database.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// A message from the log is done with; the next of its order is ready.
    pub fn finished(&mut self, order: &Order) {
        let Some(State::Busy(behind)) = self.orders.get_mut(order) else { return };
        match behind.pop_front() {
            Some(next) => self.ready.push_back(next),
            None => drop(self.orders.remove(order)),
        }
    }

    /// A message from the log that waits in memory takes its place when its time has come.
    pub fn delay(&mut self, job: Job, due_ms: u64) {
        self.put_off(due_ms, Later::Joins(Next::Fresh(Rc::new(job), Tries::default())));
    }

    /// A message from the log has failed and is tried again, from memory; others of its order wait behind it.
    pub fn retry(&mut self, job: Rc<Job>, due_ms: u64, tries: Tries) {
        self.put_off(due_ms, Later::HasTurn(Next::Fresh(job, tries)));
    }

    /// A message waits in the database until its time has come, and takes its place then.
    pub fn later(&mut self, place: Place, due_ms: u64, tries: Tries) {
        self.stored += 1;
        self.put_off(due_ms, Later::Joins(Next::Parked(place, tries)));
    }

    /// The message that was worked on waits in the database now. What waited behind it in memory must be parked behind it:
    /// it is given back, to be announced with [`Queue::parking`].
    pub fn parked(&mut self, place: &Place, due_ms: u64, tries: Tries) -> Vec<Rc<Job>> {
        let behind = self.enter_parked(&place.order);
        self.set(place, Row { due_ms, tries, arriving: false });
        behind
    }

    /// A message that waited in the database has failed again; gives back what [`Queue::parked`] does.
    pub fn failed(&mut self, place: &Place, due_ms: u64, tries: Tries) -> Vec<Rc<Job>> {
        let behind = self.enter_parked(&place.order);
        if let Some(State::Parked(parked)) = self.orders.get_mut(&place.order) {
            parked.running = false;
            parked.rows.insert(place.seq, Row { due_ms, tries, arriving: false });
        }
        self.schedule(&place.order);
        behind
    }

    /// The order is on hold after a dead letter; what waited behind it in memory must be parked.
    pub fn hold(&mut self, order: &Order) -> Vec<Rc<Job>> {
        let behind = self.enter_parked(order);
        if let Some(State::Parked(parked)) = self.orders.get_mut(order) {
            (parked.held, parked.running) = (true, false);
        }
        self.schedule(order);
        behind
    }

    /// As [`Queue::hold`], after the death of a message that waited in the database.
    pub fn hold_after(&mut self, place: &Place) -> Vec<Rc<Job>> {
        let behind = self.enter_parked(&place.order);
        if let Some(State::Parked(parked)) = self.orders.get_mut(&place.order) {
            parked.rows.remove(&place.seq);
        }
        self.stored = self.stored.saturating_sub(1);
        let _ = self.hold(&place.order);
        behind
    }

    /// The number before all that waits in an order, if it is free: see [`Owner::next_seq`](super::Owner::next_seq).
    pub fn before(&self, order: &Order) -> Option<u64> {
        let Some(State::Parked(parked)) = self.orders.get(order) else { return None };
        parked.rows.first_key_value().map(|(seq, _)| *seq).filter(|seq| seq % 2 == 0).map(|seq| seq - 1)
    }

    /// A message waits in the database for the others of its order, or they for it, such as one that an earlier owner has
    /// left there. Nothing of its order may be in memory.
    pub fn waits(&mut self, place: &Place, due_ms: u64, tries: Tries) {
        let _ = self.enter_parked(&place.order);
        self.set(place, Row { due_ms, tries, arriving: false });
    }

    /// The hold of an order ends.
    pub fn release(&mut self, order: &Order) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(order) {
            parked.held = false;
        }
        self.settle(order);
    }

    /// A message of a parked order is on its way into the database, under this number.
    pub fn parking(&mut self, place: &Place) {
        let _ = self.enter_parked(&place.order);
        self.set(place, Row { due_ms: 0, tries: Tries::default(), arriving: true });
    }

    /// It is there.
    pub fn arrived(&mut self, place: &Place) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(&place.order)
            && let Some(row) = parked.rows.get_mut(&place.seq)
        {
            row.arriving = false;
        }
        self.schedule(&place.order);
    }

    /// It is not: another copy of it is there, or it was given up instead.
    pub fn withdrawn(&mut self, place: &Place) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(&place.order) {
            self.stored -= u64::from(parked.rows.remove(&place.seq).is_some());
        }
        self.settle(&place.order);
    }

    /// A message that waited in the database is done with.
    pub fn removed(&mut self, place: &Place) {
        self.stored = self.stored.saturating_sub(1);
        match self.orders.get_mut(&place.order) {
            Some(State::Parked(parked)) => {
                parked.rows.remove(&place.seq);
                parked.running = false;
                self.settle(&place.order);
            }
            Some(State::Busy(_)) => self.finished(&place.order),
            None => {}
        }
    }

    fn put_off(&mut self, due_ms: u64, later: Later) {
        self.laters += 1;
        self.later.insert((due_ms, self.laters), later);
    }

    /// A message takes its place among those of its order.
    fn join(&mut self, next: Next) {
        let order = next.order().clone();
        match self.orders.get_mut(&order) {
            None => {
                self.orders.insert(order, State::Busy(VecDeque::new()));
                self.ready.push_back(next);
            }
            Some(State::Busy(behind)) => behind.push_back(next),
            Some(State::Parked(parked)) => match next {
                Next::Parked(place, tries) => {
                    parked.rows.insert(place.seq, Row { due_ms: 0, tries, arriving: false });
                    self.schedule(&order);
                }
                // Without a database nothing is parked.
                next @ Next::Fresh(..) => self.ready.push_back(next),
            },
        }
    }

    /// Has an order's messages wait in the database; those that are not there yet are given back.
    fn enter_parked(&mut self, order: &Order) -> Vec<Rc<Job>> {
        let behind = match self.orders.insert(order.clone(), State::Parked(Parked::default())) {
            Some(State::Busy(behind)) => behind,
            Some(already @ State::Parked(_)) => {
                self.orders.insert(order.clone(), already);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let mut jobs = Vec::new();
        for next in behind {
            match next {
                Next::Fresh(job, _) => jobs.push(job),
                parked @ Next::Parked(..) => self.join(parked),
            }
        }
        jobs
    }

    fn set(&mut self, place: &Place, row: Row) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(&place.order) {
            self.stored += u64::from(parked.rows.insert(place.seq, row).is_none());
        }
        self.schedule(&place.order);
    }

    /// Forgets an order of which nothing is left.
    fn settle(&mut self, order: &Order) {
        self.schedule(order);
        let empty = |parked: &Parked| parked.rows.is_empty() && !parked.held && !parked.running;
        if matches!(self.orders.get(order), Some(State::Parked(parked)) if empty(parked)) {
            self.orders.remove(order);
        }
    }

    /// Puts the first message of an order among those that will be due.
    fn schedule(&mut self, order: &Order) {
        let Some(State::Parked(parked)) = self.orders.get_mut(order) else { return };
        let first = parked.rows.first_key_value().filter(|(_, row)| !row.arriving);
        let due_ms = first.map(|(_, row)| row.due_ms).filter(|_| !parked.running && !parked.held);
        if due_ms == parked.scheduled {
            return;
        }
        if let Some(before) = std::mem::replace(&mut parked.scheduled, due_ms) {
            self.due.remove(&(before, order.clone()));
        }
        if let Some(due_ms) = due_ms {
            self.due.insert((due_ms, order.clone()));
        }
    }
}
