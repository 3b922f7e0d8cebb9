//! Points at which a test has the process die, as a crash would, the task that passes them panic, or its thread stand still.
//!
//! The environment variables `ESSAIM_CRASH_AT=POINT`, `ESSAIM_PANIC_AT=POINT` and `ESSAIM_BLOCK_AT=POINT`, or `POINT@N`, name the
//! point and, if it is not the first, the time it is passed. Each task of the runtime passes the point `task.NAME` whenever it goes on. Release
//! builds have no such points.

/// Passes a point.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    if plans::DIES.is_at(name) {
        eprintln!("crashing at {name}, as ESSAIM_CRASH_AT says");
        std::process::abort();
    }
    if plans::PANICS.is_at(name) {
        panic!("at {name}, as ESSAIM_PANIC_AT says");
    }
    if plans::BLOCKS.is_at(name) {
        block(name);
    }
}

/// Keeps the thread for longer than any lease that tests wait for.
#[cfg(debug_assertions)]
#[allow(clippy::disallowed_methods)] // That is what is to be tried.
fn block(name: &str) {
    eprintln!("blocking at {name}, as ESSAIM_BLOCK_AT says");
    std::thread::sleep(std::time::Duration::from_secs(4));
}

/// A task of the runtime goes on.
#[cfg(debug_assertions)]
pub(crate) fn in_task(name: &str) {
    if plans::PANICS.is_in_task(name) {
        panic!("in {name}, as ESSAIM_PANIC_AT says");
    }
}

#[cfg(debug_assertions)]
mod plans {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    pub static DIES: Plan = Plan::of("ESSAIM_CRASH_AT");
    pub static PANICS: Plan = Plan::of("ESSAIM_PANIC_AT");
    pub static BLOCKS: Plan = Plan::of("ESSAIM_BLOCK_AT");

    /// What a variable of the environment plans.
    pub struct Plan {
        variable: &'static str,
        planned: OnceLock<Option<(String, u64)>>,
        passed: AtomicU64,
    }

    impl Plan {
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

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) fn in_task(_: &str) {}
