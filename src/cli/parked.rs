//! `essaim parked`: messages that wait for another attempt, for their time, or behind another of their key.

use clap::{Args, Subcommand};
use essaim::Roster;
use essaim::api::{ListParked, MOST_PARKED, ParkedLine, ParkedMessages, RetryParked};
use essaim::exit::{self, Fatal};

use super::Global;
use super::mark::wrong;
use super::operator::{At, Operator, not_known, tell_away};
use super::print::{self, columns, short, span};

/// `essaim parked`
#[derive(Debug, Args)]
pub struct ParkedArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ParkedCommand,
}

/// The commands of `essaim parked`.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// Lists parked messages, those of one key in their order
    List(ListArgs),
    /// Has messages that have failed tried now
    Retry(RetryArgs),
}

/// `essaim parked list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only messages of this capability
    #[arg(long, value_name = "NAME")]
    capability: Option<String>,
    /// Lists so many of each capability at most
    #[arg(long, value_name = "MESSAGES", default_value_t = MOST_PARKED)]
    most: u32,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// `essaim parked retry`
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The messages' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    at: At,
}

/// Runs the command.
///
/// # Errors
/// If the node does not answer, not every capability does, or a message that was named is not parked.
pub fn run(roster: &Roster, global: &Global, command: &ParkedCommand) -> Result<(), Fatal> {
    match command {
        ParkedCommand::List(arguments) => list(&Operator::find(roster, global, &arguments.at)?, arguments),
        ParkedCommand::Retry(arguments) => retry(&Operator::find(roster, global, &arguments.at)?, arguments),
    }
}

fn list(operator: &Operator, arguments: &ListArgs) -> Result<(), Fatal> {
    let (capability, most) = (arguments.capability.clone(), arguments.most);
    let found = operator.ask(&ListParked { capability, most })?;
    if arguments.json {
        print::json(&found);
    } else {
        print::page(&table(&found));
    }
    tell_away(&found.away);
    if found.away.is_empty() { Ok(()) } else { Err(not_known("what is parked")) }
}

fn table(found: &ParkedMessages) -> String {
    if found.messages.is_empty() {
        return "no parked messages\n".into();
    }
    let heading = ["ID", "MESSAGE", "PARTITION", "KEY", "ATTEMPTS", "NEXT", "ERROR"];
    let mut rows = vec![heading.map(String::from)];
    rows.extend(found.messages.iter().map(|line| row(line, found.asked_at_ms)));
    let more = if found.more { "there are more\n" } else { "" };
    format!("{}{more}", columns(&rows))
}

fn row(line: &ParkedLine, now_ms: u64) -> [String; 7] {
    let next = match (&line.behind, line.due_ms.saturating_sub(now_ms)) {
        (Some(behind), _) => format!("behind {behind}"),
        (None, 0) => "now".into(),
        (None, ms) => format!("in {}", span(ms)),
    };
    let key = if line.key == line.id { "-".into() } else { line.key.clone() };
    let error = line.error.as_deref().map_or_else(|| "-".into(), |error| wrong(&short(error)));
    let (name, partition) = (line.name.clone(), format!("{}/{}", line.capability, line.partition));
    [line.id.clone(), name, partition, key, line.attempts.to_string(), next, error]
}

fn retry(operator: &Operator, arguments: &RetryArgs) -> Result<(), Fatal> {
    let retried = operator.ask(&RetryParked { ids: arguments.ids.clone() })?;
    retried.ids.iter().for_each(|id| print::page(&format!("{id} is tried now\n")));
    tell_away(&retried.away);
    let missing: Vec<&str> = arguments.ids.iter().filter(|id| !retried.ids.contains(id)).map(String::as_str).collect();
    match (missing.is_empty(), retried.away.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => Err(Fatal::new(exit::DATA, format!("not parked: {}", missing.join(", ")))),
        (false, false) => Err(not_known("whether the others are parked")),
    }
}
