//! The histories of those nodes that send asks: ids seen, and how long their frames take at best.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::idhash::IdHasher;
use tokio::time::Instant;

use super::link::PeerLink;

/// The least delay of a sender is remembered for one to two of these periods.
const CLOCK_PERIOD: Duration = Duration::from_secs(60);

/// The histories of all senders, by inbox: an inbox is one epoch of one node.
pub struct SenderHistories {
    /// The sender of the frame at hand, kept out of the table so that its further messages need no lookup.
    recent: Option<(String, SenderHistory)>,
    others: HashMap<String, SenderHistory>,
    remembered_ids: usize,
}

/// The history of one epoch of one sender.
pub struct SenderHistory {
    seen_ids: HashSet<u64, BuildHasherDefault<IdHasher>>,
    /// The seen ids, oldest first. Bounded by `remembered_ids`.
    id_order: VecDeque<u64>,
    remembered_ids: usize,
    /// The link for answers, once the sender has asked.
    pub link: Option<Arc<PeerLink>>,
    /// The least differences between the receiver's clock and the sender's in this period and the one before. Two periods,
    /// so that a clock that jumped is believed again after a while.
    least_offsets_us: Option<[i64; 2]>,
    period_began: Instant,
    last_heard: Instant,
}

impl SenderHistories {
    pub fn new(remembered_ids: usize) -> Self {
        Self { recent: None, others: HashMap::new(), remembered_ids }
    }

    pub fn get(&mut self, inbox: &str, now: Instant) -> &mut SenderHistory {
        let entry = match self.recent.take() {
            Some((recent, sender)) if recent == inbox => (recent, sender),
            other => {
                self.others.extend(other);
                self.others.remove_entry(inbox).unwrap_or_else(|| (inbox.to_string(), self.new_history(now)))
            }
        };
        let (_, sender) = self.recent.insert(entry);
        sender.last_heard = now;
        sender
    }

    fn new_history(&self, now: Instant) -> SenderHistory {
        SenderHistory {
            seen_ids: HashSet::default(),
            id_order: VecDeque::new(),
            remembered_ids: self.remembered_ids,
            link: None,
            least_offsets_us: None,
            period_began: now,
            last_heard: now,
        }
    }

    /// Forgets senders not heard for `age`; a dead epoch sends no more duplicates.
    pub fn forget_older_than(&mut self, age: Duration, now: Instant) {
        self.others.retain(|_, sender| now.saturating_duration_since(sender.last_heard) < age);
    }
}

impl SenderHistory {
    /// Records the id of an ask, and says whether the id is new.
    pub fn record_id(&mut self, id: u64) -> bool {
        if !self.seen_ids.insert(id) {
            return false;
        }
        self.id_order.push_back(id);
        if self.id_order.len() > self.remembered_ids
            && let Some(oldest) = self.id_order.pop_front()
        {
            self.seen_ids.remove(&oldest);
        }
        debug_assert_eq!(self.seen_ids.len(), self.id_order.len());
        debug_assert!(self.id_order.len() <= self.remembered_ids);
        true
    }

    /// How long the asker still waits: `time_left` as of `sent_at_us` on its clock, less what this message took longer than
    /// the fastest.
    pub fn time_left(&mut self, time_left: Duration, sent_at_us: u64, now_us: u64) -> Duration {
        let offset = now_us.cast_signed().wrapping_sub(sent_at_us.cast_signed());
        let [current, previous] = self.least_offsets_us.get_or_insert([offset; 2]);
        if self.last_heard.saturating_duration_since(self.period_began) >= CLOCK_PERIOD {
            self.period_began = self.last_heard;
            (*previous, *current) = (*current, offset);
        }
        *current = offset.min(*current);
        let least = (*current).min(*previous);
        time_left.saturating_sub(Duration::from_micros(offset.saturating_sub(least).unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_repeated_id_is_seen_for_as_long_as_it_is_remembered() {
        let mut senders = SenderHistories::new(2);
        let sender = senders.get("a", Instant::now());
        assert!(sender.record_id(1) && sender.record_id(2));
        assert!(!sender.record_id(1));
        assert!(sender.record_id(3), "the oldest is forgotten");
        assert!(!sender.record_id(3) && !sender.record_id(2));
        assert!(senders.get("b", Instant::now()).record_id(1), "ids belong to their sender");
    }

    #[tokio::test(start_paused = true)]
    async fn delay_above_the_least_is_taken_off_the_time_left() {
        let mut senders = SenderHistories::new(2);
        let sender = senders.get("a", Instant::now());
        let second = Duration::from_secs(1);
        // The clocks differ by an hour; the first frame takes the least time seen so far.
        let hour = 3_600_000_000;
        assert_eq!(sender.time_left(second, 1_000, hour + 1_000), second);
        assert_eq!(sender.time_left(second, 2_000, hour + 302_000), Duration::from_millis(700));
        assert_eq!(sender.time_left(second, 3_000, hour + 2_000), second, "a faster one is the new least");
        assert_eq!(sender.time_left(second, 4_000, hour + 9_000_000), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumped_is_believed_again_after_two_periods() {
        let mut senders = SenderHistories::new(2);
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let jump = 600_000_000;
        assert_eq!(senders.get("a", start).time_left(second, 0, 0), second);
        assert_eq!(
            senders.get("a", start).time_left(second, 0, jump),
            Duration::ZERO,
            "as if it had taken ten minutes"
        );
        for period in 1..=2 {
            senders.get("a", start + period * CLOCK_PERIOD).time_left(second, 0, jump);
        }
        assert_eq!(senders.get("a", start + 2 * CLOCK_PERIOD).time_left(second, 0, jump), second);
    }
}
