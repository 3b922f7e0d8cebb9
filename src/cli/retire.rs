//! `essaim retire`: the end of a capability that is gone for good.

use clap::Args;
use essaim::Roster;
use essaim::api::{Retire, Retirement};
use essaim::exit::{self, Fatal};

use super::confirm::confirm;
use super::operator::{At, Operator};
use super::{Global, print};

/// `essaim retire`
#[derive(Debug, Args)]
pub struct RetireArgs {
    /// The capability, which nobody hosts any more
    capability: String,
    /// Does not ask whether it is meant
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: At,
}

/// Prints what is lost, asks for confirmation, and has the capability forgotten.
///
/// # Errors
/// If the node does not answer, or the capability is hosted or not known.
pub fn run(roster: &Roster, global: &Global, arguments: &RetireArgs) -> Result<(), Fatal> {
    let operator = Operator::find(roster, global, &arguments.at)?;
    let capability = &arguments.capability;
    let ask = |rehearse| operator.ask(&Retire { capability: capability.clone(), rehearse });
    let told = ask(true)?;
    possible(capability, &told)?;
    if !confirm(&question(capability, &told), arguments.yes)? {
        return Ok(());
    }
    let told = ask(false)?;
    possible(capability, &told)?;
    print::page(&format!("`{capability}` is retired: {} lost\n", are(told.lost, "message")));
    Ok(())
}

/// Checks that the capability can be retired.
fn possible(capability: &str, told: &Retirement) -> Result<(), Fatal> {
    if !told.known {
        return Err(Fatal::new(exit::DATA, format!("the log knows no capability `{capability}`")));
    }
    if !told.hosts.is_empty() {
        let hosts = told.hosts.join(", ");
        let what = format!("`{capability}` is hosted by {hosts}: have it hosted nowhere, and try again");
        return Err(Fatal::new(exit::DATA, what));
    }
    Ok(())
}

fn question(capability: &str, told: &Retirement) -> String {
    let (waiting, dead) = (are(told.waiting, "waiting message"), are(told.dead, "dead letter"));
    let ends = match &told.subscriptions[..] {
        [] => String::new(),
        events => format!(" It gets {} no longer.", events.join(", ")),
    };
    format!("Retire `{capability}` for good? {waiting} and {dead} lost.{ends}")
}

fn are(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what} is") } else { format!("{count} {what}s are") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_before() {
        let told = Retirement { known: true, waiting: 1, ..Retirement::default() };
        let asked = question("bell", &told);
        assert_eq!(asked, "Retire `bell` for good? 1 waiting message is and 0 dead letters are lost.");
        let told = Retirement { subscriptions: vec!["shop.sold.v1".into()], ..told };
        assert!(question("bell", &told).ends_with("lost. It gets shop.sold.v1 no longer."));
    }
}
