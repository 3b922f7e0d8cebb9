//! The counters of a queue that is relayed: about how many messages wait in it, and whether all of them are surely handed over.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What is known of the messages in a queue without asking the database.
pub(super) struct QueueCounters {
    /// Messages in it, about; below 0 while a relay has handed over what is not counted yet.
    waiting: AtomicI64,
    /// How often messages were added.
    added: AtomicU64,
    /// `added` as of the beginning of the relay's last read that found nothing; equal to `added`: drained.
    drained: AtomicU64,
    /// Commits of messages of it whose outcome is not known yet.
    pending: AtomicI64,
}

/// How often messages had been added when a read of the queue began.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadStart(u64);

impl QueueCounters {
    /// The counters of a queue that holds so many messages as its relay begins, and may hold others.
    pub fn new(messages: u64) -> Self {
        let (waiting, added) = (AtomicI64::new(messages as i64), AtomicU64::new(1));
        Self { waiting, added, drained: AtomicU64::new(0), pending: AtomicI64::new(0) }
    }

    /// Messages in it, about; exact as of a read that has found nothing.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed).max(0) as u64
    }

    /// Counts messages whose commit has ended, or may have.
    pub fn add(&self, messages: usize) {
        self.waiting.fetch_add(messages as i64, Ordering::Relaxed);
        self.added.fetch_add(1, Ordering::Relaxed);
    }

    /// A commit goes on whose outcome is not known: until [`QueueCounters::end_pending`] its messages may come.
    pub fn begin_pending(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end_pending(&self) {
        let before = self.pending.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a commit ends that had not begun");
    }

    /// A read of the queue begins.
    pub fn begin_read(&self) -> ReadStart {
        ReadStart(self.added.load(Ordering::Relaxed))
    }

    /// The read has found nothing.
    pub fn found_empty(&self, ReadStart(added): ReadStart) {
        // What was added since then may be there.
        if self.added.load(Ordering::Relaxed) == added {
            self.waiting.store(0, Ordering::Relaxed);
        }
        let before = self.drained.swap(added, Ordering::Relaxed);
        debug_assert!(before <= added, "a later read had begun before");
    }

    /// Messages are handed over and forgotten.
    pub fn handed_over(&self, messages: usize) {
        self.waiting.fetch_sub(messages as i64, Ordering::Relaxed);
    }

    /// Whether all that was ever added is handed over, and nothing more may come of commits that have begun.
    pub fn is_drained(&self) -> bool {
        let certain = self.pending.load(Ordering::Relaxed) <= 0;
        certain && self.added.load(Ordering::Relaxed) == self.drained.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use essaim_base::Env;

    use super::*;

    /// A queue as its database holds it, beside the counters of it.
    struct Model {
        dice: Env,
        counters: QueueCounters,
        /// Messages in the database.
        stored: u64,
        /// Messages of each commit whose outcome is not known, and whether they are stored by now.
        pending: Vec<(u64, bool)>,
        /// A read that goes on: how it began, and what it has found.
        read: Option<(ReadStart, u64)>,
    }

    impl Model {
        fn new(seed: u64) -> Self {
            let dice = Env::simulated(seed, Duration::ZERO);
            let stored = dice.random() % 4;
            Self { dice, counters: QueueCounters::new(stored), stored, pending: Vec::new(), read: None }
        }

        fn step(&mut self) {
            let messages = 1 + self.dice.random() % 3;
            match self.dice.random() % 6 {
                0 => {
                    self.stored += messages;
                    self.counters.add(messages as usize);
                }
                1 => {
                    self.counters.begin_pending();
                    self.counters.add(messages as usize);
                    self.pending.push((messages, false));
                }
                2 => {
                    if let Some((messages, stored)) = self.pending.iter_mut().find(|(_, stored)| !*stored) {
                        (self.stored, *stored) = (self.stored + *messages, true);
                    }
                }
                3 if !self.pending.is_empty() => {
                    self.pending.remove(0);
                    self.counters.end_pending();
                    self.counters.add(0);
                }
                _ => self.relay(),
            }
        }

        /// Half a step of the relay: it reads, or it hands over what it has read.
        fn relay(&mut self) {
            self.read = match self.read.take() {
                None => Some((self.counters.begin_read(), self.stored)),
                Some((start, 0)) => {
                    self.counters.found_empty(start);
                    None
                }
                Some((_, found)) => {
                    self.stored -= found;
                    self.counters.handed_over(found as usize);
                    None
                }
            };
        }
    }

    #[test]
    fn a_queue_is_drained_only_if_it_holds_nothing_and_nothing_can_come() {
        let mut drained = 0;
        for seed in 0..300 {
            let mut model = Model::new(seed);
            for step in 0..60 {
                model.step();
                if model.counters.is_drained() {
                    drained += 1;
                    assert_eq!((model.stored, model.pending.len()), (0, 0), "seed {seed}, step {step}");
                }
            }
        }
        assert!(drained > 300, "only {drained} times");
    }

    #[test]
    fn a_queue_that_is_left_alone_is_drained_and_nothing_waits_in_it() {
        for seed in 0..300 {
            let mut model = Model::new(seed);
            (0..60).for_each(|_| model.step());
            while model.pending.pop().is_some() {
                model.counters.end_pending();
                model.counters.add(0);
            }
            // What it has read, what is left, and that there is nothing more.
            (0..6).for_each(|_| model.relay());
            if model.read.is_some() {
                model.relay();
            }
            assert_eq!((model.counters.is_drained(), model.counters.waiting()), (true, 0), "seed {seed}");
        }
    }
}
