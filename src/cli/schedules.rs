//! `essaim schedules`: what capabilities send themselves at set times.

use clap::{Args, Subcommand};
use essaim::Roster;
use essaim::api::{FireSchedule, ListSchedules, ScheduleLine, Schedules, moment};
use essaim::exit::Fatal;

use super::Global;
use super::operator::{At, Operator, not_known, tell_away};
use super::print::{self, columns, span};

/// `essaim schedules`
#[derive(Debug, Args)]
pub struct SchedulesArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SchedulesCommand,
}

/// The commands of `essaim schedules`.
#[derive(Debug, Subcommand)]
pub enum SchedulesCommand {
    /// Lists schedules with their last and next moments
    List(ListArgs),
    /// Sends the command of a schedule now, beside its set times
    Fire(FireArgs),
}

/// `essaim schedules list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// `essaim schedules fire`
#[derive(Debug, Args)]
pub struct FireArgs {
    /// The capability
    #[arg(value_name = "CAPABILITY")]
    capability: String,
    /// The schedule's name
    #[arg(value_name = "SCHEDULE")]
    name: String,
    #[command(flatten)]
    at: At,
}

/// Runs the command.
///
/// # Errors
/// If the node does not answer, not every capability does, or there is no such schedule.
pub fn run(roster: &Roster, global: &Global, command: &SchedulesCommand) -> Result<(), Fatal> {
    match command {
        SchedulesCommand::List(arguments) => list(&Operator::find(roster, global, &arguments.at)?, arguments.json),
        SchedulesCommand::Fire(FireArgs { capability, name, at }) => {
            let (capability, name) = (capability.clone(), name.clone());
            let fired = Operator::find(roster, global, at)?.ask(&FireSchedule { capability, name })?;
            print::page(&format!("{} is sent\n", fired.id));
            Ok(())
        }
    }
}

fn list(operator: &Operator, json: bool) -> Result<(), Fatal> {
    let found = operator.ask(&ListSchedules {})?;
    if json {
        print::json(&found);
    } else {
        print::page(&table(&found));
    }
    tell_away(&found.away);
    if found.away.is_empty() { Ok(()) } else { Err(not_known("which schedules there are")) }
}

fn table(found: &Schedules) -> String {
    if found.schedules.is_empty() {
        return "no schedules\n".into();
    }
    let mut rows = vec![["CAPABILITY", "SCHEDULE", "CRON", "ZONE", "LAST", "NEXT"].map(String::from)];
    rows.extend(found.schedules.iter().map(|line| row(line, found.asked_at_ms)));
    columns(&rows)
}

fn row(line: &ScheduleLine, now_ms: u64) -> [String; 6] {
    let ScheduleLine { capability, name, cron, zone, last_ms, next_ms } = line.clone();
    let next = |ms: u64| format!("{} (in {})", moment(ms), span(ms.saturating_sub(now_ms)));
    let [last, next] = [last_ms.map(moment), next_ms.map(next)].map(|at| at.unwrap_or_else(|| "-".into()));
    [capability, name, cron, zone, last, next]
}
