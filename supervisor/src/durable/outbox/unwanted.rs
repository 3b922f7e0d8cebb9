//! Events that wait for a subscriber that does not want them any more.

use super::{Outbox, lock};
use crate::durable::letter::{Letter, LetterKind};

impl Outbox {
    /// Whether an event has waited for its one subscriber for longer than that wants it.
    pub(super) fn is_outlived(&self, letter: &Letter) -> bool {
        let LetterKind::EventFor(subscriber) = &letter.kind else { return false };
        let registry = lock(&self.registry).clone();
        let how = registry.subscriptions.get(&*letter.name).and_then(|all| all.get(&**subscriber));
        let retention = how.and_then(|how| how.retention_ms);
        retention.is_some_and(|most| letter.at.saturating_add(most) < self.env.wall_ms())
    }
}
