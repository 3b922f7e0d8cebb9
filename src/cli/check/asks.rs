//! Who asks whom.

use std::collections::BTreeSet;

use essaim::{Roster, cycle_in, exit};

use super::page::Page;
use super::plan::Planned;

/// Who asks whom.
pub fn check(roster: &Roster, nodes: &[Planned], page: &mut Page) {
    let graph = roster.ask_graph();
    page.title("Asks");
    if let Some(cycle) = cycle_in(&graph) {
        let cycle = cycle.join(" -> ");
        page.problem(exit::CONFIG, format!("the capabilities ask each other in a circle: {cycle}"));
    }
    let hosted: BTreeSet<&str> = nodes.iter().flat_map(|n| &n.hosts).map(String::as_str).collect();
    for (capability, asked) in &graph {
        if asked.is_empty() {
            continue;
        }
        page.entry(&format!("{capability} -> {}", asked.join(", ")));
        if page.is_partial {
            continue;
        }
        for target in asked.iter().filter(|t| hosted.contains(capability) && !hosted.contains(**t)) {
            match graph.contains_key(*target) {
                true => page.problem(exit::CONFIG, format!("`{capability}` asks `{target}`, which no node hosts")),
                // A node of such a binary runs, and the rest of it may well be used.
                false => page.warnings.push(format!("`{capability}` asks `{target}`, which this binary does not have")),
            }
        }
    }
}
