//! Random lives of a partition's queue, driven as its worker drives it, against what may happen to each message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use essaim_base::Env;
use essaim_protocol::record::sample as record;

use super::*;

const KEYS: u64 = 3;
const MOST_RUNNING: usize = 4;
const LONGEST_BACKOFF_MS: u64 = 50;

/// What a worker has begun.
#[derive(Debug)]
enum Running {
    Fresh(Rc<LogMessage>),
    /// A message that waited in the database.
    Again(ParkedPlace),
    /// On its way into the database: behind others of its key, or until that moment.
    Parking(Rc<LogMessage>, ParkedPlace, Option<u64>),
}

impl Running {
    fn order(&self) -> &OrderKey {
        match self {
            Self::Fresh(message) => &message.order,
            Self::Again(place) | Self::Parking(_, place, _) => &place.order,
        }
    }
}

/// A worker without a database and an actor: which message is where, by its offset.
struct Model {
    dice: Env,
    with_database: bool,
    holds: bool,
    queue: Queue,
    now_ms: u64,
    /// Messages that have come, by their offsets, with their keys; a message that is in no order has none.
    came: BTreeMap<u64, Option<OrderKey>>,
    /// Messages that are applied, or dead and not to be tried again.
    ended: BTreeSet<u64>,
    /// Dead letters that hold their keys, one for each.
    holding: BTreeMap<OrderKey, u64>,
    /// Rows of the database: which message each is.
    rows: BTreeMap<u64, u64>,
    last_seq: u64,
    running: Vec<Running>,
}

impl Model {
    fn new(seed: u64, with_database: bool, holds: bool) -> Self {
        let (dice, queue) = (Env::simulated(seed, Duration::ZERO), Queue::default());
        let (came, ended, holding, rows) = Default::default();
        let running = Vec::new();
        Self { dice, with_database, holds, queue, now_ms: 1_000, came, ended, holding, rows, last_seq: 0, running }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.random() % sides
    }

    fn step(&mut self) {
        match self.roll(5) {
            0 => self.arrive(),
            1 => self.begin(),
            2 if self.roll(4) == 0 => self.set_clock(),
            3 if self.roll(3) == 0 => self.release(),
            _ => self.end(),
        }
        self.check();
    }

    /// A message comes from the log.
    fn arrive(&mut self) {
        let (offset, key) = (self.came.len() as u64, ["a", "b", "c"][self.roll(KEYS) as usize]);
        let message = LogMessage {
            record: record(offset, Some(key)),
            order: key.into(),
            offset,
            position: Position(offset, 0),
            copy: None,
        };
        let is_delayed = self.roll(4) == 0;
        self.came.insert(offset, (!is_delayed).then(|| key.into()));
        let due_ms = self.now_ms + 1 + self.roll(100);
        match (is_delayed, self.with_database) {
            (true, true) => self.park(Rc::new(message), Some(due_ms)),
            (true, false) => self.queue.delay(message, due_ms),
            (false, _) => {
                if let Some(message) = self.queue.arrive(message) {
                    assert!(self.with_database, "without a database nothing is parked");
                    self.park(Rc::new(message), None);
                }
            }
        }
    }

    fn next_seq(&mut self) -> u64 {
        self.last_seq = (self.last_seq / 2 + 1) * 2;
        self.last_seq
    }

    fn park(&mut self, message: Rc<LogMessage>, due_ms: Option<u64>) {
        let place = ParkedPlace { order: message.order.clone(), seq: self.next_seq() };
        if due_ms.is_none() {
            self.queue.begin_parking(&place);
        }
        self.running.push(Running::Parking(message, place, due_ms));
    }

    /// The worker begins what may be worked on.
    fn begin(&mut self) {
        while self.running.len() < MOST_RUNNING {
            let Some(next) = self.queue.next(self.now_ms) else { return };
            let (begun, offset) = match next {
                QueueItem::Fresh(message, _) => (Running::Fresh(message.clone()), message.offset),
                QueueItem::Parked(place, _) => (Running::Again(place.clone()), self.rows[&place.seq]),
            };
            let is_worked_on = |r: &&Running| !matches!(r, Running::Parking(..)) && r.order() == begun.order();
            let other = self.running.iter().find(is_worked_on);
            assert!(other.is_none(), "{begun:?} begins beside {other:?}");
            assert!(!self.ended.contains(&offset), "{begun:?} had ended");
            if let Some(order) = &self.came[&offset] {
                let is_earlier = |(_, other): &(&u64, &Option<OrderKey>)| other.as_ref() == Some(order);
                let unfinished = self.came.range(..offset).filter(is_earlier).find(|(o, _)| !self.ended.contains(o));
                assert!(unfinished.is_none(), "{begun:?} begins before {unfinished:?}");
            }
            assert!(!self.holding.contains_key(begun.order()), "{begun:?} begins though its key is on hold");
            self.running.push(begun);
        }
    }

    /// Something that was begun ends.
    fn end(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let ended = self.running.swap_remove(self.roll(self.running.len() as u64) as usize);
        let (due_ms, tries) = (self.now_ms + self.roll(LONGEST_BACKOFF_MS), Tries { attempts: 1, tries: 1 });
        let behind = match ended {
            Running::Fresh(message) => match (self.roll(4), self.with_database) {
                (0, true) => {
                    let place = ParkedPlace { order: message.order.clone(), seq: self.next_seq() };
                    self.rows.insert(place.seq, message.offset);
                    self.queue.parked(&place, due_ms, tries)
                }
                (0, false) => {
                    self.queue.retry(message, due_ms, tries);
                    Vec::new()
                }
                (1, true) if self.holds => self.hold(&message.order, message.offset, None),
                _ => {
                    self.ended.insert(message.offset);
                    self.queue.finished(&message.order)
                }
            },
            Running::Again(place) => match self.roll(4) {
                0 => self.queue.failed(&place, due_ms, tries),
                1 if self.holds => {
                    let offset = self.rows[&place.seq];
                    self.hold(&place.order.clone(), offset, Some(place))
                }
                _ => {
                    self.ended.insert(self.rows.remove(&place.seq).expect("it was there"));
                    self.queue.removed(&place)
                }
            },
            Running::Parking(message, place, due_ms) => match (self.roll(5), due_ms) {
                (0, due_ms) => {
                    // It was a copy, or is too old to be put anywhere.
                    if due_ms.is_none() {
                        self.queue.park_abandoned(&place);
                    }
                    self.ended.insert(message.offset);
                    if self.holds && self.roll(2) == 0 {
                        self.ended.remove(&message.offset);
                        self.note_hold(&place.order, message.offset);
                        self.queue.hold_beside(&place.order)
                    } else {
                        Vec::new()
                    }
                }
                (_, Some(due_ms)) => {
                    self.rows.insert(place.seq, message.offset);
                    self.queue.delay_parked(place, due_ms, Tries::default());
                    Vec::new()
                }
                (_, None) => {
                    self.rows.insert(place.seq, message.offset);
                    self.queue.park_committed(&place);
                    Vec::new()
                }
            },
        };
        behind.into_iter().for_each(|message| self.park(message, None));
    }

    /// A message is a dead letter that holds its key, beside others that do already.
    fn hold(&mut self, order: &OrderKey, offset: u64, place: Option<ParkedPlace>) -> Vec<Rc<LogMessage>> {
        self.note_hold(order, offset);
        match place {
            Some(place) => {
                self.rows.remove(&place.seq);
                self.queue.hold_after(&place)
            }
            None => self.queue.hold(order),
        }
    }

    fn note_hold(&mut self, order: &OrderKey, offset: u64) {
        if let Some(before) = self.holding.insert(order.clone(), offset) {
            self.ended.insert(before);
        }
    }

    /// An operator has a dead letter dropped, or tried again before what waits for it.
    fn release(&mut self) {
        let Some((order, offset)) = self.holding.pop_first() else { return };
        match self.roll(2) {
            0 => {
                let first = self.queue.before(&order);
                let seq = first.unwrap_or_else(|| self.next_seq());
                assert_eq!(self.rows.insert(seq, offset), None, "a number is used twice");
                self.queue.add_parked(&ParkedPlace { order: order.clone(), seq }, 0, Tries::default());
                // It comes before what waits, also before what had come earlier.
                self.came.insert(offset, None);
            }
            _ => drop(self.ended.insert(offset)),
        }
        self.queue.release(&order);
    }

    fn set_clock(&mut self) {
        self.now_ms = match self.roll(10) {
            0 => self.now_ms.saturating_sub(self.roll(1_000)),
            _ => self.now_ms + self.roll(100),
        };
        self.queue.clock_shows(self.now_ms, LONGEST_BACKOFF_MS);
    }

    fn check(&self) {
        let arriving = self.running.iter().filter(|r| matches!(r, Running::Parking(_, _, None))).count();
        assert_eq!(self.queue.stored(), (self.rows.len() + arriving) as u64, "rows of the database");
    }

    /// Everything comes to its end, in any order.
    fn finish(&mut self) {
        self.holds = false;
        for _ in 0..10_000 {
            if self.ended.len() == self.came.len() {
                break;
            }
            self.release();
            self.now_ms += 200;
            self.queue.clock_shows(self.now_ms, LONGEST_BACKOFF_MS);
            self.begin();
            self.end();
            self.check();
        }
        let left: Vec<_> = self.came.keys().filter(|offset| !self.ended.contains(offset)).collect();
        assert!(left.is_empty(), "{left:?} never end");
        assert_eq!((self.queue.stored(), self.queue.next_due()), (0, None));
        assert!(self.queue.orders.is_empty(), "nothing is left of a key");
    }
}

fn live(seeds: u64, with_database: bool, holds: bool) {
    for seed in 0..seeds {
        let life = std::panic::AssertUnwindSafe(|| {
            let mut model = Model::new(seed, with_database, holds);
            (0..200).for_each(|_| model.step());
            model.finish();
        });
        if let Err(panic) = std::panic::catch_unwind(life) {
            eprintln!("in the life of seed {seed}:");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn one_message_of_a_key_at_a_time_and_in_order_with_a_database() {
    live(400, true, false);
}

#[test]
fn one_message_of_a_key_at_a_time_and_in_order_where_dead_letters_hold_their_keys() {
    live(400, true, true);
}

#[test]
fn one_message_of_a_key_at_a_time_and_in_order_without_a_database() {
    live(400, false, false);
}
