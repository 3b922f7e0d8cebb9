//! `essaim ledger`: the counts of all durable messages by outcome, each measured where it is kept.

use clap::Args;
use essaim::Roster;
use essaim::api::{AskLedger, Ledger, LedgerLine};
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
    /// Ends with 65 unless every partition balances exactly; while nothing is on its way, each must
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
    let wrong: Vec<String> = ledger.lines.iter().filter_map(imbalance).collect();
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
    format!("{}{label}", columns(&rows))
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
