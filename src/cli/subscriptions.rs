//! `essaim subscriptions`: which capability gets which event.

use clap::{Args, Subcommand};
use essaim::Roster;
use essaim::api::{DropSubscription, ListSubscriptions, SubscriptionLine, moment};
use essaim::exit::{self, Fatal};

use super::Global;
use super::confirm::confirm;
use super::mark::doubtful;
use super::operator::{At, Operator};
use super::print::{self, columns, span};

/// `essaim subscriptions`
#[derive(Debug, Args)]
pub struct SubscriptionsArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SubscriptionsCommand,
}

/// The commands of `essaim subscriptions`.
#[derive(Debug, Subcommand)]
pub enum SubscriptionsCommand {
    /// Lists who gets which event
    List(ListArgs),
    /// Ends a subscription of a capability that is gone for good; one that is hosted subscribes again at its next start
    Drop(DropArgs),
}

/// `essaim subscriptions list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// `essaim subscriptions drop`
#[derive(Debug, Args)]
pub struct DropArgs {
    /// The event's wire name, such as catalog.stock_reserved.v1
    event: String,
    /// Who gets it
    capability: String,
    /// Does not ask whether it is meant
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: At,
}

/// Runs the command.
///
/// # Errors
/// If the node does not answer, or there is no such subscription.
pub fn run(roster: &Roster, global: &Global, command: &SubscriptionsCommand) -> Result<(), Fatal> {
    match command {
        SubscriptionsCommand::List(arguments) => list(&Operator::find(roster, global, &arguments.at)?, arguments),
        SubscriptionsCommand::Drop(arguments) => drop(&Operator::find(roster, global, &arguments.at)?, arguments),
    }
}

fn list(operator: &Operator, arguments: &ListArgs) -> Result<(), Fatal> {
    let found = operator.ask(&ListSubscriptions {})?;
    if arguments.json {
        print::json(&found);
        return Ok(());
    }
    if found.subscriptions.is_empty() {
        print::page("no subscriptions\n");
        return Ok(());
    }
    print::page(&table(found.subscriptions));
    Ok(())
}

fn table(lines: Vec<SubscriptionLine>) -> String {
    let heading = ["EVENT", "CAPABILITY", "WHEN FULL", "BEGAN WITH", "WAITS", "SINCE", "HOSTED"];
    let mut rows = vec![heading.map(String::from)];
    for line in lines {
        let began = match &*line.from {
            "registration" => "the next",
            "earliest_retained" => "what is kept",
            other => other,
        };
        rows.push([
            line.event,
            line.capability,
            line.when_full,
            began.into(),
            line.retention_ms.map_or("-".into(), span),
            line.since_ms.map_or("-".into(), moment),
            if line.live { "yes".into() } else { doubtful("no") },
        ]);
    }
    columns(&rows)
}

fn drop(operator: &Operator, arguments: &DropArgs) -> Result<(), Fatal> {
    let DropArgs { event, capability, yes, .. } = arguments;
    if !confirm(&format!("End the subscription of `{capability}` to `{event}`?"), *yes)? {
        return Ok(());
    }
    let request = DropSubscription { event: event.clone(), capability: capability.clone() };
    let answer = operator.ask(&request)?;
    if !answer.dropped {
        return Err(Fatal::new(exit::DATA, format!("`{capability}` does not subscribe to `{event}`")));
    }
    print::page(&format!("`{capability}` gets `{event}` no longer\n"));
    if answer.live {
        print::line(&format!(
            "`{capability}` is hosted: it subscribes again at its next start, unless its handler is gone"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mark::painted;

    #[test]
    fn the_table_tells_how_each_began_and_how_long_its_events_wait() {
        let line = SubscriptionLine {
            event: "orders.placed.v1".into(),
            capability: "billing".into(),
            when_full: "block".into(),
            from: "registration".into(),
            retention_ms: None,
            since_ms: None,
            live: false,
        };
        let late = SubscriptionLine {
            from: "earliest_retained".into(),
            retention_ms: Some(90_000),
            since_ms: Some(0),
            live: true,
            ..line.clone()
        };
        let expected = "\
EVENT             CAPABILITY  WHEN FULL  BEGAN WITH    WAITS       SINCE                 HOSTED
orders.placed.v1  billing     block      the next      -           -                     no
orders.placed.v1  billing     block      what is kept  1 min 30 s  1970-01-01T00:00:00Z  yes
";
        assert_eq!(painted(&table(vec![line, late]), false), expected);
    }
}
