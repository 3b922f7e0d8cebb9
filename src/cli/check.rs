//! `essaim check`: what is wrong with configuration, databases, bridge and ask graph, on one page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use essaim::config::{Config, Settings};
use essaim::exit::{self, Fatal};
use essaim::store::{self, DatabaseKind};
use essaim::{ClaimError, Roster, check_bridge, check_export, cycle_in, run as run_here};

use super::{CheckArgs, Global};
use crate::serve::wrong;

/// One node as it would run.
struct Planned {
    name: String,
    hosts: Vec<String>,
    config: Config,
}

/// The page, and what is wrong.
#[derive(Default)]
struct Page {
    text: String,
    problems: Vec<Fatal>,
    warnings: Vec<String>,
}

impl Page {
    fn title(&mut self, title: &str) {
        self.line(title);
    }

    fn entry(&mut self, entry: &str) {
        self.line(&format!("  {entry}"));
    }

    fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn problem(&mut self, code: u8, what: impl Into<String>) {
        self.problems.push(Fatal::new(code, what));
    }
}

/// Prints the page.
///
/// # Errors
/// If anything is wrong: the code is the first problem's.
pub fn run(roster: &Roster, global: &Global, check: &CheckArgs) -> Result<(), Fatal> {
    let topology = check.topology.as_deref().or(global.config.as_deref());
    let mut page = Page::default();
    let nodes = plan(roster, global, topology, &mut page)?;
    hosting(roster, &nodes, &mut page);
    asks(roster, &nodes, &mut page);
    run_here(async {
        bridges(&nodes, &mut page).await;
        databases(roster, &nodes, &mut page).await;
        exports(&nodes, &mut page);
    });
    finish(page)
}

fn finish(mut page: Page) -> Result<(), Fatal> {
    for (title, lines) in
        [("Warnings", page.warnings.clone()), ("Problems", page.problems.iter().map(|p| p.reason.clone()).collect())]
    {
        if !lines.is_empty() {
            page.title(title);
        }
        for line in lines {
            page.entry(&line);
        }
    }
    if page.problems.is_empty() {
        page.line("Nothing is wrong.");
    }
    super::print::page(&page.text);
    match page.problems.len() {
        0 => Ok(()),
        1 => Err(Fatal::new(page.problems[0].code, "1 problem; see above")),
        count => Err(Fatal::new(page.problems[0].code, format!("{count} problems; see above"))),
    }
}

/// The nodes of the topology, or the one of `essaim run`.
fn plan(roster: &Roster, global: &Global, topology: Option<&Path>, page: &mut Page) -> Result<Vec<Planned>, Fatal> {
    let names = global.layers(roster, topology, None)?.nodes();
    let whole = names.is_empty();
    let names: Vec<Option<String>> = if whole { vec![None] } else { names.into_iter().map(Some).collect() };
    page.title(&topology.map_or("one process (essaim run)".into(), |t| t.display().to_string()));
    let mut nodes = Vec::new();
    for name in names {
        match global.layers(roster, topology, name.as_deref())?.resolve() {
            Err(error) => page.problems.push(wrong(error)),
            Ok(config) => {
                let hosts = match &name {
                    None => roster.capabilities().map(String::from).collect(),
                    Some(name) => config.settings.nodes.get(name).map(|n| n.hosts.clone()).unwrap_or_default(),
                };
                nodes.push(Planned { name: config.settings.node.name.clone(), hosts, config });
            }
        }
    }
    // One mistake in what all nodes share is one problem.
    page.problems.dedup();
    Ok(nodes)
}

/// Who hosts what, and where it listens.
fn hosting(roster: &Roster, nodes: &[Planned], page: &mut Page) {
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

/// Who asks whom.
fn asks(roster: &Roster, nodes: &[Planned], page: &mut Page) {
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
        for target in asked.iter().filter(|t| hosted.contains(capability) && !hosted.contains(**t)) {
            page.problem(exit::CONFIG, format!("`{capability}` asks `{target}`, which no node hosts"));
        }
    }
}

/// Whether the nodes can reach each other.
/// Whether records can be exported as configured; the receiver itself is not asked, since a node starts without it.
fn exports(nodes: &[Planned], page: &mut Page) {
    for node in nodes {
        if let Err(error) = check_export(&node.config.settings.trace.otlp) {
            page.problem(exit::CONFIG, error.to_string());
        }
    }
    page.problems.dedup();
}

async fn bridges(nodes: &[Planned], page: &mut Page) {
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
        if url.is_empty() && nodes.len() > 1 {
            page.problem(exit::CONFIG, "several nodes need a bridge: set bridge.url, such as redis://127.0.0.1:6379");
        } else if url.is_empty() {
            page.entry("embedded");
        } else {
            let limit = Duration::from_millis(node.config.settings.wire.response_timeout_ms);
            // Sentinels are asked one after the other.
            let patience = limit * 2 * (1 + url.matches(',').count() as u32);
            match tokio::time::timeout(patience, check_bridge(url, limit)).await {
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

/// Whether each capability's database can be used.
async fn databases(roster: &Roster, nodes: &[Planned], page: &mut Page) {
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use essaim::Env;

    use super::*;
    use crate::cli::Cli;

    /// The problems and warnings of a topology, as far as they can be seen without asking servers.
    fn found(topology: &str) -> (Vec<String>, Vec<String>) {
        let file = std::env::temp_dir().join(format!("essaim-check-{}.toml", Env::system().id()));
        std::fs::write(&file, topology).unwrap();
        let (roster, global) = (crate::roster::roster(), Cli::parse_from(["essaim", "check"]).global);
        let mut page = Page::default();
        let nodes = plan(&roster, &global, Some(&file), &mut page);
        std::fs::remove_file(&file).unwrap();
        let nodes = nodes.unwrap();
        hosting(&roster, &nodes, &mut page);
        asks(&roster, &nodes, &mut page);
        run_here(bridges(&nodes, &mut page));
        let name = file.display().to_string();
        (page.problems.into_iter().map(|p| p.reason.replace(&name, "FILE")).collect(), page.warnings)
    }

    const ALL: &str = "hosts = [\"users\", \"auth\", \"catalog\", \"orders\", \"cache\", \"console\", \"gateway\"]\n";

    #[test]
    fn one_node_that_hosts_all_is_right() {
        assert_eq!(found(&format!("[nodes.only]\n{ALL}")), (vec![], vec![]));
    }

    #[test]
    fn a_capability_on_sqlite_in_two_nodes_is_a_problem_and_on_postgresql_is_none() {
        let bridged = "[bridge]\nurl = \"redis://127.0.0.1:1\"\n";
        let nodes = format!("[nodes.a]\n{ALL}[nodes.b]\nhosts = [\"users\", \"cache\"]\n");
        let (problems, _) = found(&format!("{bridged}{nodes}"));
        let twice = "`users` keeps its data in SQLite and is hosted by a and b: it can have one host";
        assert!(problems.len() == 2 && problems[0].starts_with(twice), "{problems:#?}");
        assert!(problems[1].starts_with("the bridge at redis://127.0.0.1:1 does not answer"), "{problems:#?}");
        let shared = "[capabilities.users]\ndatabase = \"postgres://u@127.0.0.1:1/db\"\n";
        let (problems, _) = found(&format!("{bridged}{shared}{nodes}"));
        assert_eq!(problems.len(), 1, "{problems:#?}");
    }

    #[test]
    fn several_nodes_without_a_bridge_and_an_ask_that_nobody_hosts_are_problems() {
        let (problems, warnings) = found("[nodes.a]\nhosts = [\"gateway\"]\n[nodes.b]\nhosts = [\"orders\"]\n");
        let expected = [
            "`gateway` asks `auth`, which no node hosts",
            "several nodes need a bridge: set bridge.url, such as redis://127.0.0.1:6379",
        ];
        assert_eq!(problems, expected);
        // Orders asks nobody: what it sends to catalog waits until some node hosts it.
        for absent in ["cache", "catalog"] {
            assert!(warnings.contains(&format!("no node hosts `{absent}`")), "{warnings:#?}");
        }
    }

    #[test]
    fn nodes_with_different_bridges_are_a_problem() {
        let set = |space: &str| format!("set = {{ \"bridge.namespace\" = \"{space}\" }}\n");
        let topology = format!("[nodes.a]\n{ALL}{}[nodes.b]\nhosts = [\"cache\"]\n{}", set("x"), set("y"));
        let (problems, _) = found(&topology);
        assert!(problems[0].starts_with("nodes a and b have different bridges"), "{problems:#?}");
    }

    #[test]
    fn a_mistake_in_one_nodes_table_is_told_and_the_others_are_still_looked_at() {
        let topology = format!("[nodes.a]\n{ALL}[nodes.b]\nhosts = [\"cache\"]\nset = {{ \"node.arbiter\" = 1 }}\n");
        let expected = "FILE (nodes.b.set): unknown key `node.arbiter`: did you mean `node.arbiters`?";
        assert_eq!(found(&topology).0, [expected]);
    }
}
