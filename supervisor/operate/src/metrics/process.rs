//! The process as Linux shows it in `/proc/self`. Where that is not mounted, nothing is told.

use std::fs;

use super::families::*;
use super::samples::Samples;

/// Ticks of a second in `/proc`: `USER_HZ`, which is 100 on every architecture that Linux still has.
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds what `/proc` tells.
pub fn add(samples: &mut Samples) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    if let Some((cpu_seconds, start_ticks)) = cpu_and_start(&read("/proc/self/stat")) {
        samples.add(PROCESS_CPU, [], cpu_seconds);
        if let Some(booted) = number_after(&read("/proc/stat"), "btime ") {
            samples.add(PROCESS_START, [], booted as f64 + start_ticks / TICKS_PER_SECOND);
        }
    }
    let status = read("/proc/self/status");
    for (family, field, unit) in
        [(PROCESS_RESIDENT, "VmRSS:", 1 << 10), (PROCESS_VIRTUAL, "VmSize:", 1 << 10), (PROCESS_THREADS, "Threads:", 1)]
    {
        if let Some(value) = number_after(&status, field) {
            samples.add(family, [], value * unit);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is that of the directory that is being read.
        samples.add(PROCESS_FDS, [], open.count().saturating_sub(1));
    }
    if let Some(limit) = number_after(&read("/proc/self/limits"), "Max open files") {
        samples.add(PROCESS_FDS_LIMIT, [], limit);
    }
}

/// Processor time in seconds, and the start in ticks since the machine was booted.
fn cpu_and_start(stat: &str) -> Option<(f64, f64)> {
    // The name in parentheses may contain anything. What follows its last parenthesis begins with the third field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(((field(14)? + field(15)?) / TICKS_PER_SECOND, field(22)?))
}

/// The first number of the line that begins so.
fn number_after(text: &str, beginning: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(beginning))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_a_name_that_may_be_anything() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 250 150 0 0 20 0 9 0 123456 1 2";
        assert_eq!(cpu_and_start(stat), Some((4.0, 123_456.0)));
        assert_eq!(cpu_and_start("7 (a) S 1"), None);
        assert_eq!(cpu_and_start(""), None);
    }

    #[test]
    fn numbers_are_found_by_the_beginning_of_their_line() {
        let limits = "Limit   Soft  Hard  Units\nMax open files            1024   4096   files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1_024));
        assert_eq!(number_after("VmRSS:\t    512 kB\n", "VmRSS:"), Some(512));
        assert_eq!(number_after("Max open files   unlimited  unlimited", "Max open files"), None);
    }
}
