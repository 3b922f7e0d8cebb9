//! A dead letter with another payload: `essaim dead rehearse`, and `essaim dead replay --payload`.

use std::path::{Path, PathBuf};

use clap::Args;
use essaim::api::{
    Payload, RehearseDead, RehearsedLetter, RehearsedOutcome, RehearsedTransaction, ReplayDead, ShowDead,
};
use essaim::exit::{self, Fatal};

use super::told::Told;
use crate::cli::confirm::confirm;
use crate::cli::operator::{At, Operator, not_known, tell_away};
use crate::cli::{print, written};

/// `essaim dead rehearse`
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The message's id
    id: String,
    /// Rehearses it with the JSON of this file (-: of standard input) in the place of its payload
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// Whose letter it is, of an event that died for several
    #[arg(long, value_name = "NAME")]
    capability: Option<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub at: At,
}

/// Rehearses a letter, and prints what its handler did.
///
/// # Errors
/// If it could not be rehearsed, or would not be applied.
pub fn rehearse(operator: &Operator, arguments: &RehearseArgs) -> Result<(), Fatal> {
    let payload = arguments.payload.as_deref().map(read).transpose()?;
    let id = arguments.id.clone();
    let capability = capability_of(operator, &id, arguments.capability.as_deref())?;
    let rehearsed = operator.ask(&RehearseDead { id, capability, payload })?;
    if arguments.json {
        print::json(&rehearsed);
    } else {
        print::page(&sheet(&rehearsed));
    }
    match rehearsed.outcome {
        RehearsedOutcome::Succeeds => Ok(()),
        _ => Err(Fatal::new(exit::DATA, "it would not be applied")),
    }
}

/// Replays a letter with another payload.
///
/// # Errors
/// If it was not replayed, or may not have been.
pub fn replay(
    operator: &Operator,
    ids: &[String],
    capability: Option<&str>,
    path: &Path,
    yes: bool,
) -> Result<(), Fatal> {
    let [id] = ids else { return Err(Fatal::new(exit::USAGE, "--payload is for one letter: name one id")) };
    let payload = Some(read(path)?);
    let capability = Some(capability_of(operator, id, capability)?);
    if !confirm("Replay 1 letter with another payload?", yes)? {
        return Ok(());
    }
    let mut told = Told::default();
    told.note(&operator.ask(&ReplayDead { ids: ids.to_vec(), capability, payload })?);
    told.end("replayed", ids)
}

/// The payload of the option.
fn read(path: &Path) -> Result<String, Fatal> {
    written::read(path, &format!("--payload {}", path.display()))
}

/// The capability whose letter has an id: the one that is named, or the only one.
fn capability_of(operator: &Operator, id: &str, named: Option<&str>) -> Result<String, Fatal> {
    if let Some(named) = named {
        return Ok(named.into());
    }
    let shown = operator.ask(&ShowDead { id: id.into() })?;
    tell_away(&shown.away);
    let all: Vec<_> = shown.letters.into_iter().map(|detail| detail.letter.capability).collect();
    match &all[..] {
        [one] => Ok(one.clone()),
        [] if shown.away.is_empty() => Err(Fatal::new(exit::DATA, format!("there is no dead letter `{id}`"))),
        [] => Err(not_known(&format!("whether there is a dead letter `{id}`"))),
        several => {
            let which = format!("`{id}` died for {}: say for which, by --capability", several.join(", "));
            Err(Fatal::new(exit::USAGE, which))
        }
    }
}

/// A rehearsal for people.
fn sheet(rehearsed: &RehearsedLetter) -> String {
    let took = rehearsed.took_us as f64 / 1_000.0;
    let mut text = format!("{} ({took:.1} ms)\n", sentence(rehearsed));
    for transaction in &rehearsed.transactions {
        add_transaction(&mut text, transaction);
    }
    for send in &rehearsed.sends {
        let payload = match &send.payload {
            Payload::Json(value) => value.to_string(),
            Payload::Hex(hex) => hex.clone(),
            Payload::Beginning { bytes, .. } | Payload::Hidden { bytes } => format!("{bytes} bytes"),
        };
        let key = send.key.as_deref().map(|key| format!(" with the key {key}")).unwrap_or_default();
        text.push_str(&format!("would send the {} {}{key}: {payload}\n", send.kind, send.name));
    }
    for ask in &rehearsed.asks {
        let how = if ask.was_sent { "was asked, for real" } else { "was not asked" };
        text.push_str(&format!("{} {how}\n", ask.name));
    }
    if rehearsed.left_out > 0 {
        text.push_str(&format!("and {} more, which are not listed\n", rehearsed.left_out));
    }
    text + "Nothing of its transaction and of what it sends remains.\n"
}

fn add_transaction(text: &mut String, transaction: &RehearsedTransaction) {
    let end = if transaction.commits { "would be committed" } else { "is undone by the handler itself" };
    text.push_str(&format!("a transaction that {end}:\n"));
    for statement in &transaction.statements {
        let rows = match (statement.rows, &statement.error) {
            (Some(1), _) => "1 row".into(),
            (Some(rows), _) => format!("{rows} rows"),
            (None, error) => format!("failed: {}", error.as_deref().unwrap_or_default()),
        };
        text.push_str(&format!("  {}  [{} values] {rows}\n", statement.sql, statement.values));
    }
}

fn sentence(rehearsed: &RehearsedLetter) -> String {
    let why = rehearsed.why.as_deref().unwrap_or_default();
    match rehearsed.outcome {
        RehearsedOutcome::Succeeds => "It would be applied.".into(),
        RehearsedOutcome::Rejects => format!("It would be rejected, and die again: {why}"),
        RehearsedOutcome::Fails => format!("Its handler fails, so it would be tried again, and die at last: {why}"),
        RehearsedOutcome::Panics => format!("Its handler panics: {why}"),
        RehearsedOutcome::TimesOut => format!("Its handler does not end in time: {why}"),
        RehearsedOutcome::Unreadable => format!("Its handler cannot read it: {why}"),
        RehearsedOutcome::Stops => format!(
            "It cannot be rehearsed to its end: its handler asks {why}, which is not declared idempotent, so a rehearsal does \
             not ask it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use essaim::api::{RehearsedSend, RehearsedStatement};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rehearsal_tells_its_end_its_statements_and_what_it_would_send() {
        let statement = RehearsedStatement { sql: "INSERT".into(), values: 2, rows: Some(1), error: None };
        let rehearsed = RehearsedLetter {
            outcome: RehearsedOutcome::Succeeds,
            why: None,
            took_us: 2_340,
            transactions: vec![RehearsedTransaction { commits: true, statements: vec![statement] }],
            sends: vec![RehearsedSend {
                name: "shop.sold.v1".into(),
                kind: "event".into(),
                key: Some("ann".into()),
                payload: Payload::Json(json!({ "what": "tea" })),
            }],
            asks: Vec::new(),
            left_out: 0,
        };
        let expected = "\
It would be applied. (2.3 ms)
a transaction that would be committed:
  INSERT  [2 values] 1 row
would send the event shop.sold.v1 with the key ann: {\"what\":\"tea\"}
Nothing of its transaction and of what it sends remains.
";
        assert_eq!(sheet(&rehearsed), expected);
    }
}
