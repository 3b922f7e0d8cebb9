//! The bridge between the nodes.

use std::collections::BTreeMap;

use essaim::exit::{self, Fatal};
use essaim::{ClaimError, check_bridge};

use super::page::Page;
use super::plan::Planned;
use crate::cli::print;
use crate::serve::are_connected;

/// Whether the nodes can reach each other.
pub async fn check(nodes: &[Planned], page: &mut Page) {
    page.title("Bridge");
    let mut seen: BTreeMap<(&str, &str), &Planned> = BTreeMap::new();
    for node in nodes {
        let bridge = &node.config.settings.bridge;
        seen.entry((&bridge.url, &bridge.namespace)).or_insert(node);
    }
    if seen.len() > 1 {
        let names: Vec<_> = seen.values().map(|n| n.name.as_str()).collect();
        page.problem(
            exit::CONFIG,
            format!("nodes {} have different bridges: give all the same bridge.url and namespace", names.join(" and ")),
        );
    }
    for ((url, _), node) in seen {
        if let Err(alone) = are_connected(nodes.len(), &node.config) {
            page.problems.push(alone);
        } else if url.is_empty() {
            page.entry("embedded");
        } else {
            match check_bridge(&node.config.settings, nodes.len(), print::line).await {
                Ok(report) => {
                    page.entry(&report.server);
                    let problems = report.problems.into_iter();
                    page.problems
                        .extend(problems.map(|problem| Fatal::new(exit::BRIDGE, format!("the bridge: {problem}"))));
                    page.warnings.extend(report.warnings);
                }
                Err(error) => bridge_problem(page, &error),
            }
        }
    }
}

fn bridge_problem(page: &mut Page, error: &ClaimError) {
    let (what, code) = match error {
        ClaimError::Unsupported { .. } | ClaimError::Malformed { .. } => ("cannot be used", exit::CONFIG),
        ClaimError::Unreachable { .. } | ClaimError::Taken(_) => ("does not answer", exit::BRIDGE),
    };
    page.entry(what);
    page.problem(code, error.to_string());
}
