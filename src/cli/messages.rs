//! `essaim messages`: what capabilities take, with the forms of it.

mod schema;

use clap::Args;
use essaim::Roster;
use essaim::api::{DeclaredMessage, ListMessages};
use essaim::exit::{self, Fatal};

use super::Global;
use super::follow::tell_away;
use super::operator::{At, Operator};
use super::print::{self, columns};

/// `essaim messages`
#[derive(Debug, Args)]
pub struct MessagesArgs {
    /// A capability, such as orders, or a message, such as orders.place.v1: shown with all fields
    #[arg(value_name = "CAPABILITY")]
    of: Option<String>,
    /// Prints JSON: the forms as JSON Schema
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Runs the command.
///
/// # Errors
/// If the node does not answer, not every node does, or there is no such capability or message.
pub fn run(roster: &Roster, global: &Global, MessagesArgs { of, json, at }: &MessagesArgs) -> Result<(), Fatal> {
    let operator = Operator::find(roster, global, at)?;
    let is_message = of.as_ref().is_some_and(|of| of.contains('.'));
    let capability = of.as_ref().and_then(|of| of.split('.').next()).map(String::from);
    let mut found = operator.ask(&ListMessages { capability })?;
    if let Some(name) = of.as_ref().filter(|_| is_message) {
        found.messages.retain(|message| message.name == *name);
    }
    found.away.iter().for_each(tell_away);
    if found.messages.is_empty()
        && let Some(of) = of
    {
        let what = if is_message { "the message" } else { "messages of a capability" };
        let why = format!("no node that answers takes {what} `{of}`: `essaim messages` lists what there is");
        return Err(Fatal::new(exit::DATA, why));
    }
    if *json {
        print::json(&found);
    } else if of.is_some() {
        let pages: Vec<String> = found.messages.iter().map(page).collect();
        print::page(&pages.join("\n"));
    } else {
        print::page(&table(&found.messages));
    }
    if found.away.is_empty() {
        return Ok(());
    }
    Err(Fatal::new(exit::UNAVAILABLE, "not every node answered: there may be more messages".to_string()))
}

fn table(messages: &[DeclaredMessage]) -> String {
    if messages.is_empty() {
        return "no messages\n".into();
    }
    let mut rows = vec![["MESSAGE", "KIND", "KEY", "HANDLED BY", "NODES", "COUNT"].map(String::from)];
    rows.extend(messages.iter().map(|message| {
        let names = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let key = message.key_field.clone().unwrap_or_else(|| "-".into());
        let count = message.outcomes.values().sum::<u64>().to_string();
        [message.name.clone(), kind(message), key, names(&message.handled_by), names(&message.nodes), count]
    }));
    columns(&rows)
}

fn kind(message: &DeclaredMessage) -> String {
    let more = match (message.idempotent, message.internal) {
        (true, _) => ", idempotent",
        (_, true) => ", internal",
        _ => "",
    };
    format!("{}{more}", message.kind.as_str())
}

/// A message with its fields.
fn page(message: &DeclaredMessage) -> String {
    let mut page = format!("{}  ({})\n", message.name, kind(message));
    match &message.schema {
        Some(schema) => page.push_str(&schema::fields(schema)),
        None => page.push_str("  its contract does not tell its fields\n"),
    }
    for (word, schema) in [("answers", &message.reply), ("rejects with", &message.error)] {
        if let Some(schema) = schema {
            page.push_str(&format!("  {word} {}\n", schema::summary(schema)));
            page.push_str(&schema::members(schema, 4));
        }
    }
    page
}
