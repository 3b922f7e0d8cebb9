//! Moments as records tell them: microseconds since 1970 that only rise while a node lives, whatever happens to its wall clock.

use essaim_base::Env;
use tokio::time::Instant;

/// A wall clock that was read once.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    wall_us: u64,
}

impl Clock {
    pub fn of(env: &Env) -> Self {
        Self { origin: env.now(), wall_us: env.wall().as_micros() as u64 }
    }

    /// A moment of the monotonic clock.
    pub fn us(&self, at: Instant) -> u64 {
        match at.checked_duration_since(self.origin) {
            Some(since) => self.wall_us + since.as_micros() as u64,
            None => self.wall_us.saturating_sub((self.origin - at).as_micros() as u64),
        }
    }
}
