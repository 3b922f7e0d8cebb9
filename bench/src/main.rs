//! Essaim beside what it is built on and beside its peers.
//!
//! Both sides of a comparison run in turns, a round after the other, and each measurement is a process of its own; so
//! other load of the machine meets both sides, and the ratio is what counts. Figures of one machine mean little on
//! another, ratios more.
//!
//! # Layout
//!
//! - [`compare`]: rounds, medians and the table; [`suites`]: what is compared, and what is aimed at.
//! - [`local`], [`remote`], [`durable`], [`requests`], [`start`]: one measurement each.
//! - [`records`]: any of them, with more or fewer message records kept.
//! - [`echo`]: the capability that is asked; [`server`], [`postgres`]: child processes.

// It measures by the machine's own clock.
#![allow(clippy::disallowed_methods)]

mod compare;
mod durable;
mod echo;
mod local;
mod postgres;
mod records;
mod remote;
mod requests;
mod server;
mod start;
mod suites;

type Error = Box<dyn std::error::Error>;

const USAGE: &str = "usage: essaim-bench [SUITE]... [--rounds N] [--write FILE]
       essaim-bench case NAME...      one measurement, told as a number";

fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let (mut suites, mut rounds, mut file) = (Vec::new(), 5, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "case" => {
                let words: Vec<String> = words.collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                println!("{}", measure(&words)?);
                return Ok(());
            }
            "respond" => return remote::respond(&words.next().ok_or(USAGE)?),
            "work" => return durable::work(&words.collect::<Vec<_>>()),
            "serve" => return requests::bare::serve(&words.collect::<Vec<_>>()),
            "--rounds" => rounds = words.next().ok_or(USAGE)?.parse()?,
            "--write" => file = Some(words.next().ok_or(USAGE)?),
            suite if suites::NAMES.contains(&suite) => suites.push(suite.to_string()),
            _ => return Err(format!("{USAGE}\nsuites: {}", suites::NAMES.join(" ")).into()),
        }
    }
    let table = suites::run(&suites, rounds)?;
    println!("\n{table}");
    match file {
        Some(file) => compare::write_into(&file, &table),
        None => Ok(()),
    }
}

/// One measurement, in its comparison's unit.
fn measure(case: &[&str]) -> Result<f64, Error> {
    match *case {
        ["local", system] => local::run(system),
        ["remote", system, in_flight] => remote::run(system, in_flight.parse()?),
        ["durable", system, what] => durable::run(system, what),
        ["requests", system, route] => requests::run(system, route),
        ["start", what] => start::run(what),
        ["records", kept, ref case @ ..] => records::run(kept, case),
        _ => Err(format!("no case {case:?}").into()),
    }
}
