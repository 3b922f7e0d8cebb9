//! `essaim erase`: what is kept of a subject, such as a user, in messages and records; it is listed, and erased.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use essaim::api::{EraseSubject, ErasedSubject, FindSubject, KeptOfSubject};
use essaim::exit::{self, Fatal};
use essaim::{Roster, run as run_here};

use super::Global;
use super::confirm::confirm;
use super::operator::{At, Operator, not_known, tell_away};
use super::print::{self, columns};

/// How often it is looked whether all is gone, and the pause before each look.
const TURNS: u32 = 12;
const BETWEEN_TURNS: Duration = Duration::from_millis(500);

/// `essaim erase`
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// The subject: the id of a user
    subject: String,
    /// Lists only
    #[arg(long, conflicts_with_all = ["yes", "parked"])]
    list: bool,
    /// Erases messages too that wait for another attempt or for their time: they are never applied then
    #[arg(long)]
    parked: bool,
    /// Does not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: At,
}

/// Lists what is kept, asks, and has it erased until nothing is left but what is still to be applied.
///
/// # Errors
/// If the node or a capability does not answer, or something is left: what is to be applied, or what was refused.
pub fn run(roster: &Roster, global: &Global, arguments: &EraseArgs) -> Result<(), Fatal> {
    let operator = Operator::find(roster, global, &arguments.at)?;
    let find = || operator.ask(&FindSubject { subject: arguments.subject.clone() });
    let mut found = find()?;
    print::page(&table(&found));
    tell_away(&found.away);
    let goes = |found: &KeptOfSubject| {
        let kept = found.kept.iter().filter(|kept| !kept.waits() || (arguments.parked && kept.place == "parked"));
        kept.count() as u64 + found.records
    };
    if !arguments.list && goes(&found) > 0 {
        let question = format!("Erase {} for good?", messages_and_records(goes(&found)));
        if !confirm(&question, arguments.yes)? {
            return Ok(());
        }
        // Owners drop letters a moment later, and what was in the memory of nodes is stored a moment later.
        for _ in 0..TURNS {
            if goes(&found) > 0 {
                erase(&operator, arguments)?;
            }
            run_here(async { tokio::time::sleep(BETWEEN_TURNS).await });
            found = find()?;
            if goes(&found) == 0 && found.kept.iter().all(|kept| kept.place == "parked") {
                break;
            }
        }
        if goes(&found) > 0 {
            let left = messages_and_records(goes(&found));
            return Err(Fatal::new(
                exit::DATA,
                format!("{left} of it are there again, or could not be erased: run this again"),
            ));
        }
    }
    if !found.away.is_empty() {
        return Err(not_known("whether all that is kept was found"));
    }
    match found.kept.iter().filter(|kept| kept.waits()).count() {
        0 => Ok(()),
        waits => Err(Fatal::new(
            exit::DATA,
            format!(
                "{} still to be applied and stay until then: run this again, or with --parked where they wait for another attempt",
                if waits == 1 { "1 message is".into() } else { format!("{waits} messages are") }
            ),
        )),
    }
}

fn erase(operator: &Operator, arguments: &EraseArgs) -> Result<(), Fatal> {
    let erased = operator.ask(&EraseSubject { subject: arguments.subject.clone(), parked: arguments.parked })?;
    let ErasedSubject { dead, retained, parked, records, .. } = erased;
    if dead + retained + parked + records > 0 {
        print::line(&format!(
            "erased: {dead} dead letters, {retained} retained events, {parked} parked messages, {records} message records"
        ));
    }
    erased.refused.iter().for_each(|why| print::line(&format!("not erased: {why}")));
    Ok(())
}

fn messages_and_records(count: u64) -> String {
    if count == 1 { "1 message or record".into() } else { format!("{count} messages and records") }
}

/// How many are where, by their kinds.
fn table(found: &KeptOfSubject) -> String {
    if found.kept.is_empty() && found.records == 0 {
        return "nothing is kept of it\n".into();
    }
    let mut counts: BTreeMap<(&str, &str, &str), (u64, &str)> = BTreeMap::new();
    for kept in &found.kept {
        let count = counts.entry((&kept.capability, &kept.place, &kept.name)).or_insert((0, &kept.id));
        count.0 += 1;
    }
    let mut rows = vec![["CAPABILITY", "PLACE", "MESSAGE", "COUNT", "FIRST ID"].map(String::from)];
    for ((capability, place, name), (count, id)) in counts {
        let name = if name.is_empty() { "(unreadable)" } else { name };
        rows.push([capability, place, name, &count.to_string(), id].map(String::from));
    }
    if found.records > 0 {
        rows.push(["-", "records", "-", &found.records.to_string(), "-"].map(String::from));
    }
    let more = if found.more { "there are more\n" } else { "" };
    format!("{}{more}", columns(&rows))
}

#[cfg(test)]
mod tests {
    use essaim::api::KeptRecord;

    use super::*;

    #[test]
    fn what_is_kept_is_counted_by_place_and_kind() {
        let kept = |place: &str, id: &str| KeptRecord {
            capability: "shop".into(),
            place: place.into(),
            name: "shop.sell.v1".into(),
            id: id.into(),
        };
        let kept = vec![kept("dead", "a"), kept("dead", "b"), kept("parked", "c")];
        let shown = table(&KeptOfSubject { kept, records: 3, ..KeptOfSubject::default() });
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["shop", "dead", "shop.sell.v1", "2", "a"]);
        assert_eq!(lines[2], ["shop", "parked", "shop.sell.v1", "1", "c"]);
        assert_eq!(lines[3], ["-", "records", "-", "3", "-"]);
        assert_eq!(table(&KeptOfSubject::default()), "nothing is kept of it\n");
    }
}
