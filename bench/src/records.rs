//! What message records cost: the other cases with all of them, some, or none kept.

use std::process::Command;
use std::time::Duration;

use essaim::config::TraceConfig;

use crate::Error;

/// Tells a case, and the processes that it starts, what is to be kept.
const KEPT: &str = "ESSAIM_BENCH_RECORDS";
/// Room for all records of a case: none of its traces is left out.
const ROOM_FOR_ALL: u64 = 8 << 30;

/// How long a case warms up: by then the share of traces that is kept has settled, and the first burst is stored.
pub fn settling() -> Duration {
    if std::env::var_os(KEPT).is_some() { Duration::from_secs(4) } else { Duration::ZERO }
}

/// Another case, with records kept as this word says: `off`, `default` or `all`.
pub fn run(kept: &str, case: &[&str]) -> Result<f64, Error> {
    let output = Command::new(std::env::current_exe()?).arg("case").args(case).env(KEPT, kept).output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    told.trim()
        .parse()
        .map_err(|_| format!("{case:?} told no number: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// What this process keeps.
pub fn config() -> TraceConfig {
    let all = TraceConfig::default();
    match std::env::var(KEPT).as_deref() {
        Ok("off") => TraceConfig { ring_bytes: 0, ..all },
        Ok("all") => TraceConfig { ring_bytes: ROOM_FOR_ALL, ring_seconds: 1, ..all },
        _ => all,
    }
}
