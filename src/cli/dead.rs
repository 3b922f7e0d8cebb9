//! `essaim dead`: dead letters are listed, shown, replayed and dropped.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use essaim_supervisor::exit::{self, Fatal};
use essaim_supervisor::operations::{
    Changed, DeadPage, DropDead, Letter, ListDead, MOST_LETTERS, Payload, Place, ReplayDead, ShowDead, ShownLetter,
    moment,
};
use essaim_supervisor::{Roster, run as run_here};

use super::Global;
use super::confirm::confirm;
use super::operator::{At, Operator, tell_away};
use super::print::{self, columns, short};

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
    /// Forgets dead letters
    Drop(DropArgs),
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct Which {
    /// Only messages of this capability
    #[arg(long, value_name = "NAME")]
    pub capability: Option<String>,
    /// Only those that died of this: rejected, attempts, too_old, unreadable, unsupported, expired or full
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
    /// Replays so many a second at most
    #[arg(long, value_name = "LETTERS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Does not ask whether all of them are meant
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

/// Does what the command says.
///
/// # Errors
/// If the node does not answer, or something that was named is not there.
pub fn run(roster: &Roster, global: &Global, command: &DeadCommand) -> Result<(), Fatal> {
    let at = match command {
        DeadCommand::List(list) => &list.at,
        DeadCommand::Show(show) => &show.at,
        DeadCommand::Replay(replay) => &replay.at,
        DeadCommand::Drop(drop) => &drop.at,
    };
    let operator = Operator::find(roster, global, at)?;
    match command {
        DeadCommand::List(arguments) => list(&operator, arguments),
        DeadCommand::Show(arguments) => show(&operator, arguments),
        DeadCommand::Replay(arguments) if arguments.ids.is_empty() => replay_all(&operator, arguments),
        DeadCommand::Replay(arguments) => replay(&operator, arguments),
        DeadCommand::Drop(arguments) => drop(&operator, arguments),
    }
}

/// A page of the letters that are meant.
fn page(
    operator: &Operator,
    which: &Which,
    after: Option<Place>,
    until_ms: Option<u64>,
    most: u32,
) -> Result<DeadPage, Fatal> {
    let Which { capability, reason, name } = which;
    let (capability, reason, name) = (capability.clone(), reason.clone(), name.clone());
    operator.ask(&ListDead { capability, reason, name, until_ms, after, most })
}

fn list(operator: &Operator, arguments: &ListArgs) -> Result<(), Fatal> {
    let mut all = DeadPage::default();
    loop {
        let left = arguments.most.saturating_sub(all.letters.len() as u32);
        let found = page(operator, &arguments.which, all.next.take(), None, left.min(MOST_LETTERS))?;
        all.letters.extend(found.letters);
        (all.next, all.away, all.asked_at_ms) = (found.next, found.away, found.asked_at_ms);
        if all.next.is_none() || all.letters.len() as u32 >= arguments.most {
            break;
        }
    }
    tell_away(&all.away);
    if arguments.json {
        print::json(&all);
        return Ok(());
    }
    print::page(&table(&all.letters));
    if all.next.is_some() {
        print::line(&format!("there are more than {}: see --most", all.letters.len()));
    }
    Ok(())
}

fn table(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "no dead letters\n".into();
    }
    let mut rows = vec![["DIED", "CAPABILITY", "MESSAGE", "REASON", "TRIES", "KEY", "ID", "ERROR"].map(String::from)];
    for letter in letters {
        let kept = (letter.kept_by != letter.capability)
            .then(|| format!("{} (kept by {})", letter.capability, letter.kept_by));
        rows.push([
            moment(letter.dead_at_ms),
            kept.unwrap_or_else(|| letter.capability.clone()),
            letter.name.clone(),
            letter.reason.clone(),
            letter.attempts.to_string(),
            letter.key.clone().unwrap_or_else(|| "-".into()) + if letter.held { " (held)" } else { "" },
            letter.id.clone(),
            short(letter.error.as_deref().unwrap_or_default()),
        ]);
    }
    columns(&rows)
}

fn show(operator: &Operator, arguments: &ShowArgs) -> Result<(), Fatal> {
    let shown = operator.ask(&ShowDead { id: arguments.id.clone() })?;
    tell_away(&shown.away);
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

/// A letter on a sheet of its own.
fn sheet(shown: &ShownLetter) -> String {
    let letter = &shown.letter;
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (kind, payload) = match &shown.payload {
        Payload::Json(value) => ("payload", pretty(value)),
        Payload::Hex(hex) => ("payload, in hexadecimal", hex.clone()),
        Payload::Beginning { hex, bytes } => ("payload, in hexadecimal", format!("{hex}… ({bytes} bytes in all)")),
    };
    let mut text = String::new();
    for (name, value) in [
        ("id", letter.id.clone()),
        ("capability", letter.capability.clone()),
        ("kept by", letter.kept_by.clone()),
        ("message", letter.name.clone()),
        ("key", letter.key.clone().unwrap_or_else(|| "-".into())),
        ("reason", letter.reason.clone()),
        ("attempts", letter.attempts.to_string()),
        ("error", letter.error.clone().unwrap_or_default()),
        ("sent", moment(letter.sent_at_ms)),
        ("died", moment(letter.dead_at_ms)),
        ("its key", if letter.held { "waits for it".into() } else { "goes on".into() }),
        ("trace", letter.trace.clone()),
        ("principal", shown.principal.to_string()),
        ("metadata", shown.metadata.to_string()),
    ] {
        text.push_str(&format!("{name:<10}  {value}\n"));
    }
    format!("{text}{kind}\n{payload}\n")
}

/// What became of letters so far.
#[derive(Default)]
struct Told {
    done: usize,
    out_of_order: usize,
    refused: usize,
}

impl Told {
    fn note(&mut self, changed: &Changed) {
        self.done += changed.done.len();
        self.out_of_order += changed.done.iter().filter(|letter| letter.is_out_of_order()).count();
        self.refused += changed.refused.len();
        for refused in &changed.refused {
            print::line(&format!("`{}` of `{}`: {}", refused.id, refused.capability, refused.why));
        }
        tell_away(&changed.away);
    }

    /// Says what was done, as `verb` has it.
    fn end(&self, verb: &str, missing: &[String]) -> Result<(), Fatal> {
        print::page(&format!("{verb} {}\n", letters(self.done)));
        if verb == "replayed" && self.out_of_order > 0 {
            print::line(&format!(
                "{} out of order: later messages of the same key did not wait (durable.after_dead = \"continue\")",
                letters(self.out_of_order)
            ));
        }
        match (missing, self.refused) {
            ([], 0) => Ok(()),
            ([], refused) => Err(Fatal::new(exit::DATA, format!("{} not; see above", letters(refused)))),
            (missing, _) => Err(Fatal::new(exit::DATA, format!("no dead letter has the id {}", missing.join(" or ")))),
        }
    }
}

fn letters(count: usize) -> String {
    if count == 1 { "1 letter".into() } else { format!("{count} letters") }
}

/// Which of the ids stand in no answer.
fn missing(ids: &[String], changed: &[Changed]) -> Vec<String> {
    let done = changed.iter().flat_map(|c| &c.done).map(|letter| letter.id.as_str());
    let refused = changed.iter().flat_map(|c| &c.refused).map(|refused| refused.id.as_str());
    let told: BTreeSet<&str> = done.chain(refused).collect();
    ids.iter().filter(|id| !told.contains(id.as_str())).cloned().collect()
}

/// The ids in their order, each once.
fn each_once(ids: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids.iter().filter(|id| seen.insert(*id)).cloned().collect()
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
    let (mut told, mut answers) = (Told::default(), Vec::new());
    for ids in all.chunks(at_a_time(arguments.rate) as usize) {
        if !answers.is_empty() {
            wait(arguments.rate);
        }
        let changed = operator.ask(&ReplayDead { ids: ids.to_vec(), capability: capability.clone() })?;
        told.note(&changed);
        answers.push(changed);
    }
    told.end("replayed", &missing(&all, &answers))
}

fn replay_all(operator: &Operator, arguments: &ReplayArgs) -> Result<(), Fatal> {
    let (which, rate) = (&arguments.which, arguments.rate);
    let first = page(operator, which, None, None, MOST_LETTERS)?;
    tell_away(&first.away);
    // A letter that dies again meanwhile is not replayed again.
    let until_ms = Some(first.asked_at_ms);
    let capability = which.capability.clone();
    let of = capability.as_deref().unwrap_or_default();
    let (count, or_more) = (letters(first.letters.len()), if first.next.is_some() { " or more" } else { "" });
    if !first.letters.is_empty() && !confirm(&format!("Replay {count}{or_more} of `{of}`?"), arguments.yes)? {
        return Ok(());
    }
    let (mut told, mut after) = (Told::default(), None);
    loop {
        let found = page(operator, which, after, until_ms, at_a_time(rate))?;
        let ids: Vec<String> = found.letters.iter().map(|letter| letter.id.clone()).collect();
        if !ids.is_empty() {
            told.note(&operator.ask(&ReplayDead { ids, capability: capability.clone() })?);
        }
        after = found.next;
        if after.is_none() {
            return told.end("replayed", &[]);
        }
        wait(rate);
    }
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
    let (mut told, mut answers) = (Told::default(), Vec::new());
    for ids in all.chunks(MOST_LETTERS as usize) {
        let changed = operator.ask(&DropDead { ids: ids.to_vec(), capability: arguments.capability.clone() })?;
        told.note(&changed);
        answers.push(changed);
    }
    told.end("dropped", &missing(&all, &answers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_what_died_where_and_why() {
        let letter = Letter {
            id: "nightly/0".into(),
            capability: "billing".into(),
            kept_by: "orders".into(),
            name: "orders.placed.v1".into(),
            key: Some("o-1".into()),
            reason: "full".into(),
            error: Some("no room".into()),
            held: true,
            ..Letter::default()
        };
        let expected = "\
DIED                  CAPABILITY                MESSAGE           REASON  TRIES  KEY         ID         ERROR
1970-01-01T00:00:00Z  billing (kept by orders)  orders.placed.v1  full    0      o-1 (held)  nightly/0  no room
";
        assert_eq!(table(&[letter]), expected);
        assert_eq!(table(&[]), "no dead letters\n");
    }

    #[test]
    fn a_rate_is_kept_in_small_steps() {
        assert_eq!([1, 3, 8, 100, 100_000].map(at_a_time), [1, 1, 2, 25, MOST_LETTERS]);
    }

    #[test]
    fn ids_are_asked_for_once_and_in_their_order() {
        let ids = ["b", "a", "b", "c", "a"].map(String::from);
        assert_eq!(each_once(&ids), ["b", "a", "c"]);
    }

    #[test]
    fn ids_that_nobody_knows_are_told() {
        let known = Letter { id: "a".into(), ..Letter::default() };
        let answers = [Changed { done: vec![known], ..Changed::default() }];
        assert_eq!(missing(&["a".into(), "b".into()], &answers), ["b"]);
    }
}
