//! `essaim logs`: the last log lines of all nodes, or those to come.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use essaim::Roster;
use essaim::api::{FindLogs, MOST_LINES};
use essaim::exit::{self, Fatal};
use essaim::logs::LogLine;
use essaim::trace::Conditions;

use super::operator::{At, Operator};
use super::trace::{tell_away, time_of_day};
use super::{Global, print};

/// How often nodes are asked for more.
const PAUSE: Duration = Duration::from_millis(300);

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
    let mut request = FindLogs { filter, last: args.last, ..FindLogs::default() };
    let mut away = BTreeSet::new();
    loop {
        let found = operator.ask(&request)?;
        let lines: String = found.lines.iter().map(|line| text(line, args.json)).collect();
        if !print::was_read(&lines) {
            return Ok(());
        }
        if found.missed > 0 {
            print::line(&format!("{} lines were gone before they could be read (log.ring_bytes)", found.missed));
        }
        // Once each, and again when it has answered in between.
        let silent: BTreeSet<_> = found.away.iter().map(|away| away.node.clone()).collect();
        tell_away(&found.away.into_iter().filter(|node| !away.contains(&node.node)).collect::<Vec<_>>());
        away = silent;
        if !args.follow {
            return Ok(());
        }
        request.after = found.next;
        if !found.more {
            pause();
        }
    }
}

#[allow(clippy::disallowed_methods)] // A command has no arbiter.
fn pause() {
    std::thread::sleep(PAUSE);
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
