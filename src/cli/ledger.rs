//! `essaim ledger`: the counts of all durable messages by outcome, each measured where it is kept.

use clap::Args;
use essaim::Roster;
use essaim::api::{AskLedger, Ledger, LedgerLine, LogGap, moment};
use essaim::exit::{self, Fatal};

use super::Global;
use super::mark::{doubtful, wrong};
use super::operator::{At, Operator, not_known, tell_away};
use super::print::{self, columns};

/// `essaim ledger`
#[derive(Debug, Args)]
pub struct LedgerArgs {
    /// Only of this capability
    #[arg(long, value_name = "NAME")]
    capability: Option<String>,
    /// Ends with 65 unless every partition balances exactly, as each must while nothing is on its way, and no log was older than its
    /// database
    #[arg(long)]
    at_rest: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Prints the ledger, and checks it if it is to balance.
///
/// # Errors
/// If the node does not answer, or the ledger should balance and does not.
pub fn run(roster: &Roster, global: &Global, arguments: &LedgerArgs) -> Result<(), Fatal> {
    let operator = Operator::find(roster, global, &arguments.at)?;
    let ledger = operator.ask(&AskLedger { capability: arguments.capability.clone() })?;
    tell_away(&ledger.away);
    if arguments.json {
        print::json(&ledger);
    } else {
        print::page(&table(&ledger, arguments.at_rest));
    }
    if let Some(capability) = &arguments.capability {
        is_known(capability, &ledger)?;
    }
    if !arguments.at_rest {
        return if ledger.away.is_empty() { Ok(()) } else { Err(not_known("what became of all messages")) };
    }
    let lines = ledger.lines.iter();
    let wrong: Vec<String> = lines.flat_map(|line| imbalance(line).into_iter().chain(gaps(line))).collect();
    match (wrong.is_empty(), ledger.away.is_empty()) {
        (false, _) => Err(Fatal::new(exit::DATA, wrong.join("; "))),
        (true, false) => Err(not_known("whether all balances")),
        (true, true) => Ok(()),
    }
}

/// Checks that the log knows a capability: each that it knows has partitions, or a host that did not answer.
///
/// # Errors
/// If it does not.
pub fn is_known(capability: &str, ledger: &Ledger) -> Result<(), Fatal> {
    if ledger.lines.is_empty() && ledger.away.is_empty() {
        return Err(Fatal::new(exit::DATA, format!("the log knows no capability `{capability}`")));
    }
    Ok(())
}

fn table(ledger: &Ledger, at_rest: bool) -> String {
    let heading = [
        "CAPABILITY",
        "PARTITION",
        "APPENDED",
        "HANDLED",
        "DUPLICATES",
        "DIED",
        "EXPIRED",
        "IN FLIGHT",
        "DIFFERENCE",
        "OWNER",
    ];
    let mut rows = vec![heading.map(String::from)];
    for line in ledger.lines.iter().filter(|line| line.appended > 0 || line.difference() != 0) {
        rows.push([
            line.capability.clone(),
            line.partition.to_string(),
            line.appended.saturating_add_signed(line.before).to_string(),
            line.handled.to_string(),
            line.duplicates.to_string(),
            line.dead.to_string(),
            line.expired.to_string(),
            (line.waiting + line.parked).to_string(),
            difference(line, at_rest),
            line.owner.clone().unwrap_or_else(|| "-".into()),
        ]);
    }
    if rows.len() == 1 {
        return "no durable message was ever stored\n".into();
    }
    let label =
        if at_rest { "" } else { "approximate while messages are on their way; --at-rest checks that all balances\n" };
    let gaps: String = ledger.lines.iter().flat_map(gaps).map(|gap| format!("{gap}\n")).collect();
    format!("{}{label}{gaps}", columns(&rows))
}

/// The messages of a partition that its log has forgotten.
fn gaps(line: &LedgerLine) -> impl Iterator<Item = String> {
    line.gaps.iter().map(|LogGap { first, through, found_ms }| {
        let (messages, last) = (through.saturating_sub(*first), through.saturating_sub(1));
        format!(
            "`{}`, partition {}: at {} the log was found to be older than the database. It had forgotten {messages} messages (offsets {first} \
             to {last}): those that were applied stay done, the others are gone. Whether more came behind them nobody knows",
            line.capability,
            line.partition,
            moment(*found_ms),
        )
    })
}

/// While messages move it is about 0; at rest it must be.
fn difference(line: &LedgerLine, at_rest: bool) -> String {
    match line.difference() {
        0 => "0".into(),
        difference if at_rest => wrong(&difference.to_string()),
        difference => doubtful(&difference.to_string()),
    }
}

/// What is wrong with a partition, if anything is.
fn imbalance(line: &LedgerLine) -> Option<String> {
    let difference = line.difference();
    let what = match difference {
        0 => return None,
        ..0 => format!("{} messages are missing", difference.unsigned_abs()),
        1.. => format!("{difference} messages are counted that were never appended"),
    };
    let rest = match line.waiting {
        0 => String::new(),
        waiting => format!(", but {waiting} wait in the log: it is not at rest"),
    };
    Some(format!("`{}`, partition {}: {what}{rest}", line.capability, line.partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> LedgerLine {
        LedgerLine { capability: "orders".into(), partition: 3, appended: 9, handled: 7, ..LedgerLine::default() }
    }

    #[test]
    fn an_imbalance_names_partition_and_difference() {
        assert_eq!(imbalance(&line()).unwrap(), "`orders`, partition 3: 2 messages are missing");
        let more = LedgerLine { handled: 8, waiting: 2, ..line() };
        let expected = "`orders`, partition 3: 1 messages are counted that were never appended, but 2 wait in the log: it \
                        is not at rest";
        assert_eq!(imbalance(&more).unwrap(), expected);
        assert_eq!(imbalance(&LedgerLine { parked: 2, ..line() }), None);
    }

    #[test]
    fn what_a_log_has_forgotten_is_named_also_where_the_rest_balances() {
        let gap = LogGap { first: 7, through: 9, found_ms: 1_767_225_600_000 };
        let line = LedgerLine { handled: 9, gaps: vec![gap], ..line() };
        let expected = "`orders`, partition 3: at 2026-01-01T00:00:00Z the log was found to be older than the database. It had \
                        forgotten 2 messages (offsets 7 to 8): those that were applied stay done, the others are gone. Whether more \
                        came behind them nobody knows";
        assert_eq!((imbalance(&line), gaps(&line).collect::<Vec<_>>()), (None, vec![expected.to_string()]));
        assert!(table(&Ledger { lines: vec![line], away: Vec::new() }, true).ends_with(&format!("{expected}\n")));
    }

    #[test]
    fn partitions_that_nothing_was_sent_to_are_not_shown() {
        let idle = LedgerLine { capability: "users".into(), ..LedgerLine::default() };
        let ledger = Ledger { lines: vec![line(), idle.clone()], away: Vec::new() };
        let shown = table(&ledger, false);
        assert!(shown.contains("orders") && !shown.contains("users") && shown.contains("approximate"), "{shown}");
        assert_eq!(
            table(&Ledger { lines: vec![idle], away: Vec::new() }, true),
            "no durable message was ever stored\n"
        );
    }
}
