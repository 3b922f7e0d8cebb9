//! Rounds, medians, and the table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::{Command, Stdio};

use crate::Error;
use crate::server::REDIS;

/// The words of one case, as in `essaim-bench case …`.
pub type Case = &'static [&'static str];

/// Ours beside theirs.
pub struct Comparison {
    pub what: &'static str,
    pub unit: &'static str,
    pub ours: Case,
    /// What theirs is, for the table.
    pub with: &'static str,
    pub theirs: Case,
    pub aim: Aim,
}

/// A figure that is compared with nothing.
pub struct Measure {
    pub what: &'static str,
    pub unit: &'static str,
    pub case: Case,
}

/// What the ratio of ours to theirs should be.
#[derive(Clone, Copy)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// No aim: the ratio is only shown.
    Open,
}

/// Runs every case once a round; the results as Markdown.
pub fn table(
    comparisons: &[Comparison],
    measures: &[Measure],
    rounds: usize,
    redis: Option<&str>,
) -> Result<String, Error> {
    let mut results: BTreeMap<Case, Vec<f64>> = BTreeMap::new();
    for round in 1..=rounds {
        let cases = comparisons.iter().flat_map(|c| [c.ours, c.theirs]).chain(measures.iter().map(|m| m.case));
        for case in cases {
            // A case that several comparisons share runs once a round.
            if results.get(case).is_some_and(|r| r.len() == round) {
                continue;
            }
            let result = child(case, redis)?;
            eprintln!("round {round} of {rounds}: {} {result:.2}", case.join(" "));
            results.entry(case).or_default().push(result);
        }
    }
    let mut table = String::new();
    if !comparisons.is_empty() {
        table += "| what | Essaim | beside it | ratio [least..most] | aim |\n|---|---|---|---|---|\n";
    }
    for c in comparisons {
        let (ours, theirs) = (&results[c.ours], &results[c.theirs]);
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let (ratio, least, most) = spread(&ratios);
        let aim = match c.aim {
            Aim::AtLeast(aim) => format!("≥ {aim}"),
            Aim::AtMost(aim) => format!("≤ {aim}"),
            Aim::Open => "–".into(),
        };
        let (ours, theirs) = (shown(spread(ours).0), shown(spread(theirs).0));
        let (what, with, unit) = (c.what, c.with, c.unit);
        writeln!(
            table,
            "| {what} | {ours} {unit} | {with}: {theirs} | **{ratio:.2}** [{least:.2}..{most:.2}] | {aim} |"
        )?;
    }
    if !measures.is_empty() {
        table += "\n| what | median [least..most] |\n|---|---|\n";
    }
    for m in measures {
        let (median, least, most) = spread(&results[m.case]);
        writeln!(table, "| {} | {} {} [{}..{}] |", m.what, shown(median), m.unit, shown(least), shown(most))?;
    }
    Ok(table)
}

/// Runs a case in a process of its own.
fn child(case: Case, redis: Option<&str>) -> Result<f64, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg("case").args(case).envs(redis.map(|url| (REDIS, url))).stderr(Stdio::piped()).output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{case:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    told.trim().parse().map_err(|_| format!("{case:?} told no number: {told}").into())
}

/// Median, least and most.
fn spread(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1])
}

fn shown(figure: f64) -> String {
    if figure < 100.0 { format!("{figure:.2}") } else { format!("{figure:.0}") }
}

const BEGIN: &str = "<!-- bench: written by `make bench` -->";
const END: &str = "<!-- /bench -->";

/// Puts the table between the marks of a document.
pub fn write_into(file: &str, table: &str) -> Result<(), Error> {
    let text = std::fs::read_to_string(file)?;
    let marks = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marks.ok_or_else(|| format!("{file} has no marks {BEGIN} and {END}"))?;
    Ok(std::fs::write(file, format!("{before}{BEGIN}\n{table}{END}{after}"))?)
}

#[test]
fn the_spread_is_median_least_and_most() {
    assert_eq!(spread(&[3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
}
