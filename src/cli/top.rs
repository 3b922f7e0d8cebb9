//! `essaim top`: the capabilities of all nodes as a live table: what they have to do, how fast they are, and what is wrong.
//!
//! # Layout
//! - here: the command; `table`: columns, order and text; `screen`: the live table.

#[cfg(test)]
mod report;
mod screen;
mod table;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use essaim::exit::Fatal;
use essaim::operators::Sample;
use essaim::{NodeStatus, Roster};

use self::table::{Column, View};
use super::operator::{At, Operator};
use super::{Global, print};

/// `essaim top`
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Prints one table, of all since the nodes started, and ends; so does an output that is no terminal
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
    /// The column to sort by
    #[arg(long, value_enum, default_value_t = Column::Capability)]
    sort: Column,
    /// Only capabilities and nodes whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    #[command(flatten)]
    at: At,
}

/// Shows the table until it is left.
///
/// # Errors
/// If no node answers, or the terminal cannot be used.
pub fn run(roster: &Roster, global: &Global, args: &TopArgs) -> Result<(), Fatal> {
    let operator = Operator::find(roster, global, &args.at)?;
    let view = View::by(args.sort, &args.filter);
    let look = move || operator.get::<NodeStatus>("/status");
    if args.once || !std::io::stdout().is_terminal() {
        print::page(&table::text(&Sample::of(look()?, None), &view));
        return Ok(());
    }
    screen::show(look, view, Duration::from_secs(args.every))
}
