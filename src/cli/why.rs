//! `essaim why`: why a request, a message or what is about a key is slow or stuck, in sentences.

use clap::Args;
use essaim::Roster;
use essaim::api::ExplainMessage;
use essaim::exit::{self, Fatal};

use super::follow::tell_away;
use super::operator::{At, Operator};
use super::{Global, print};

/// `essaim why`
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// A trace's id, a message's, or a key such as an order's id
    id: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Prints what is known.
///
/// # Errors
/// If no node answers, or nothing is known of it.
pub fn run(roster: &Roster, global: &Global, args: &WhyArgs) -> Result<(), Fatal> {
    let explanation = Operator::find(roster, global, &args.at)?.ask(&ExplainMessage { id: args.id.clone() })?;
    if args.json {
        print::json(&explanation);
    } else {
        explanation.sentences.iter().for_each(|sentence| print::page(&format!("{sentence}\n")));
    }
    explanation.away.iter().for_each(tell_away);
    if explanation.sentences.is_empty() {
        let why = "no record, no running handler and no stored message has this id or key";
        return Err(Fatal::new(exit::DATA, format!("nothing is known of `{}`: {why}", args.id)));
    }
    Ok(())
}
