//! Bytes that other nodes, of other versions or in other languages, rely on.
//!
//! `messages.txt` holds one line for each form that a message, a reply or a business error takes on the wire: its name,
//! what it is, and its MessagePack in hexadecimal. A test encodes samples and decodes the lines: it shows the author of
//! a changed contract what the change does to nodes that are already running. A changed form is a new version of the
//! message; `ESSAIM_BLESS=1` writes lines for new ones.
//!
//! # Layout
//!
//! - [`frames`]: whole frames, spoken to a real node by a client that knows only docs/protocol.md.
//! - [`samples`]: a sample of each form.
//! - [`record`]: the file, and how it is compared.

pub mod frames;
mod record;
mod samples;

use std::collections::BTreeSet;

use record::Record;

#[test]
fn every_form_on_the_wire_is_what_it_was() {
    recorded().compare("tests/golden/messages.txt");
}

#[test]
fn every_form_is_what_the_schemas_of_its_contract_say() {
    recorded().is_as_described();
}

fn recorded() -> Record {
    let mut record = Record::new();
    samples::users(&mut record);
    samples::auth(&mut record);
    samples::catalog(&mut record);
    samples::orders(&mut record);
    samples::cache(&mut record);
    samples::console(&mut record);
    samples::asks(&mut record);
    record
}

#[test]
fn every_message_of_every_contract_has_a_sample() {
    let recorded = std::fs::read_to_string(crate::support::repository().join("tests/golden/messages.txt"));
    let recorded = recorded.expect("the golden file is there");
    let recorded: BTreeSet<_> = recorded.lines().filter_map(|l| l.split(' ').next()).collect();
    let declared = crate::structure::wire_names();
    assert!(declared.len() > 10, "the contracts were not found: {declared:?}");
    let missing: Vec<_> = declared.iter().filter(|name| !recorded.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "no sample in tests/golden/samples.rs: {missing:?}");
}
