//! `essaim subscriptions`: which capability gets which event.

use clap::{Args, Subcommand};
use essaim_supervisor::Roster;
use essaim_supervisor::exit::{self, Fatal};
use essaim_supervisor::operations::{DropSubscription, ListSubscriptions};

use super::Global;
use super::confirm::confirm;
use super::operator::{At, Operator};
use super::print::{self, columns};

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
    /// The event's wire name, such as catalog.reserved.v1
    event: String,
    /// Who gets it
    capability: String,
    /// Does not ask whether it is meant
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: At,
}

/// Does what the command says.
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
    let mut rows = vec![["EVENT", "CAPABILITY", "WHEN FULL", "HOSTED"].map(String::from)];
    for line in found.subscriptions {
        let hosted = if line.live { "yes" } else { "no" };
        rows.push([line.event, line.capability, line.when_full, hosted.into()]);
    }
    print::page(&columns(&rows));
    Ok(())
}

fn drop(operator: &Operator, arguments: &DropArgs) -> Result<(), Fatal> {
    let DropArgs { event, capability, yes, .. } = arguments;
    if !confirm(&format!("End the subscription of `{capability}` to `{event}`?"), *yes)? {
        return Ok(());
    }
    let question = DropSubscription { event: event.clone(), capability: capability.clone() };
    let answer = operator.ask(&question)?;
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
