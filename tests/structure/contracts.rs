//! Wire names and the ask graph.

use std::collections::BTreeMap;

use essaim::cycle_in;

use super::source::{File, Files, line_of, names_in};
use super::{Breach, finds, keep};

/// A `const NAME` of a contract.
struct Name<'a> {
    file: &'a File,
    line: usize,
    /// The type it belongs to.
    owner: &'a str,
    /// `Capability` or `Message`.
    of: &'a str,
    /// The literal, if it is one.
    literal: Option<&'a str>,
}

fn contracts(files: &Files) -> impl Iterator<Item = &File> {
    files.rust().filter(|f| f.path.starts_with("actors/") && f.path.contains("/contract/src/"))
}

/// Every `impl Capability for X` and `impl Message for X`, with its name; also those that a macro of the same file
/// makes of `ask!(X, "name", …)`.
fn names(file: &File) -> Vec<Name<'_>> {
    let mut found = Vec::new();
    for (of, marker) in [("Capability", "impl Capability for "), ("Message", "impl Message for ")] {
        for (at, _) in file.text.match_indices(marker) {
            let block = &file.text[at + marker.len()..];
            let block = &block[..block.find("\n}").unwrap_or(block.len())];
            let owner = block.split([' ', '{']).next().unwrap_or_default();
            let Some(name_at) = block.find("const NAME: &'static str =") else { continue };
            let value = block[name_at..].split_once('=').map_or("", |(_, v)| v.trim_start());
            let value = value.split(';').next().unwrap_or_default().trim();
            let line = line_of(&file.text, at + marker.len() + name_at);
            // A macro that takes its name as a literal: its uses are looked at instead.
            if value.starts_with('$') && file.text.contains(&format!("{value}:literal")) {
                found.extend(names_by_macro(file, at));
            } else {
                found.push(Name { file, line, owner, of, literal: literal(value) });
            }
        }
    }
    found.sort_by_key(|n| n.line);
    found
}

/// The names given to the macro in whose definition the text at `inside` is.
fn names_by_macro(file: &File, inside: usize) -> Vec<Name<'_>> {
    let definition = file.text[..inside].rfind("macro_rules! ").map_or("", |at| &file.text[at + 13..]);
    let call = format!("\n{}!(", definition.split([' ', '{']).next().unwrap_or_default());
    let uses = file.text.match_indices(&call).map(|(at, _)| at + call.len());
    let names = uses.map(|at| {
        let mut arguments = file.text[at..].split([',', ')']).map(str::trim);
        let owner = arguments.next().unwrap_or_default();
        let literal = literal(arguments.next().unwrap_or_default());
        Name { file, line: line_of(&file.text, at), owner, of: "Message", literal }
    });
    names.collect()
}

fn literal(value: &str) -> Option<&str> {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"'))
}

fn wire_names_are_literals(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in contracts(files) {
        for name in names(file) {
            let fit = |text: &str| {
                text.starts_with(|c: char| c.is_ascii_lowercase())
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            };
            if !name.literal.is_some_and(fit) {
                breaches.push(
                    file.breach(name.line, format!("the name of `{}` is no literal of a-z, 0-9, - and _", name.owner)),
                );
            }
        }
        for derived in ["type_name", "module_path", "stringify", "concat"] {
            let lines = file.code().filter(|(_, line)| names_in(line, derived).next().is_some());
            breaches.extend(lines.map(|(number, _)| file.breach(number, format!("`{derived}` derives a text"))));
        }
    }
    breaches
}

/// The wire names of all messages of all contracts, such as `orders.place.v1`.
pub fn wire_names() -> Vec<String> {
    let mut wire_names = Vec::new();
    for file in contracts(Files::of_repository()) {
        let Some(capability) = file.path.split('/').nth(1) else { continue };
        for name in names(file).iter().filter(|n| n.of == "Message") {
            let version = version_after(file, name.line);
            // A macro's messages all have the version that stands in the macro.
            let version = if version.is_empty() { "1" } else { version };
            wire_names.extend(name.literal.map(|literal| format!("{capability}.{literal}.v{version}")));
        }
    }
    wire_names
}

#[test]
fn wire_names_are_written_out() {
    keep(wire_names_are_literals, "moving a type to another module must not change what is on the wire");
}

#[test]
fn a_derived_wire_name_is_found() {
    let text = "impl Message for A {\n    const NAME: &'static str = \"place\";\n}\nimpl Message for B {\n    const NAME: &'static str = PREFIX;\n}\nimpl Capability for C {\n    const NAME: &'static str = \"Shop\";\n}\nfn f() { module_path!() }";
    let by_macro = "macro_rules! ask {\n    ($m:ty, $name:literal) => {\n        impl Message for $m {\n            const NAME: &'static str = $name;\n        }\n    };\n}\nask!(A, \"good\");\nask!(\n    B, \"Bad\", C);\n";
    finds(wire_names_are_literals, &[("actors/b/contract/src/lib.rs", by_macro)], &["actors/b/contract/src/lib.rs:9"]);
    let samples = [("actors/a/contract/src/lib.rs", text), ("actors/a/src/lib.rs", text)];
    let expected =
        ["actors/a/contract/src/lib.rs:5", "actors/a/contract/src/lib.rs:8", "actors/a/contract/src/lib.rs:10"];
    finds(wire_names_are_literals, &samples, &expected);
}

fn wire_names_are_unique(files: &Files) -> Vec<Breach> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut breaches = Vec::new();
    for file in contracts(files) {
        for name in names(file) {
            let Some(literal) = name.literal else { continue };
            let full = match name.of {
                "Capability" => format!("capability {literal}"),
                // A second version of a message has its name again.
                _ => format!("{} {literal} {}", file.path, version_after(file, name.line)),
            };
            if let Some(other) = seen.insert(full, name.owner) {
                breaches.push(name.file.breach(name.line, format!("`{}` has the name of `{other}`", name.owner)));
            }
        }
    }
    breaches
}

/// The version that stands next to the name at this line.
fn version_after(file: &File, line: usize) -> &str {
    let block = file.lines().skip(line - 1).take_while(|(_, text)| !text.starts_with('}'));
    let mut versions = block.filter_map(|(_, text)| text.trim().strip_prefix("const VERSION: u16 ="));
    versions.next().unwrap_or_default().trim_matches([' ', ';'])
}

#[test]
fn no_two_messages_share_a_wire_name() {
    keep(wire_names_are_unique, "a name and a version say which message it is, and nothing else does");
}

#[test]
fn a_wire_name_that_is_used_twice_is_found() {
    let message = |owner: &str, version: u8| {
        format!(
            "impl Message for {owner} {{\n    const NAME: &'static str = \"a\";\n    const VERSION: u16 = {version};\n}}\n"
        )
    };
    let text = message("A", 1) + &message("B", 2) + &message("C", 1);
    finds(wire_names_are_unique, &[("actors/a/contract/src/lib.rs", &text)], &["actors/a/contract/src/lib.rs:10"]);
}

/// Which capability declares which asks, read from the actors' sources.
fn ask_graph(files: &Files) -> BTreeMap<String, (String, usize, Vec<String>)> {
    let mut graph = BTreeMap::new();
    for file in files.rust().filter(|f| f.path.starts_with("actors/") && !f.path.contains("/contract/")) {
        let Some(capability) = file.path.split('/').nth(1) else { continue };
        let Some(at) = file.text.find("const ASKS: &'static [&'static str] = &[") else { continue };
        let list = file.text[at..].split_once("= &[").map_or("", |(_, list)| list);
        let list = list.split(']').next().unwrap_or_default();
        let asked = list.split(',').map(|item| item.trim().trim_matches('"').trim_end_matches("::NAME"));
        let asked = asked.map(|item| item.rsplit("::").next().unwrap_or(item).to_lowercase());
        let asked = asked.filter(|item| !item.is_empty()).collect();
        graph.insert(capability.to_string(), (file.path.clone(), line_of(&file.text, at), asked));
    }
    graph
}

fn the_ask_graph_has_no_cycle(files: &Files) -> Vec<Breach> {
    let graph = ask_graph(files);
    let edges: BTreeMap<&str, Vec<&str>> =
        graph.iter().map(|(from, (_, _, to))| (from.as_str(), to.iter().map(String::as_str).collect())).collect();
    let Some(cycle) = cycle_in(&edges) else { return Vec::new() };
    let (path, line, _) = &graph[&cycle[0]];
    vec![Breach { path: path.clone(), line: *line, what: format!("a cycle: {}", cycle.join(" -> ")) }]
}

#[test]
fn asks_flow_down_an_acyclic_graph() {
    keep(
        the_ask_graph_has_no_cycle,
        "asks that go round wait for each other; the way back up is a command or an event",
    );
}

#[test]
fn a_cycle_of_asks_is_found() {
    let text = |to: &str| format!("impl Actor for X {{\n    const ASKS: &'static [&'static str] = &[{to}];\n}}");
    let (a, b) = (text("essaim_b_contract::B::NAME"), text("\"a\","));
    finds(
        the_ask_graph_has_no_cycle,
        &[("actors/a/src/lib.rs", &a), ("actors/b/src/lib.rs", &b)],
        &["actors/a/src/lib.rs:2"],
    );
}
