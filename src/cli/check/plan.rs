//! The nodes that are checked, each with its configuration.

use std::path::Path;

use essaim::Roster;
use essaim::config::Config;
use essaim::exit::Fatal;

use super::page::Page;
use crate::cli::Global;
use crate::cli::operator::admin_scheme;
use crate::serve::wrong;

/// The admin listener among what listens.
pub const ADMIN: &str = "admin";

/// One node as it would run.
pub struct Planned {
    pub name: String,
    pub hosts: Vec<String>,
    pub config: Config,
}

impl Planned {
    /// The scheme of the URL of what listens in it.
    pub fn scheme(&self, of: &str) -> &'static str {
        if of == ADMIN { admin_scheme(&self.config.settings.node) } else { "http" }
    }

    /// What listens in it, and where.
    pub fn listens(&self) -> Vec<(&str, String)> {
        let of_hosts = self.hosts.iter().filter_map(|host| Some((&**host, self.config.value(host, "listen")?)));
        let admin = self.config.settings.node.admin_listen.clone();
        of_hosts.chain((!admin.is_empty()).then_some((ADMIN, admin))).collect()
    }
}

/// The nodes of the topology, or the one of `essaim run`.
pub fn plan(roster: &Roster, global: &Global, topology: Option<&Path>, page: &mut Page) -> Result<Vec<Planned>, Fatal> {
    let names = global.layers(roster, topology, None)?.nodes();
    let whole = names.is_empty();
    let names: Vec<Option<String>> = if whole { vec![None] } else { names.into_iter().map(Some).collect() };
    page.title(&topology.map_or("one process (essaim run)".into(), |t| t.display().to_string()));
    let mut nodes = Vec::new();
    for name in names {
        match global.layers(roster, topology, name.as_deref())?.resolve() {
            Err(error) => {
                page.is_partial = true;
                page.shared_problem(wrong(error));
            }
            Ok(config) => {
                let hosts = match &name {
                    None => roster.capabilities().map(String::from).collect(),
                    Some(name) => config.settings.nodes.get(name).map(|n| n.hosts.clone()).unwrap_or_default(),
                };
                nodes.push(Planned { name: config.settings.node.name.clone(), hosts, config });
            }
        }
    }
    Ok(nodes)
}
