//! `essaim audit`: who has changed what.

use std::time::Duration;

use clap::Args;
use essaim::Env;
use essaim::Roster;
use essaim::api::{ListAudit, MOST_ACTS, moment};
use essaim::exit::{self, Fatal};
use essaim::operators::{AuditEntry, AuditQuestion};

use super::Global;
use super::follow::tell_away;
use super::operator::{At, Operator};
use super::print::{self, columns};

/// `essaim audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only acts of who has this name
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only acts with this in their words, such as replays or a message id
    #[arg(long, value_name = "TEXT")]
    what: Option<String>,
    /// Only acts since then: how long ago, such as 90m, 12h or 7d
    #[arg(long, value_name = "AGO", value_parser = ago)]
    since: Option<Duration>,
    /// The last acts, at most so many
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    last: u32,
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Prints acts of all nodes, the latest last.
///
/// # Errors
/// If no node answers, or not every node does.
pub fn run(roster: &Roster, global: &Global, args: &AuditArgs) -> Result<(), Fatal> {
    let operator = Operator::find(roster, global, &args.at)?;
    let since_ms = args.since.map_or(0, |ago| Env::system().wall().saturating_sub(ago).as_millis() as u64);
    let (who, what) = (args.who.clone(), args.what.clone());
    let mut question = AuditQuestion { who, what, since_ms, ..AuditQuestion::default() };
    let (mut acts, mut away) = (Vec::new(), Vec::new());
    while acts.len() < args.last as usize {
        question.most = MOST_ACTS.min(args.last - acts.len() as u32);
        let page = operator.ask(&ListAudit(question.clone()))?;
        acts.extend(page.acts);
        away = page.away;
        question.before = page.next;
        if question.before.is_none() {
            break;
        }
    }
    acts.reverse();
    print::page(&if args.json { lines(&acts) } else { table(&acts) });
    away.iter().for_each(tell_away);
    if away.is_empty() {
        return Ok(());
    }
    Err(Fatal::new(exit::UNAVAILABLE, "not every node answered: what was changed by those is not known".to_string()))
}

fn lines(acts: &[AuditEntry]) -> String {
    acts.iter().filter_map(|act| serde_json::to_string(act).ok()).map(|line| line + "\n").collect()
}

fn table(acts: &[AuditEntry]) -> String {
    if acts.is_empty() {
        return "nobody has changed anything\n".into();
    }
    let mut rows = vec![["WHEN", "WHO", "NODE", "WHAT", "END"].map(String::from)];
    rows.extend(acts.iter().map(|act| {
        let end = act.end.as_ref().map_or_else(
            || "not known".into(),
            |end| {
                let colon = if end.detail.is_empty() { "" } else { ": " };
                format!("{}{colon}{}", end.kind.as_str(), end.detail)
            },
        );
        [moment(act.at_ms), act.asker.to_string(), act.node.clone(), act.act.clone(), end]
    }));
    columns(&rows)
}

/// How long ago.
fn ago(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let seconds = match &text[unit..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 0,
    };
    let number: u64 = text[..unit].parse().unwrap_or(0);
    match number.checked_mul(seconds) {
        Some(span) if span > 0 => Ok(Duration::from_secs(span)),
        _ => Err("write how long ago, with a unit: 30s, 90m, 12h or 7d".into()),
    }
}

#[cfg(test)]
mod tests {
    use essaim::operators::{ActEnd, Asker, EndKind};

    use super::*;

    #[test]
    fn how_long_ago_has_a_unit() {
        assert_eq!(ago("90m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(ago("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in ["", "7", "d", "0d", "-1d", "1w", "99999999999999999999d", "9999999999999999999d"] {
            assert!(ago(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_table_says_who_and_how_it_ended() {
        let asker = Asker { who: "ann".into(), via: "token".into(), origin: "192.0.2.7".into() };
        let end = Some(ActEnd { kind: EndKind::Done, detail: "1 of 1".into() });
        let act = AuditEntry { node: "main".into(), id: 1, at_ms: 0, asker, act: "drops dead letters 7".into(), end };
        let shown = table(&[act.clone(), AuditEntry { end: None, ..act }]);
        for part in ["ann (token, 192.0.2.7)", "drops dead letters 7", "done: 1 of 1", "not known"] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}
