//! Fail points, at which a test makes the process abort as a crash would, makes the task panic, or blocks its thread.
//!
//! The environment variables `ESSAIM_CRASH_AT=POINT`, `ESSAIM_PANIC_AT=POINT` and `ESSAIM_BLOCK_AT=POINT` name the point;
//! `POINT@N` means the Nth time that it is passed, else it is the first. Each task of the runtime passes the point `task.NAME`
//! each time it is polled. A thread is blocked for `ESSAIM_BLOCK_MS`. Release builds have no fail points.

/// Passes a fail point.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    if planned::DIES.is_at(name) {
        eprintln!("crashing at {name}, as ESSAIM_CRASH_AT says");
        std::process::abort();
    }
    if planned::PANICS.is_at(name) {
        panic!("at {name}, as ESSAIM_PANIC_AT says");
    }
    if planned::BLOCKS.is_at(name) {
        block(name);
    }
}

/// Keeps the thread, if nothing else is said for longer than any lease that tests wait for.
#[cfg(debug_assertions)]
#[allow(clippy::disallowed_methods)] // Blocking the thread is the purpose.
fn block(name: &str) {
    eprintln!("blocking at {name}, as ESSAIM_BLOCK_AT says");
    let ms = std::env::var("ESSAIM_BLOCK_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(4_000);
    std::thread::sleep(std::time::Duration::from_millis(ms));
}

/// Passes the fail point of a task of the runtime that is about to be polled.
#[cfg(debug_assertions)]
pub fn in_task(name: &str) {
    if planned::PANICS.is_in_task(name) {
        panic!("in {name}, as ESSAIM_PANIC_AT says");
    }
}

#[cfg(debug_assertions)]
mod planned {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    pub static DIES: FailPoint = FailPoint::of("ESSAIM_CRASH_AT");
    pub static PANICS: FailPoint = FailPoint::of("ESSAIM_PANIC_AT");
    pub static BLOCKS: FailPoint = FailPoint::of("ESSAIM_BLOCK_AT");

    /// The fail point that an environment variable names, and how often it has been passed.
    pub struct FailPoint {
        variable: &'static str,
        planned: OnceLock<Option<(String, u64)>>,
        passed: AtomicU64,
    }

    impl FailPoint {
        const fn of(variable: &'static str) -> Self {
            Self { variable, planned: OnceLock::new(), passed: AtomicU64::new(0) }
        }

        pub fn is_at(&self, point: &str) -> bool {
            self.counts(|planned| planned == point)
        }

        pub fn is_in_task(&self, task: &str) -> bool {
            self.counts(|planned| planned.strip_prefix("task.") == Some(task))
        }

        fn counts(&self, is_here: impl FnOnce(&str) -> bool) -> bool {
            let planned = self.planned.get_or_init(|| {
                let planned = std::env::var(self.variable).ok()?;
                let (point, time) = planned.split_once('@').unwrap_or((&planned, "1"));
                Some((point.to_string(), time.parse().ok()?))
            });
            let Some((point, time)) = planned else { return false };
            is_here(point) && self.passed.fetch_add(1, Ordering::Relaxed) + 1 == *time
        }
    }
}

#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_: &str) {}

#[cfg(not(debug_assertions))]
#[inline]
pub fn in_task(_: &str) {}
