//! `essaim send`: sends a message that is written as JSON.

use clap::Args;
use essaim::Roster;
use essaim::api::{MOST_PAYLOAD_BYTES, MOST_TIMEOUT_MS, Payload, SendMessage, SentMessage, SentOutcome};
use essaim::exit::{self, Fatal};

use super::Global;
use super::operator::{At, Operator};
use super::{print, written};

/// `essaim send`
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The message, such as orders.get.v1; `essaim messages` lists them
    #[arg(value_name = "MESSAGE")]
    name: String,
    /// It as JSON, or `-` for what stdin has, or `@` and a file
    #[arg(value_name = "JSON|-|@FILE")]
    json: String,
    /// How long an ask may take, in milliseconds; without it as long as the node's ask.timeout_ms
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_TIMEOUT_MS))]
    timeout_ms: Option<u64>,
    /// Prints outcome, answer and trace as JSON
    #[arg(id = "as_json", long = "json")]
    as_json: bool,
    #[command(flatten)]
    at: At,
}

/// Runs the command.
///
/// # Errors
/// If the JSON cannot be read or is no such message, the node does not answer, or the message did not do what it says.
pub fn run(roster: &Roster, global: &Global, arguments: &SendArgs) -> Result<(), Fatal> {
    let SendArgs { name, json, timeout_ms, as_json, at } = arguments;
    let (name, json) = (name.clone(), text(json)?);
    let operator = Operator::find(roster, global, at)?;
    let sent = operator.ask(&SendMessage { name, json, capability: None, timeout_ms: *timeout_ms })?;
    if *as_json {
        print::json(&sent);
    } else {
        tell(&sent);
    }
    match sent.outcome {
        outcome if outcome.is_success() => Ok(()),
        SentOutcome::Rejected => Err(Fatal::new(exit::DATA, "the message was rejected".to_string())),
        outcome => {
            let why = sent.error.unwrap_or_default();
            Err(Fatal::new(exit::UNAVAILABLE, format!("{}: {why}", outcome.as_str())))
        }
    }
}

/// The answer on stdout, what is said about it on stderr.
fn tell(sent: &SentMessage) {
    match (&sent.answer, &sent.id) {
        (Some(Payload::Json(value)), _) => print::json(value),
        (Some(Payload::Hex(hex) | Payload::Beginning { hex, .. }), _) => print::page(&format!("{hex}\n")),
        (Some(Payload::Hidden { bytes }), _) => print::page(&format!("{bytes} bytes that are not shown\n")),
        (None, Some(id)) => print::page(&format!("{id}\n")),
        (None, None) => {}
    }
    let SentMessage { outcome, trace, took_ms, .. } = sent;
    print::line(&format!("{} after {took_ms} ms; `essaim trace {trace}` shows what it did", outcome.as_str()));
}

/// The text that an argument stands for.
fn text(argument: &str) -> Result<String, Fatal> {
    match argument.strip_prefix('@') {
        Some(path) => written::read(path.as_ref(), path),
        None if argument == "-" => written::read(argument.as_ref(), "stdin"),
        None if argument.len() > MOST_PAYLOAD_BYTES => Err(Fatal::new(exit::USAGE, written::too_long(argument.len()))),
        None => Ok(argument.into()),
    }
}
