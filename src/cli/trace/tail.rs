//! Records of all nodes, as they are written.

use essaim::api::{FindRecords, FoundRecords};
use essaim::exit::Fatal;
use essaim::trace::{Filter, Half, MessageRecord};

use super::super::follow::{self, Extent};
use super::super::operator::Operator;
use super::super::print;
use super::duration;

/// Lists records that the filter takes as they are written; or those that are known, once.
pub fn tail(operator: &Operator, filter: Filter, once: bool, json: bool) -> Result<(), Fatal> {
    let request = FindRecords { filter, from_now: !once, ..FindRecords::default() };
    if !json {
        print::page(&head());
    }
    let extent = if once { Extent::Known } else { Extent::Coming };
    let lines = |found: &FoundRecords| found.records.iter().map(|record| line(record, json)).collect();
    let gone = |missed| format!("{missed} records were gone before they could be read: narrow the filter");
    follow::pages(operator, request, extent, lines, gone)
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
