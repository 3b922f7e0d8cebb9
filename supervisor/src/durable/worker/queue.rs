//! Which message of a partition may be worked on now: those of one key one at a time and in order, different keys beside
//! each other, and behind a message that failed only those of its key.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use crate::bridge::log::Position;
use crate::durable::record::Record;

/// What orders a message among others: its key, or itself alone.
pub(crate) type Order = Rc<str>;

/// A message from the log.
#[derive(Debug)]
pub(crate) struct Job {
    pub record: Record,
    pub order: Order,
    /// Whether later messages of its key wait for it when it has to be tried again.
    pub ordered: bool,
    pub offset: u64,
    /// The entry that it came in.
    pub position: Position,
    /// It may have been applied before: another copy of it was under way when it came.
    pub doubtful: bool,
}

/// What can be done next.
#[derive(Debug)]
pub(crate) enum Next {
    /// A message from the log.
    Fresh(Rc<Job>),
    /// A message that waits in the database.
    Parked { order: Order, seq: u64, attempts: u32 },
}

/// The messages of a partition that its owner knows of.
#[derive(Default)]
pub(crate) struct Queue {
    orders: HashMap<Order, State>,
    ready: VecDeque<Job>,
    /// When the first parked message of each order is due, in milliseconds since 1970.
    due: BTreeSet<(u64, Order)>,
}

enum State {
    /// A message from the log is being worked on; these wait behind it, in memory.
    Busy(VecDeque<Job>),
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
}

#[derive(Clone, Copy)]
struct Row {
    due_ms: u64,
    attempts: u32,
    /// It is on its way into the database, not there yet.
    arriving: bool,
}

impl Queue {
    /// Takes a message from the log. One that must be parked behind others of its key is given back: it is then to be
    /// announced with [`Queue::parking`].
    pub fn arrive(&mut self, job: Job) -> Option<Job> {
        match self.orders.get_mut(&job.order) {
            None => {
                self.orders.insert(job.order.clone(), State::Busy(VecDeque::new()));
                self.ready.push_back(job);
                None
            }
            Some(State::Busy(behind)) => {
                behind.push_back(job);
                None
            }
            Some(State::Parked(_)) => Some(job),
        }
    }

    /// What can be worked on now.
    pub fn next(&mut self, now_ms: u64) -> Option<Next> {
        if let Some(job) = self.ready.pop_front() {
            return Some(Next::Fresh(Rc::new(job)));
        }
        if self.due.first().is_none_or(|(due, _)| *due > now_ms) {
            return None;
        }
        let (_, order) = self.due.pop_first()?;
        let Some(State::Parked(parked)) = self.orders.get_mut(&order) else { return None };
        let (seq, row) = parked.rows.first_key_value()?;
        parked.running = true;
        Some(Next::Parked { order, seq: *seq, attempts: row.attempts })
    }

    /// When a parked message is due next, in milliseconds since 1970.
    pub fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A message from the log is done with; the next of its order is ready.
    pub fn finished(&mut self, order: &Order) {
        let Some(State::Busy(behind)) = self.orders.get_mut(order) else { return };
        match behind.pop_front() {
            Some(job) => self.ready.push_back(job),
            None => drop(self.orders.remove(order)),
        }
    }

    /// The message of this order that was worked on waits in the database now. What waited behind it in memory must be
    /// parked behind it: it is given back, to be announced with [`Queue::parking`].
    pub fn parked(&mut self, order: &Order, seq: u64, due_ms: u64, attempts: u32) -> VecDeque<Job> {
        let behind = self.enter_parked(order);
        self.set(order, seq, Row { due_ms, attempts, arriving: false });
        behind
    }

    /// The order is on hold after a dead letter; what waited behind it in memory must be parked.
    pub fn hold(&mut self, order: &Order) -> VecDeque<Job> {
        let behind = self.enter_parked(order);
        if let Some(State::Parked(parked)) = self.orders.get_mut(order) {
            (parked.held, parked.running) = (true, false);
        }
        self.schedule(order);
        behind
    }

    /// The number before all that waits in an order.
    pub fn before(&self, order: &Order) -> Option<u64> {
        let Some(State::Parked(parked)) = self.orders.get(order) else { return None };
        parked.rows.first_key_value().map(|(seq, _)| seq - 1)
    }

    /// A message of this order waits in the database, such as one that an earlier owner has left there.
    pub fn waits(&mut self, order: &Order, seq: u64, due_ms: u64, attempts: u32) {
        self.enter_parked(order);
        self.set(order, seq, Row { due_ms, attempts, arriving: false });
    }

    /// The hold of an order ends.
    pub fn release(&mut self, order: &Order) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(order) {
            parked.held = false;
        }
        self.settle(order);
    }

    /// A message of a parked order is on its way into the database, under this number.
    pub fn parking(&mut self, order: &Order, seq: u64, due_ms: u64) {
        self.enter_parked(order);
        self.set(order, seq, Row { due_ms, attempts: 0, arriving: true });
    }

    /// It is there.
    pub fn arrived(&mut self, order: &Order, seq: u64) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(order)
            && let Some(row) = parked.rows.get_mut(&seq)
        {
            row.arriving = false;
        }
        self.schedule(order);
    }

    /// A parked message that was worked on failed again.
    pub fn failed(&mut self, order: &Order, seq: u64, due_ms: u64, attempts: u32) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(order) {
            parked.running = false;
        }
        self.set(order, seq, Row { due_ms, attempts, arriving: false });
    }

    /// A parked message is done with.
    pub fn removed(&mut self, order: &Order, seq: u64) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(order) {
            parked.rows.remove(&seq);
            parked.running = false;
        }
        self.settle(order);
    }

    fn enter_parked(&mut self, order: &Order) -> VecDeque<Job> {
        match self.orders.insert(order.clone(), State::Parked(Parked::default())) {
            Some(State::Busy(behind)) => behind,
            Some(already @ State::Parked(_)) => {
                self.orders.insert(order.clone(), already);
                VecDeque::new()
            }
            None => VecDeque::new(),
        }
    }

    fn set(&mut self, order: &Order, seq: u64, row: Row) {
        if let Some(State::Parked(parked)) = self.orders.get_mut(order) {
            parked.rows.insert(seq, row);
        }
        self.schedule(order);
    }

    /// Forgets an order of which nothing is left.
    fn settle(&mut self, order: &Order) {
        let empty = |parked: &Parked| parked.rows.is_empty() && !parked.held && !parked.running;
        if matches!(self.orders.get(order), Some(State::Parked(parked)) if empty(parked)) {
            self.orders.remove(order);
        }
        self.schedule(order);
    }

    /// Puts the first message of an order among those that will be due.
    fn schedule(&mut self, order: &Order) {
        self.due.retain(|(_, o)| o != order);
        let Some(State::Parked(parked)) = self.orders.get(order) else { return };
        if parked.running || parked.held {
            return;
        }
        if let Some((_, row)) = parked.rows.first_key_value().filter(|(_, row)| !row.arriving) {
            self.due.insert((row.due_ms, order.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use essaim_contract::{MessageId, Metadata};
    use serde_bytes::ByteBuf;

    use super::*;

    fn job(id: u64, key: &str) -> Job {
        let record = Record {
            id: MessageId::planned("test", id).unwrap(),
            name: "shop.sell.v1".into(),
            key: Some(key.into()),
            at: 0,
            not_before: None,
            expires: None,
            kept: None,
            trace: String::new(),
            principal: None,
            meta: Metadata::new(),
            body: ByteBuf::new(),
            control: None,
        };
        Job { record, order: key.into(), ordered: true, offset: id, position: Position(id, 0), doubtful: false }
    }

    fn next(queue: &mut Queue) -> Option<String> {
        Some(match queue.next(1_000)? {
            Next::Fresh(job) => format!("{}{}", job.order, job.offset),
            Next::Parked { order, seq, attempts } => format!("{order}#{seq}x{attempts}"),
        })
    }

    #[test]
    fn one_key_is_worked_on_one_at_a_time_and_others_beside_it() {
        let mut queue = Queue::default();
        for (id, key) in [(1, "a"), (2, "a"), (3, "b")] {
            assert!(queue.arrive(job(id, key)).is_none());
        }
        assert_eq!(
            (next(&mut queue), next(&mut queue), next(&mut queue)),
            (Some("a1".into()), Some("b3".into()), None)
        );
        queue.finished(&"a".into());
        assert_eq!(next(&mut queue).as_deref(), Some("a2"));
    }

    #[test]
    fn behind_a_failed_message_only_its_key_waits() {
        let mut queue = Queue::default();
        for (id, key) in [(1, "a"), (2, "a")] {
            queue.arrive(job(id, key));
        }
        next(&mut queue);
        let order: Order = "a".into();
        let behind = queue.parked(&order, 1, 2_000, 1);
        assert_eq!(behind.len(), 1);
        queue.parking(&order, 2, 0);
        assert!(queue.arrive(job(3, "a")).is_some(), "it goes to the database too");
        assert!(queue.arrive(job(4, "b")).is_none());
        assert_eq!(next(&mut queue).as_deref(), Some("b4"));
        assert_eq!((next(&mut queue), queue.next_due()), (None, Some(2_000)), "the first decides, not those behind it");
    }

    #[test]
    fn parked_messages_go_in_order_once_they_are_stored() {
        let (mut queue, order): (_, Order) = (Queue::default(), "a".into());
        queue.parking(&order, 1, 0);
        queue.parking(&order, 2, 0);
        queue.arrived(&order, 2);
        assert_eq!(next(&mut queue), None, "the first is not there yet");
        queue.arrived(&order, 1);
        assert_eq!(next(&mut queue).as_deref(), Some("a#1x0"));
        assert_eq!(next(&mut queue), None, "one at a time");
        queue.failed(&order, 1, 500, 3);
        assert_eq!(next(&mut queue).as_deref(), Some("a#1x3"));
        queue.removed(&order, 1);
        assert_eq!(next(&mut queue).as_deref(), Some("a#2x0"));
        queue.removed(&order, 2);
        assert!(queue.arrive(job(9, "a")).is_none(), "nothing is left of the order");
    }

    #[test]
    fn a_hold_keeps_its_key_until_it_is_released() {
        let (mut queue, order): (_, Order) = (Queue::default(), "a".into());
        queue.arrive(job(1, "a"));
        queue.arrive(job(2, "a"));
        next(&mut queue);
        assert_eq!(queue.hold(&order).len(), 1);
        queue.parking(&order, 7, 0);
        queue.arrived(&order, 7);
        assert_eq!(next(&mut queue), None);
        queue.release(&order);
        assert_eq!(next(&mut queue).as_deref(), Some("a#7x0"));
        queue.removed(&order, 7);
        assert!(queue.arrive(job(3, "a")).is_none());
    }

    #[test]
    fn a_hold_with_nothing_behind_it_still_keeps_what_comes() {
        let (mut queue, order): (_, Order) = (Queue::default(), "a".into());
        queue.arrive(job(1, "a"));
        next(&mut queue);
        queue.hold(&order);
        assert!(queue.arrive(job(2, "a")).is_some());
        queue.release(&order);
        assert!(queue.arrive(job(3, "a")).is_none());
    }
}
