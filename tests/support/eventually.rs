//! Waiting for what no event announces: a socket that will answer, a process that will end.

use std::time::{Duration, Instant};

/// How long a test waits for something that must come. Generous: on a busy machine slow is not wrong, and a test that
/// passes never waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The pause after the first look, and between looks once a while has passed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// Looks again and again until there is something to see; the only place in these tests that sleeps for want of an event.
///
/// # Panics
/// If there is nothing after [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let (started, mut pause) = (Instant::now(), PAUSES.0);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
}
