//! Records of all nodes, as they are written.

use std::collections::BTreeSet;
use std::time::Duration;

use essaim::api::FindRecords;
use essaim::exit::Fatal;
use essaim::trace::{Filter, Half, MessageRecord};

use super::super::operator::Operator;
use super::super::print;
use super::{duration, tell_away};

/// How often nodes are asked for more.
const PAUSE: Duration = Duration::from_millis(300);

/// Lists records that the filter takes, as long as there are readers; or those that are known, once.
pub fn tail(operator: &Operator, filter: Filter, once: bool, json: bool) -> Result<(), Fatal> {
    let mut request = FindRecords { filter, from_now: !once, ..FindRecords::default() };
    if !json {
        print::page(&head());
    }
    let mut away = BTreeSet::new();
    loop {
        let found = operator.ask(&request)?;
        let lines: String = found.records.iter().map(|record| line(record, json)).collect();
        if !print::was_read(&lines) {
            return Ok(());
        }
        if found.missed > 0 {
            print::line(&format!("{} records were gone before they could be read: narrow the filter", found.missed));
        }
        // Once each, and again when it has answered in between.
        let silent: BTreeSet<_> = found.away.iter().map(|away| away.node.clone()).collect();
        tell_away(&found.away.into_iter().filter(|node| !away.contains(&node.node)).collect::<Vec<_>>());
        away = silent;
        (request.after, request.from_now) = (found.next, false);
        match (found.more, once) {
            (true, _) => {}
            (false, true) => return Ok(()),
            (false, false) => pause(),
        }
    }
}

#[allow(clippy::disallowed_methods)] // A command has no arbiter.
fn pause() {
    std::thread::sleep(PAUSE);
}

fn head() -> String {
    let [at, took, outcome] = ["at (UTC)", "took", "outcome"];
    format!("{at:<12} {took:>9}  {outcome:<13} {:<9} {:<32} {:<22} trace\n", "kind", "message", "where")
}

fn line(record: &MessageRecord, json: bool) -> String {
    if json {
        return serde_json::to_string(record).map(|line| format!("{line}\n")).unwrap_or_default();
    }
    let place = format!("{}@{}", record.capability, record.node);
    let place = if record.half == Half::Sent { format!("→ {place}") } else { place };
    let mut line = format!(
        "{:<12} {:>9}  {:<13} {:<9} {:<32} {:<22} {}",
        time_of_day(record.at_us),
        duration(record.waited_us + record.ran_us),
        record.outcome.as_str(),
        record.kind.as_str(),
        record.name,
        place,
        record.trace_id,
    );
    if let Some(key) = &record.key {
        line += &format!("  key {key}");
    }
    if let Some(error) = &record.error {
        line += &format!("  {error}");
    }
    line.push('\n');
    line
}

/// Hours, minutes, seconds and milliseconds of a moment, in UTC.
pub fn time_of_day(us: u64) -> String {
    let ms = us / 1_000 % 86_400_000;
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000)
}
