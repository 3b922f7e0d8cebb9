//! What this node remembers of those who send to it: ids it has seen, and how long their frames take at best.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::Lane;
use crate::idhash::IdHasher;

/// For one to two of these the least delay of a sender is remembered.
const CLOCK_PERIOD: Duration = Duration::from_secs(60);

/// The senders, by inbox.
pub(crate) struct Senders {
    /// Whoever sent the frame at hand; the others are in the table.
    recent: Option<(String, Sender)>,
    known: HashMap<String, Sender>,
    remembered_ids: usize,
}

/// One epoch of one sender.
pub(crate) struct Sender {
    seen: HashSet<u64, BuildHasherDefault<IdHasher>>,
    order: VecDeque<u64>,
    remembered_ids: usize,
    /// The way back to it, once it has asked something.
    pub lane: Option<Arc<Lane>>,
    /// The least differences between the receiver's clock and the sender's in this period and the one before, in
    /// microseconds. Two periods, so that a clock that jumped is believed again after a while.
    least: Option<[i64; 2]>,
    /// When this period began.
    period: Instant,
    last: Instant,
}

impl Senders {
    pub fn new(remembered_ids: usize) -> Self {
        Self { recent: None, known: HashMap::new(), remembered_ids }
    }

    pub fn get(&mut self, inbox: &str, now: Instant) -> &mut Sender {
        let sender = match self.recent.take() {
            Some((name, sender)) if name == inbox => (name, sender),
            other => {
                self.known.extend(other);
                self.known.remove_entry(inbox).unwrap_or_else(|| (inbox.to_string(), self.new_sender(now)))
            }
        };
        let (_, sender) = self.recent.insert(sender);
        sender.last = now;
        sender
    }

    fn new_sender(&self, now: Instant) -> Sender {
        let remembered_ids = self.remembered_ids;
        let (seen, order) = (HashSet::default(), VecDeque::new());
        Sender { seen, order, remembered_ids, lane: None, least: None, period: now, last: now }
    }

    /// Forgets senders not heard for `age`; an epoch that is dead sends no more duplicates.
    pub fn forget_older_than(&mut self, age: Duration, now: Instant) {
        self.known.retain(|_, s| now.saturating_duration_since(s.last) < age);
    }
}

impl Sender {
    /// Whether an ask of this id comes for the first time.
    pub fn is_first(&mut self, id: u64) -> bool {
        if !self.seen.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > self.remembered_ids
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// How long the asker still waits, given when it wrote that and how much longer than the fastest this message took.
    pub fn left(&mut self, left: Duration, at_us: u64, now_us: u64) -> Duration {
        let difference = now_us.cast_signed().wrapping_sub(at_us.cast_signed());
        let [this, before] = self.least.get_or_insert([difference; 2]);
        if self.last.saturating_duration_since(self.period) >= CLOCK_PERIOD {
            self.period = self.last;
            (*before, *this) = (*this, difference);
        }
        *this = difference.min(*this);
        let least = (*this).min(*before);
        left.saturating_sub(Duration::from_micros(difference.saturating_sub(least).unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_repeated_id_is_seen_for_as_long_as_it_is_remembered() {
        let mut senders = Senders::new(2);
        let sender = senders.get("a", Instant::now());
        assert!(sender.is_first(1) && sender.is_first(2));
        assert!(!sender.is_first(1));
        assert!(sender.is_first(3), "the oldest is forgotten");
        assert!(!sender.is_first(3) && !sender.is_first(2));
        assert!(senders.get("b", Instant::now()).is_first(1), "ids belong to their sender");
    }

    #[tokio::test(start_paused = true)]
    async fn delay_above_the_least_is_taken_off_the_time_left() {
        let mut senders = Senders::new(2);
        let sender = senders.get("a", Instant::now());
        let second = Duration::from_secs(1);
        // The clocks differ by an hour; the first frame takes the least time seen so far.
        let hour = 3_600_000_000;
        assert_eq!(sender.left(second, 1_000, hour + 1_000), second);
        assert_eq!(sender.left(second, 2_000, hour + 302_000), Duration::from_millis(700));
        assert_eq!(sender.left(second, 3_000, hour + 2_000), second, "a faster one is the new least");
        assert_eq!(sender.left(second, 4_000, hour + 9_000_000), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumped_is_believed_again_after_two_periods() {
        let mut senders = Senders::new(2);
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let jump = 600_000_000;
        assert_eq!(senders.get("a", start).left(second, 0, 0), second);
        assert_eq!(senders.get("a", start).left(second, 0, jump), Duration::ZERO, "as if it had taken ten minutes");
        for period in 1..=2 {
            senders.get("a", start + period * CLOCK_PERIOD).left(second, 0, jump);
        }
        assert_eq!(senders.get("a", start + 2 * CLOCK_PERIOD).left(second, 0, jump), second);
    }
}
