//! Rules of the source: the invariants of ARCHITECTURE.md, kept by reading the files as text.
//!
//! A rule is a function from files to breaches. It is tested twice: on samples that break it, which it must find, and on
//! the repository, in which it must find nothing. A breach names file and line and says why the rule is there.
//!
//! # Layout
//!
//! - [`source`]: the repository's files, and Rust text without comments, strings and tests.
//! - [`crates`]: which crate may depend on which, as `cargo metadata` reports it.
//! - [`layers`]: which files may use which crate, and what routes and contracts may reach.
//! - [`code`]: what no line of code may contain, and how long things may be.
//! - [`contracts`]: wire names and the ask graph.
//! - [`documents`]: configuration, guides and the commands they name.
//! - [`guide`]: that the code of docs/add-a-capability.md is the code of examples/hello.

mod code;
mod contracts;
mod crates;
mod documents;
mod guide;
mod layers;
mod source;

pub use contracts::wire_names;
use source::Files;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    path: String,
    line: usize,
    what: String,
}

type Rule = fn(&Files) -> Vec<Breach>;

/// Fails with every breach of a rule and with the rule's reason.
#[track_caller]
fn keep(rule: Rule, why: &str) {
    let breaches = rule(Files::of_repository());
    let places: Vec<String> = breaches.iter().map(|b| format!("  {}:{}: {}", b.path, b.line, b.what)).collect();
    assert!(places.is_empty(), "{why}\n{}", places.join("\n"));
}

/// Fails unless the rule finds exactly these lines (`path:line`) in the samples.
#[track_caller]
fn finds(rule: Rule, samples: &[(&str, &str)], expected: &[&str]) {
    let found: Vec<String> = rule(&Files::of(samples)).iter().map(|b| format!("{}:{}", b.path, b.line)).collect();
    assert_eq!(found, expected);
}
