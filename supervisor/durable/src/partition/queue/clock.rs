//! A wall clock that was set back: what has failed waits no longer than a backoff, not until the clock shows the old time again.

use super::{Delayed, KeyState, Queue};

impl Queue {
    /// Takes note of the wall clock. If it shows less than before, what was tried waits for `longest_ms` from now at most; what
    /// is not to be tried before its moment goes on waiting for that.
    pub fn clock_shows(&mut self, now_ms: u64, longest_ms: u64) {
        let before = std::mem::replace(&mut self.clock_ms, now_ms);
        if now_ms >= before {
            return;
        }
        let latest = now_ms + longest_ms;
        let mut moved = Vec::new();
        for (order, state) in &mut self.orders {
            let KeyState::Parked(parked) = state else { continue };
            for row in parked.rows.values_mut().filter(|row| row.tries.tries > 0 && row.due_ms > latest) {
                row.due_ms = latest;
                moved.push(order.clone());
            }
        }
        moved.iter().for_each(|order| self.schedule(order));
        let late: Vec<_> =
            self.delayed.range((latest + 1, 0)..).filter(|(_, delayed)| delayed.was_tried()).map(|(k, _)| *k).collect();
        for key in late {
            if let Some(delayed) = self.delayed.remove(&key) {
                self.put_off(latest, delayed);
            }
        }
    }
}

impl Delayed {
    fn was_tried(&self) -> bool {
        let (Self::Joins(next) | Self::HasTurn(next)) = self;
        next.tries().tries > 0
    }
}
