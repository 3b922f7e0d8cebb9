//! `essaim dead`: dead letters are listed, shown, rehearsed, replayed and dropped.
//!
//! # Layout
//! - here: the commands; `edited`: rehearsals, and replays with another payload; `sheet`: letters as text for people; `told`: results of replays and drops.

mod edited;
mod sheet;
mod told;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use essaim::api::{AskLedger, DeadPage, DeadPosition, DropDead, ListDead, MOST_LETTERS, ReplayDead, ShowDead};
use essaim::exit::{self, Fatal};
use essaim::{Roster, run as run_here};

use self::edited::RehearseArgs;
use self::sheet::{sheet, table};
use self::told::{Told, each_once, letters};
use super::confirm::confirm;
use super::operator::{At, Operator, not_known, tell_away};
use super::{Global, ledger, print};

/// `essaim dead`
#[derive(Debug, Args)]
pub struct DeadArgs {
    /// What to do
    #[command(subcommand)]
    pub command: DeadCommand,
}

/// The commands of `essaim dead`.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// Lists dead letters, the oldest first
    List(ListArgs),
    /// Shows a dead letter with what is in it
    Show(ShowArgs),
    /// Has dead letters tried again
    Replay(ReplayArgs),
    /// Runs a dead letter's handler in a transaction that is rolled back, and shows what it would write and send
    Rehearse(RehearseArgs),
    /// Forgets dead letters
    Drop(DropArgs),
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct Which {
    /// Only messages of this capability
    #[arg(long, value_name = "NAME")]
    pub capability: Option<String>,
    /// Only those that died of this: rejected, attempts, too_old, too_new, unreadable, unsupported, expired or full
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only messages of this wire name, such as orders.ship.v1
    #[arg(long, value_name = "MESSAGE")]
    pub name: Option<String>,
}

/// `essaim dead list`
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// Lists so many at most
    #[arg(long, value_name = "LETTERS", default_value_t = 1_000)]
    most: u32,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// `essaim dead show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The message's id
    id: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// `essaim dead replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The messages' ids; without any, all letters of --capability
    #[arg(value_name = "ID", required_unless_present = "capability")]
    ids: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Replays one letter with the JSON of this file (-: of standard input) in the place of its payload
    #[arg(long, value_name = "FILE", requires = "ids")]
    payload: Option<PathBuf>,
    /// Replays so many a second at most
    #[arg(long, value_name = "LETTERS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Does not ask whether they are meant
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: At,
}

/// `essaim dead drop`
#[derive(Debug, Args)]
pub struct DropArgs {
    /// The messages' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Only letters of this capability, of an event that died for several
    #[arg(long, value_name = "NAME")]
    capability: Option<String>,
    /// Does not ask whether they are meant
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: At,
}

/// Runs the command.
///
/// # Errors
/// If the node does not answer, or something that was named is not there.
pub fn run(roster: &Roster, global: &Global, command: &DeadCommand) -> Result<(), Fatal> {
    let at = match command {
        DeadCommand::List(list) => &list.at,
        DeadCommand::Show(show) => &show.at,
        DeadCommand::Replay(replay) => &replay.at,
        DeadCommand::Rehearse(rehearse) => &rehearse.at,
        DeadCommand::Drop(drop) => &drop.at,
    };
    let operator = Operator::find(roster, global, at)?;
    match command {
        DeadCommand::List(arguments) => list(&operator, arguments),
        DeadCommand::Show(arguments) => show(&operator, arguments),
        DeadCommand::Replay(arguments) if arguments.ids.is_empty() => replay_all(&operator, arguments),
        DeadCommand::Replay(arguments) => replay(&operator, arguments),
        DeadCommand::Rehearse(arguments) => edited::rehearse(&operator, arguments),
        DeadCommand::Drop(arguments) => drop(&operator, arguments),
    }
}

/// A page of the letters that are meant.
fn page(operator: &Operator, which: &Which, after: Option<DeadPosition>, most: u32) -> Result<DeadPage, Fatal> {
    let Which { capability, reason, name } = which;
    let (capability, reason, name) = (capability.clone(), reason.clone(), name.clone());
    operator.ask(&ListDead { capability, reason, name, until_ms: None, after, most })
}

/// Checks, where nothing was found, that the capability that was named is known.
fn is_known(operator: &Operator, which: &Which) -> Result<(), Fatal> {
    let Some(capability) = &which.capability else { return Ok(()) };
    ledger::is_known(capability, &operator.ask(&AskLedger { capability: Some(capability.clone()) })?)
}

fn list(operator: &Operator, arguments: &ListArgs) -> Result<(), Fatal> {
    let mut all = DeadPage::default();
    loop {
        let left = arguments.most.saturating_sub(all.letters.len() as u32);
        let found = page(operator, &arguments.which, all.next.take(), left.min(MOST_LETTERS))?;
        all.letters.extend(found.letters);
        // A capability that keeps no letters behind the place of a page is not asked again.
        all.away.extend(found.away);
        (all.next, all.asked_at_ms) = (found.next, found.asked_at_ms);
        if all.next.is_none() || all.letters.len() as u32 >= arguments.most {
            break;
        }
    }
    tell_away(&all.away);
    if all.letters.is_empty() {
        is_known(operator, &arguments.which)?;
    }
    if arguments.json {
        print::json(&all);
    } else {
        print::page(&table(&all.letters));
        if all.next.is_some() {
            print::line(&format!("there are more than {}: see --most", all.letters.len()));
        }
    }
    if all.away.is_empty() { Ok(()) } else { Err(not_known("whether these are all dead letters")) }
}

fn show(operator: &Operator, arguments: &ShowArgs) -> Result<(), Fatal> {
    let shown = operator.ask(&ShowDead { id: arguments.id.clone() })?;
    tell_away(&shown.away);
    if shown.letters.is_empty() && !shown.away.is_empty() {
        return Err(not_known(&format!("whether there is a dead letter `{}`", arguments.id)));
    }
    if shown.letters.is_empty() {
        return Err(Fatal::new(exit::DATA, format!("there is no dead letter `{}`", arguments.id)));
    }
    if arguments.json {
        print::json(&shown.letters);
    } else {
        shown.letters.iter().for_each(|letter| print::page(&sheet(letter)));
    }
    Ok(())
}

fn replay(operator: &Operator, arguments: &ReplayArgs) -> Result<(), Fatal> {
    let Which { capability, reason, name } = &arguments.which;
    if reason.is_some() || name.is_some() {
        return Err(Fatal::new(
            exit::USAGE,
            "ids say which letters are meant: --reason and --name go with --capability alone",
        ));
    }
    let all = each_once(&arguments.ids);
    if let Some(path) = &arguments.payload {
        return edited::replay(operator, &all, capability.as_deref(), path, arguments.yes);
    }
    if !confirm(&format!("Replay {}?", letters(all.len())), arguments.yes)? {
        return Ok(());
    }
    let mut told = Told::default();
    replay_each(operator, &all, capability, arguments.rate, &mut told)?;
    told.end("replayed", &all)
}

fn replay_all(operator: &Operator, arguments: &ReplayArgs) -> Result<(), Fatal> {
    let which = &arguments.which;
    let (mut told, mut ids, mut after) = (Told::default(), Vec::new(), None);
    // Letters that die after the replay has begun are not replayed, or not again.
    loop {
        let found = page(operator, which, after, MOST_LETTERS)?;
        told.hear(&found.away);
        ids.extend(found.letters.into_iter().map(|letter| letter.id));
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    let all = each_once(&ids);
    if all.is_empty() {
        is_known(operator, which)?;
    }
    let of = which.capability.as_deref().unwrap_or_default();
    if !all.is_empty() && !confirm(&format!("Replay {} of `{of}`?", letters(all.len())), arguments.yes)? {
        return Ok(());
    }
    replay_each(operator, &all, &which.capability, arguments.rate, &mut told)?;
    told.end("replayed", &[])
}

/// Replays letters with these ids, so many a second at most.
fn replay_each(
    operator: &Operator,
    all: &[String],
    capability: &Option<String>,
    rate: u32,
    told: &mut Told,
) -> Result<(), Fatal> {
    for (n, ids) in all.chunks(at_a_time(rate) as usize).enumerate() {
        if n > 0 {
            wait(rate);
        }
        told.note(&operator.ask(&ReplayDead { ids: ids.to_vec(), capability: capability.clone(), payload: None })?);
    }
    Ok(())
}

/// As many as are replayed in one request: a quarter of a second's.
fn at_a_time(rate: u32) -> u32 {
    (rate / 4).clamp(1, MOST_LETTERS)
}

/// Waits as long as the letters of one request may take.
fn wait(rate: u32) {
    let pause = Duration::from_secs_f64(f64::from(at_a_time(rate)) / f64::from(rate));
    run_here(async { tokio::time::sleep(pause).await });
}

fn drop(operator: &Operator, arguments: &DropArgs) -> Result<(), Fatal> {
    let all = each_once(&arguments.ids);
    let question = format!("Drop {} for good?", letters(all.len()));
    if !confirm(&question, arguments.yes)? {
        return Ok(());
    }
    let mut told = Told::default();
    for ids in all.chunks(MOST_LETTERS as usize) {
        told.note(&operator.ask(&DropDead { ids: ids.to_vec(), capability: arguments.capability.clone() })?);
    }
    told.end("dropped", &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_in_small_steps() {
        assert_eq!([1, 3, 8, 100, 100_000].map(at_a_time), [1, 1, 2, 25, MOST_LETTERS]);
    }
}
