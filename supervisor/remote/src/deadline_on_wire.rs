//! Deadlines on the wire: a frame says how long the asker still waits, and the receiver takes off what the frame took longer on
//! its way than the fastest one of that sender.

use std::time::Duration;

use tokio::time::Instant;

/// The least delay of a sender is remembered for one to two of these periods.
const CLOCK_PERIOD: Duration = Duration::from_secs(60);

/// The fastest frames of one epoch of one sender.
pub struct FastestFrames {
    /// The least differences between the receiver's clock and the sender's in this period and the one before. Two periods,
    /// so that a clock that jumped is believed again after a while.
    least_offsets_us: Option<[i64; 2]>,
    period_began: Instant,
}

impl FastestFrames {
    pub fn since(now: Instant) -> Self {
        Self { least_offsets_us: None, period_began: now }
    }

    /// How long the asker still waits at `now`: `time_left` as of `sent_at_us` on its clock, less what this message took
    /// longer than the fastest.
    pub fn time_left(&mut self, time_left: Duration, sent_at_us: u64, now_us: u64, now: Instant) -> Duration {
        let offset = now_us.cast_signed().wrapping_sub(sent_at_us.cast_signed());
        let [current, previous] = self.least_offsets_us.get_or_insert([offset; 2]);
        if now.saturating_duration_since(self.period_began) >= CLOCK_PERIOD {
            self.period_began = now;
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
    use crate::sender_history::SenderHistories;

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
