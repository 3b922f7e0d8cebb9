//! Who hosts what, and where it listens.

use std::collections::BTreeMap;

use essaim::Roster;
use essaim::config::Settings;
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
        let admin = &node.config.settings.node.admin_listen;
        let listen = node.hosts.iter().find_map(|host| node.config.value::<String>(host, "listen"));
        let mut places: Vec<String> = listen.iter().map(|l| format!("http://{l}")).collect();
        places.extend((!admin.is_empty()).then(|| format!("admin http://{admin}")));
        let places = if places.is_empty() { String::new() } else { format!("  ({})", places.join(", ")) };
        page.entry(&format!("{:<width$}  {}{places}", node.name, node.hosts.join(", ")));
        if node.hosts.is_empty() {
            page.problem(
                exit::CONFIG,
                format!("node `{}` hosts nothing: name capabilities in nodes.{0}.hosts", node.name),
            );
        }
        for address in listen.into_iter().chain((!admin.is_empty()).then(|| admin.clone())) {
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
        let on_file = |n: &&&Planned| roster.schema(capability).is_some() && !is_shared(capability, &n.config.settings);
        match hosts.len() {
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

fn is_shared(capability: &str, settings: &Settings) -> bool {
    let database = settings.capabilities.get(capability).map_or("", |c| &c.database);
    DatabaseKind::configured(database) == DatabaseKind::Postgres
}
