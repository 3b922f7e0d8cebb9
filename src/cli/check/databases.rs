//! The databases of capabilities.

use std::collections::BTreeSet;

use essaim::{Roster, exit, store};

use super::page::Page;
use super::plan::Planned;

/// Whether each capability's database can be used.
pub async fn check(roster: &Roster, nodes: &[Planned], page: &mut Page) {
    page.title("Databases");
    let mut seen = BTreeSet::new();
    for node in nodes {
        for host in &node.hosts {
            let Some(schema) = roster.schema(host) else { continue };
            let report = store::check(host, &node.config.settings, &schema).await;
            if !seen.insert((host.clone(), report.location.clone())) {
                continue;
            }
            page.entry(&report.to_string());
            if let Some(problem) = report.problem {
                page.problem(exit::DATA_DIR, format!("the database of `{host}`: {problem}"));
            }
        }
    }
}
