//! Who hosts what, and where it listens.

use std::collections::BTreeMap;

use essaim::Roster;
use essaim::exit;
use essaim::store::DatabaseKind;

use super::page::Page;
use super::plan::Planned;

/// Who hosts what, and where it listens.
pub fn check(roster: &Roster, nodes: &[Planned], page: &mut Page) {
    page.title("Nodes");
    let width = nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
    let mut listening: BTreeMap<String, String> = BTreeMap::new();
    for node in nodes {
        let mut places: Vec<String> =
            node.listens().into_iter().map(|(of, address)| format!("{of} {}://{address}", node.scheme(of))).collect();
        places.sort();
        let places = if places.is_empty() { String::new() } else { format!("  ({})", places.join(", ")) };
        page.entry(&format!("{:<width$}  {}{places}", node.name, node.hosts.join(", ")));
        if node.hosts.is_empty() {
            page.problem(
                exit::CONFIG,
                format!("node `{}` hosts nothing: name capabilities in nodes.{0}.hosts", node.name),
            );
        }
        for (_, address) in node.listens() {
            if let Some(other) = listening.insert(address.clone(), node.name.clone())
                && !address.ends_with(":0")
            {
                let pair = format!("`{other}` and `{}`", node.name);
                page.warnings.push(format!("{pair} both listen at {address}: not on the same machine"));
            }
        }
    }
    for capability in roster.capabilities() {
        let hosts: Vec<&Planned> = nodes.iter().filter(|n| n.hosts.iter().any(|h| h == capability)).collect();
        let on_file = |n: &&&Planned| {
            roster.schema(capability).is_some() && DatabaseKind::of(capability, &n.config.settings).has_one_host()
        };
        match hosts.len() {
            // What a node hosts that has a mistake in its configuration is not known.
            0 if page.is_partial => {}
            0 => page.warnings.push(format!("no node hosts `{capability}`")),
            1 => {}
            _ if hosts.iter().any(|n| on_file(&n)) => {
                let names: Vec<_> = hosts.iter().map(|n| n.name.as_str()).collect();
                let key = format!("capabilities.{capability}.database");
                page.problem(
                    exit::CONFIG,
                    format!(
                        "`{capability}` keeps its data in SQLite and is hosted by {}: it can have one host; give it a \
                         PostgreSQL database ({key}), or host it in one node",
                        names.join(" and ")
                    ),
                );
            }
            _ => {}
        }
    }
}
