//! The bridge between the nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use essaim::{ClaimError, check_bridge, exit};

use super::page::Page;
use super::plan::Planned;
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
            let limit = Duration::from_millis(node.config.settings.wire.response_timeout_ms);
            // Sentinels are asked one after the other.
            let patience = limit * 2 * (1 + url.matches(',').count() as u32);
            match tokio::time::timeout(patience, check_bridge(&node.config.settings.bridge, limit)).await {
                Ok(Ok(line)) => page.entry(&line),
                Ok(Err(error)) => bridge_problem(page, &error),
                Err(_) => {
                    let url = essaim::config::without_password(url);
                    let reason = format!("nothing within {} ms", patience.as_millis());
                    bridge_problem(page, &ClaimError::Unreachable { url, reason });
                }
            }
        }
    }
}

fn bridge_problem(page: &mut Page, error: &ClaimError) {
    let (what, code) = match error {
        ClaimError::Unsupported { .. } => ("cannot be used", exit::CONFIG),
        ClaimError::Unreachable { .. } | ClaimError::Taken(_) => ("does not answer", exit::BRIDGE),
    };
    page.entry(what);
    page.problem(code, error.to_string());
}
