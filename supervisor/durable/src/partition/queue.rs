//! The queue of a partition decides which message may be worked on now: those of one key one at a time and in order, different
//! keys beside each other, and behind a message that failed only those of its key. A message that waits for its time takes its
//! place among those of its key when the time has come.
//!
//! # Layout
//! - here: turns of keys, in memory and in the database; `hold`: keys that wait for a dead letter; `clock`: a wall clock that was
//!   set back.

mod clock;
mod hold;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use essaim_protocol::log::Position;
use essaim_protocol::record::Record;

use crate::partition::copies::OneCopy;

/// What orders a message among others: its key, or itself alone.
pub type OrderKey = Rc<str>;

/// A message from the log.
#[derive(Debug)]
pub struct LogMessage {
    pub record: Record,
    pub order: OrderKey,
    /// Its offset as the inbox remembers it.
    pub offset: u64,
    /// The entry that it came in.
    pub position: Position,
    /// Its place among the copies of it; absent where nothing is remembered of what was applied.
    pub copy: Option<Arc<OneCopy>>,
}

impl LogMessage {
    /// Whether another copy of it may have been applied since it came.
    pub fn is_contested(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.is_contested())
    }
}

/// How often a message was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
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

/// Row of a message that waits in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedPlace {
    pub order: OrderKey,
    /// Its number in the partition.
    pub seq: u64,
}

/// A message that can be worked on.
#[derive(Debug)]
pub enum QueueItem {
    /// A message from the log.
    Fresh(Rc<LogMessage>, Tries),
    /// A message that waits in the database.
    Parked(ParkedPlace, Tries),
}

/// The messages of a partition that its owner knows of.
#[derive(Default)]
pub struct Queue {
    orders: HashMap<OrderKey, KeyState>,
    ready: VecDeque<QueueItem>,
    /// When the first parked message of each order is due, in milliseconds since 1970.
    due: BTreeSet<(u64, OrderKey)>,
    /// What is in no order before its time, by that time and in the order of coming.
    delayed: BTreeMap<(u64, u64), Delayed>,
    delayed_count: u64,
    /// Messages in the database.
    stored: u64,
    /// What the wall clock showed last.
    clock_ms: u64,
}

/// A message that waits for its time.
enum Delayed {
    /// It takes its place among those of its order then.
    Joins(QueueItem),
    /// It has the turn of its order and keeps it.
    HasTurn(QueueItem),
}

enum KeyState {
    /// A message is being worked on; these wait behind it, in memory or in the database.
    Busy(BusyKey),
    /// All messages of the order are in the database.
    Parked(ParkedKey),
}

#[derive(Default)]
struct BusyKey {
    behind: VecDeque<QueueItem>,
    /// A dead letter keeps them from being tried once the message that is worked on has ended.
    held: bool,
}

#[derive(Default)]
struct ParkedKey {
    /// By number, which is their order.
    rows: BTreeMap<u64, ParkedRow>,
    /// The first of them is being worked on.
    running: bool,
    /// A dead letter keeps the others from being tried.
    held: bool,
    /// Under which moment the order stands in [`Queue::due`].
    scheduled: Option<u64>,
}

#[derive(Clone, Copy)]
struct ParkedRow {
    due_ms: u64,
    tries: Tries,
    /// It is on its way into the database, not there yet.
    arriving: bool,
}

impl QueueItem {
    fn tries(&self) -> Tries {
        let (Self::Fresh(_, tries) | Self::Parked(_, tries)) = self;
        *tries
    }

    fn order(&self) -> &OrderKey {
        match self {
            Self::Fresh(message, _) => &message.order,
            Self::Parked(place, _) => &place.order,
        }
    }
}

impl Queue {
    /// Takes a message from the log. One that must be parked behind others of its key is given back: it is then to be
    /// announced with [`Queue::begin_parking`].
    pub fn arrive(&mut self, message: LogMessage) -> Option<LogMessage> {
        match self.orders.get_mut(&message.order) {
            None => {
                self.orders.insert(message.order.clone(), KeyState::Busy(BusyKey::default()));
                self.ready.push_back(QueueItem::Fresh(Rc::new(message), Tries::default()));
                None
            }
            Some(KeyState::Busy(busy)) => {
                busy.behind.push_back(QueueItem::Fresh(Rc::new(message), Tries::default()));
                None
            }
            Some(KeyState::Parked(_)) => Some(message),
        }
    }

    /// What can be worked on now.
    pub fn next(&mut self, now_ms: u64) -> Option<QueueItem> {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now_ms) {
            match entry.remove() {
                Delayed::Joins(next) => self.join(next),
                Delayed::HasTurn(next) => self.ready.push_back(next),
            }
        }
        if let Some(next) = self.ready.pop_front() {
            return Some(next);
        }
        if self.due.first().is_none_or(|(due, _)| *due > now_ms) {
            return None;
        }
        let (_, order) = self.due.pop_first()?;
        let Some(KeyState::Parked(parked)) = self.orders.get_mut(&order) else { return None };
        debug_assert!(!parked.running && !parked.held, "`{order}` has no turn to give");
        parked.scheduled = None;
        let (seq, row) = parked.rows.first_key_value()?;
        parked.running = true;
        Some(QueueItem::Parked(ParkedPlace { order, seq: *seq }, row.tries))
    }

    /// When something is due next, in milliseconds since 1970.
    pub fn next_due(&self) -> Option<u64> {
        let (parked, delayed) =
            (self.due.first().map(|(due, _)| *due), self.delayed.keys().next().map(|(due, _)| *due));
        parked.into_iter().chain(delayed).min()
    }

    /// Messages that wait in the database.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// A message from the log is done with; the next of its order is ready. If the order was put on hold meanwhile, what waited
    /// behind the message in memory must be parked: it is given back, to be announced with [`Queue::begin_parking`].
    pub fn finished(&mut self, order: &OrderKey) -> Vec<Rc<LogMessage>> {
        let Some(KeyState::Busy(busy)) = self.orders.get_mut(order) else {
            debug_assert!(false, "no message of `{order}` from the log was worked on");
            return Vec::new();
        };
        if busy.held {
            return self.enter_parked(order);
        }
        match busy.behind.pop_front() {
            Some(next) => self.ready.push_back(next),
            None => drop(self.orders.remove(order)),
        }
        Vec::new()
    }

    /// A message from the log that waits in memory takes its place when its time has come.
    pub fn delay(&mut self, message: LogMessage, due_ms: u64) {
        self.put_off(due_ms, Delayed::Joins(QueueItem::Fresh(Rc::new(message), Tries::default())));
    }

    /// A message from the log has failed and is tried again, from memory; others of its order wait behind it.
    pub fn retry(&mut self, message: Rc<LogMessage>, due_ms: u64, tries: Tries) {
        self.put_off(due_ms, Delayed::HasTurn(QueueItem::Fresh(message, tries)));
    }

    /// A message waits in the database until its time has come, and takes its place then.
    pub fn delay_parked(&mut self, place: ParkedPlace, due_ms: u64, tries: Tries) {
        self.stored += 1;
        self.put_off(due_ms, Delayed::Joins(QueueItem::Parked(place, tries)));
    }

    /// The message that was worked on waits in the database now. What waited behind it in memory must be parked behind it:
    /// it is given back, to be announced with [`Queue::begin_parking`].
    pub fn parked(&mut self, place: &ParkedPlace, due_ms: u64, tries: Tries) -> Vec<Rc<LogMessage>> {
        let behind = self.enter_parked(&place.order);
        self.set(place, ParkedRow { due_ms, tries, arriving: false });
        behind
    }

    /// A message that waited in the database has failed again; gives back what [`Queue::parked`] does.
    pub fn failed(&mut self, place: &ParkedPlace, due_ms: u64, tries: Tries) -> Vec<Rc<LogMessage>> {
        let behind = self.enter_parked(&place.order);
        if let Some(KeyState::Parked(parked)) = self.orders.get_mut(&place.order) {
            parked.running = false;
            parked.rows.insert(place.seq, ParkedRow { due_ms, tries, arriving: false });
        }
        self.schedule(&place.order);
        behind
    }

    /// A message that waits in the database is due now, if it is the first of its order.
    pub fn hurry(&mut self, place: &ParkedPlace) {
        if let Some(KeyState::Parked(parked)) = self.orders.get_mut(&place.order)
            && let Some(row) = parked.rows.get_mut(&place.seq)
        {
            row.due_ms = 0;
        }
        self.schedule(&place.order);
    }

    /// The number before all that waits in an order, if it is free: see [`PartitionOwner::next_seq`](super::owner::PartitionOwner::next_seq).
    pub fn before(&self, order: &OrderKey) -> Option<u64> {
        let Some(KeyState::Parked(parked)) = self.orders.get(order) else { return None };
        parked.rows.first_key_value().map(|(seq, _)| *seq).filter(|seq| seq % 2 == 0).map(|seq| seq - 1)
    }

    /// A message waits in the database for the others of its order, or they for it, such as one that an earlier owner has
    /// left there. It comes before what waits behind a message that is being worked on.
    pub fn add_parked(&mut self, place: &ParkedPlace, due_ms: u64, tries: Tries) {
        if let Some(KeyState::Busy(busy)) = self.orders.get_mut(&place.order) {
            self.stored += 1;
            return busy.behind.push_front(QueueItem::Parked(place.clone(), tries));
        }
        let _ = self.enter_parked(&place.order);
        self.set(place, ParkedRow { due_ms, tries, arriving: false });
    }

    /// A message of a parked order is on its way into the database, under this number.
    pub fn begin_parking(&mut self, place: &ParkedPlace) {
        let _ = self.enter_parked(&place.order);
        self.set(place, ParkedRow { due_ms: 0, tries: Tries::default(), arriving: true });
    }

    /// The parked row is committed.
    pub fn park_committed(&mut self, place: &ParkedPlace) {
        if let Some(KeyState::Parked(parked)) = self.orders.get_mut(&place.order)
            && let Some(row) = parked.rows.get_mut(&place.seq)
        {
            row.arriving = false;
        }
        self.schedule(&place.order);
    }

    /// The park was abandoned: a copy of the message has its effect already, or it is a dead letter.
    pub fn park_abandoned(&mut self, place: &ParkedPlace) {
        if let Some(KeyState::Parked(parked)) = self.orders.get_mut(&place.order) {
            self.stored -= u64::from(parked.rows.remove(&place.seq).is_some());
        }
        self.settle(&place.order);
    }

    /// A message that waited in the database is done with; gives back what [`Queue::finished`] does.
    pub fn removed(&mut self, place: &ParkedPlace) -> Vec<Rc<LogMessage>> {
        self.forget_stored();
        match self.orders.get_mut(&place.order) {
            Some(KeyState::Parked(parked)) => {
                debug_assert!(parked.running, "no message of `{}` was worked on", place.order);
                parked.rows.remove(&place.seq);
                parked.running = false;
                self.settle(&place.order);
            }
            Some(KeyState::Busy(_)) => return self.finished(&place.order),
            None => debug_assert!(false, "no message of `{}` was known", place.order),
        }
        Vec::new()
    }

    fn forget_stored(&mut self) {
        debug_assert!(self.stored > 0, "a row is forgotten that was not counted");
        self.stored = self.stored.saturating_sub(1);
    }

    fn put_off(&mut self, due_ms: u64, delayed: Delayed) {
        self.delayed_count += 1;
        self.delayed.insert((due_ms, self.delayed_count), delayed);
    }

    /// A message takes its place among those of its order.
    fn join(&mut self, next: QueueItem) {
        let order = next.order().clone();
        match self.orders.get_mut(&order) {
            None => {
                self.orders.insert(order, KeyState::Busy(BusyKey::default()));
                self.ready.push_back(next);
            }
            Some(KeyState::Busy(busy)) => busy.behind.push_back(next),
            Some(KeyState::Parked(parked)) => match next {
                QueueItem::Parked(place, tries) => {
                    parked.rows.insert(place.seq, ParkedRow { due_ms: 0, tries, arriving: false });
                    self.schedule(&order);
                }
                // Without a database nothing is parked.
                next @ QueueItem::Fresh(..) => self.ready.push_back(next),
            },
        }
    }

    /// Has an order's messages wait in the database; those that are not there yet are given back.
    fn enter_parked(&mut self, order: &OrderKey) -> Vec<Rc<LogMessage>> {
        let state = self.orders.entry(order.clone()).or_insert_with(|| KeyState::Parked(ParkedKey::default()));
        let KeyState::Busy(BusyKey { behind, held }) = state else { return Vec::new() };
        let (behind, held) = (std::mem::take(behind), *held);
        *state = KeyState::Parked(ParkedKey { held, ..ParkedKey::default() });
        let mut messages = Vec::new();
        for next in behind {
            match next {
                QueueItem::Fresh(message, _) => messages.push(message),
                parked @ QueueItem::Parked(..) => self.join(parked),
            }
        }
        messages
    }

    fn set(&mut self, place: &ParkedPlace, row: ParkedRow) {
        if let Some(KeyState::Parked(parked)) = self.orders.get_mut(&place.order) {
            self.stored += u64::from(parked.rows.insert(place.seq, row).is_none());
        }
        self.schedule(&place.order);
    }

    /// Forgets an order of which nothing is left.
    fn settle(&mut self, order: &OrderKey) {
        self.schedule(order);
        let empty = |parked: &ParkedKey| parked.rows.is_empty() && !parked.held && !parked.running;
        if matches!(self.orders.get(order), Some(KeyState::Parked(parked)) if empty(parked)) {
            self.orders.remove(order);
        }
    }

    /// Puts the first message of an order among those that will be due.
    fn schedule(&mut self, order: &OrderKey) {
        let Some(KeyState::Parked(parked)) = self.orders.get_mut(order) else { return };
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
