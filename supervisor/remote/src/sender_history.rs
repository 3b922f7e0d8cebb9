//! The histories of those nodes that send asks: ids seen, and how long their frames take at best.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::deadline_on_wire::FastestFrames;
use super::duplicate_asks::SeenIds;
use super::link::PeerLink;

/// The histories of all senders, by inbox: an inbox is one epoch of one node.
pub struct SenderHistories {
    /// The sender of the frame at hand, kept out of the table so that its further messages need no lookup.
    recent: Option<(String, SenderHistory)>,
    others: HashMap<String, SenderHistory>,
    remembered_ids: usize,
}

/// The history of one epoch of one sender.
pub struct SenderHistory {
    seen: SeenIds,
    fastest: FastestFrames,
    /// The link for answers, once the sender has asked.
    pub link: Option<Arc<PeerLink>>,
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
            seen: SeenIds::new(self.remembered_ids),
            fastest: FastestFrames::since(now),
            link: None,
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
        self.seen.record(id)
    }

    /// How long the asker still waits, as of `sent_at_us` on its clock.
    pub fn time_left(&mut self, time_left: Duration, sent_at_us: u64, now_us: u64) -> Duration {
        self.fastest.time_left(time_left, sent_at_us, now_us, self.last_heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ids_belong_to_their_sender() {
        let mut senders = SenderHistories::new(2);
        assert!(senders.get("a", Instant::now()).record_id(1));
        assert!(senders.get("b", Instant::now()).record_id(1));
        assert!(!senders.get("a", Instant::now()).record_id(1));
    }
}
