//! Topologies, and what is said of them without asking servers.

use clap::Parser;
use essaim::Env;

use super::*;
use crate::cli::Cli;

/// The problems and warnings of a topology, as far as they can be seen without asking servers.
fn found(topology: &str) -> (Vec<String>, Vec<String>) {
    found_of(&crate::roster::roster(), topology)
}

/// As [`found`], of a binary with this roster.
fn found_of(roster: &Roster, topology: &str) -> (Vec<String>, Vec<String>) {
    let file = std::env::temp_dir().join(format!("essaim-check-{}.toml", Env::system().id()));
    std::fs::write(&file, topology).unwrap();
    let global = Cli::parse_from(["essaim", "check"]).global;
    let mut page = Page::default();
    let nodes = plan::plan(roster, &global, Some(&file), &mut page);
    std::fs::remove_file(&file).unwrap();
    let nodes = nodes.unwrap();
    hosting::check(roster, &nodes, &mut page);
    asks::check(roster, &nodes, &mut page);
    run_here(bridges::check(&nodes, &mut page));
    secrets::check(&nodes, &mut page);
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

#[test]
fn a_bridge_without_a_secret_is_named_and_nodes_that_refuse_each_other_are_a_problem() {
    let one = "one secret of more than 32 characters";
    let nodes = |a: &str, b: &str| {
        let topology = format!(
            "[bridge]\nurl = \"redis://127.0.0.1:1\"\n[nodes.a]\nhosts = [\"cache\"]\nset = {{ {a} }}\n\
             [nodes.b]\nhosts = [\"users\"]\nset = {{ {b} }}\n"
        );
        let (problems, warnings) = found(&topology);
        let about = |lines: Vec<String>| lines.into_iter().filter(|l| l.contains("secret")).collect::<Vec<_>>();
        (about(problems), about(warnings))
    };
    let secret = format!("\"bridge.secret\" = \"{one}\"");
    let (problems, warnings) = nodes("", "");
    assert!(
        problems.is_empty() && warnings.len() == 1 && warnings[0].contains("openssl rand -hex 32"),
        "{warnings:#?}"
    );
    assert_eq!(nodes(&secret, &secret), (vec![], vec![]));
    let (problems, _) = nodes(&secret, "");
    assert!(problems.len() == 1 && problems[0].starts_with("`a` refuses what `b` says"), "{problems:#?}");
    let (problems, warnings) = nodes(&format!("{secret}, \"bridge.unsigned\" = \"accept\""), "");
    assert!(problems.is_empty() && warnings.len() == 1 && warnings[0].starts_with("`a` believes"), "{warnings:#?}");
    let other = "\"bridge.secret\" = \"another secret of more than 32 characters\"";
    let both = format!("{other}, \"bridge.old_secrets\" = [\"{one}\"]");
    let (problems, _) = nodes(&secret, &both);
    assert!(problems.len() == 1 && problems[0].starts_with("`a` refuses what `b` says"), "{problems:#?}");
}

#[test]
fn one_wrong_key_is_one_problem_and_no_warning() {
    let topology = format!(
        "[ask]\ntimeout_sec = 1\n[bridge]\nurl = \"redis://127.0.0.1:1\"\n[nodes.a]\n{ALL}[nodes.b]\nhosts = [\"cache\"]\n"
    );
    let (problems, warnings) = found(&topology);
    assert!(problems.len() == 1 && problems[0].contains("timeout_sec"), "{problems:#?}");
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_binary_without_a_capability_that_another_asks_is_judged_as_it_runs() {
    let roster = Roster::new().host::<essaim_gateway::GatewayActor>().provide(crate::roster::routes());
    let (problems, warnings) = found_of(&roster, "[nodes.only]\nhosts = [\"gateway\"]\n");
    assert_eq!(problems, [""; 0]);
    assert_eq!(warnings, ["`gateway` asks `auth`, which this binary does not have"]);
}

#[test]
fn a_route_that_two_capabilities_declare_is_a_problem_also_where_no_document_has_it() {
    use essaim_http::{RouteConfig, RouteSet, Routes};
    fn by_id(config: &mut RouteConfig) {
        config.get("/people/{id}", async || "");
    }
    fn by_name(config: &mut RouteConfig) {
        config.get("/people/{name}", async || "");
    }
    let of = |name, configure: fn(&mut RouteConfig)| Routes { name, configure, openapi: Default::default };
    let global = Cli::parse_from(["essaim", "check"]).global;
    let mut page = Page::default();
    let nodes = plan::plan(&crate::roster::roster(), &global, None, &mut page).unwrap();
    let twice = RouteSet::new([of("users", by_id), of("orders", by_name)]);
    routes::check(&twice, &nodes, &mut page);
    let said: Vec<String> = page.problems.into_iter().map(|p| p.reason).collect();
    assert_eq!(
        said,
        ["the gateway: `users` and `orders` both answer GET /people/{name}: give one of them another path"]
    );
}
