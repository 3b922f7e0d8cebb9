//! Points at which a test has the process die, as a crash would: at once, with nothing finished or closed.
//!
//! The environment variable `ESSAIM_CRASH_AT=POINT` or `POINT@N` names the point and, if it is not the first, the time it
//! is passed. Release builds have no such points.

/// Passes a point.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PLANNED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let planned = PLANNED.get_or_init(|| {
        let planned = std::env::var("ESSAIM_CRASH_AT").ok()?;
        let (point, time) = planned.split_once('@').unwrap_or((&planned, "1"));
        Some((point.to_string(), time.parse().ok()?))
    });
    if let Some((point, time)) = planned
        && point == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *time
    {
        eprintln!("crashing at {name}, as ESSAIM_CRASH_AT says");
        std::process::abort();
    }
}

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
