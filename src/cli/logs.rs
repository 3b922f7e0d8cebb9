//! `essaim logs`: the last log lines of all nodes, or those to come.

use clap::Args;
use essaim::Roster;
use essaim::api::{FindLogs, FoundLogs, MOST_LINES};
use essaim::exit::{self, Fatal};
use essaim::logs::LogLine;
use essaim::trace::Conditions;

use super::Global;
use super::follow::{self, Extent};
use super::operator::{At, Operator};
use super::trace::time_of_day;

/// `essaim logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Conditions on the lines, such as level>=warn node=front capability=orders trace=ID target~durable text~timeout
    #[arg(value_name = "CONDITION")]
    conditions: Vec<String>,
    /// Goes on with lines as they are written
    #[arg(short, long)]
    follow: bool,
    /// The last lines of each node, at most so many
    #[arg(short = 'n', long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_LINES)))]
    last: u32,
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Prints lines.
///
/// # Errors
/// If no node answers, or a condition cannot be understood.
pub fn run(roster: &Roster, global: &Global, args: &LogsArgs) -> Result<(), Fatal> {
    let filter = Conditions::of(&args.conditions).map_err(|e| Fatal::new(exit::USAGE, e.to_string()))?;
    let operator = Operator::find(roster, global, &args.at)?;
    let request = FindLogs { filter, last: args.last, ..FindLogs::default() };
    let extent = if args.follow { Extent::Coming } else { Extent::Known };
    let lines = |found: &FoundLogs| found.lines.iter().map(|line| text(line, args.json)).collect();
    let gone = |missed| format!("{missed} lines were gone before they could be read (log.ring_bytes)");
    follow::pages(&operator, request, extent, lines, gone)
}

/// One line for people, or for programs.
pub fn text(line: &LogLine, json: bool) -> String {
    if json {
        return serde_json::to_string(line).map(|line| format!("{line}\n")).unwrap_or_default();
    }
    let place = line.capability.as_ref().map_or_else(|| line.node.to_string(), |name| format!("{name}@{}", line.node));
    let mut text = format!("{} {:<5} {place:<18} ", time_of_day(line.at_us), line.level.as_str().to_uppercase());
    if let Some(handler) = &line.handler {
        text += &format!("{handler}: ");
    }
    text += &line.all_text().replace('\n', "\n    ");
    if let Some(trace) = line.trace.filter(|_| !line.fields.contains_key("trace_id")) {
        text += &format!(" trace={trace}");
    }
    text.push('\n');
    text
}
