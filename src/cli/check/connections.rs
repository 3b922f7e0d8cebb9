//! The connections that the nodes of a topology may take of each PostgreSQL server, beside those that it has.

use std::collections::BTreeMap;

use essaim::Roster;
use essaim::exit;
use essaim::store::{self, ConnectionBudget};

use super::page::Page;
use super::plan::Planned;

/// What nodes may take of one server.
struct Demand<'a> {
    most: usize,
    nodes: usize,
    /// A capability and a node that lead to the server.
    asked_by: (&'a str, &'a Planned),
}

/// Adds up what all nodes may take of each server, and names the remedy where it is more than the server has.
pub async fn check(roster: &Roster, nodes: &[Planned], page: &mut Page) {
    let mut servers: BTreeMap<String, Demand<'_>> = BTreeMap::new();
    for node in nodes {
        let settings = &node.config.settings;
        let keeping = || node.hosts.iter().map(String::as_str).filter(|host| roster.schema(host).is_some());
        if let Err(error) = ConnectionBudget::of(settings, keeping()) {
            page.problem(exit::CONFIG, format!("node `{}`: {error}", node.name));
        }
        let mut hosted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for host in keeping() {
            if let Some(server) = store::server_of(host, settings) {
                hosted.entry(server).or_default().push(host);
            }
        }
        for (server, hosts) in hosted {
            let most = ConnectionBudget::most_of(settings, hosts.iter().copied());
            let demand = servers.entry(server).or_insert(Demand { most: 0, nodes: 0, asked_by: (hosts[0], node) });
            demand.most += most;
            demand.nodes += 1;
        }
    }
    for (server, Demand { most, nodes, asked_by: (capability, node) }) in servers {
        let Some(room) = store::server_room(capability, &node.config.settings).await else { continue };
        page.entry(&format!("{server}: {nodes} node(s) may take {most} of its {room} connections"));
        if most > room {
            page.problem(
                exit::CONFIG,
                format!(
                    "PostgreSQL at {server} has {room} connections for its users, and {nodes} node(s) may take {most}: lower \
                     store.node_connections to {}, raise the server's max_connections by {}, or put a pooler before it",
                    room / nodes,
                    most - room
                ),
            );
        }
    }
}
