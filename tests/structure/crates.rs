//! Which crate may depend on which: the direction of the wings, as Cargo itself reports the workspace.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::repository;

/// The wings of the runtime by folder, each list above the one before it. A wing depends on wings of lower lists alone.
const WINGS: &[&[&str]] = &[
    &["supervisor/contract"],
    &["supervisor/base"],
    &["supervisor/config", "supervisor/protocol", "supervisor/near"],
    &["supervisor/trace"],
    &["supervisor/store", "supervisor/remote", "supervisor/logs", "supervisor/otlp"],
    &[
        "supervisor/durable",
        "supervisor/gather",
        "supervisor/audit",
        "supervisor/bridges/embedded",
        "supervisor/bridges/redis",
    ],
    &["supervisor/core"],
    &["supervisor/operate"],
    &["supervisor/testing", "supervisor/cli"],
    &["supervisor"],
];

/// The lowest wing above the core.
const ABOVE_THE_CORE: &str = "supervisor/operate";

/// Crates that the core must be able to do without, so that a binary which does not want them does not build them.
const NOT_IN_THE_CORE: &[&str] = &["redis", "actix-web", "prometheus-client", "moka", "rdkafka", "lapin", "wasmtime"];

/// What Cargo prints.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(repository()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints text")
}

/// A crate of the workspace that depends on another one.
#[derive(Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
}

/// The folder of a package's manifest, relative to the workspace.
fn folder_of(package: &Value, root: &str) -> String {
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let folder = manifest.trim_end_matches("Cargo.toml").strip_prefix(root).unwrap_or(manifest);
    folder.trim_matches('/').to_string()
}

fn packages(metadata: &Value) -> impl Iterator<Item = (String, &Value)> {
    let root = metadata["workspace_root"].as_str().unwrap_or_default().to_string();
    metadata["packages"].as_array().into_iter().flatten().map(move |package| (folder_of(package, &root), package))
}

/// Dependencies of a package that ship with it: those of its tests are none.
fn shipped(package: &Value) -> impl Iterator<Item = &Value> {
    package["dependencies"].as_array().into_iter().flatten().filter(|d| d["kind"] != "dev")
}

/// The dependencies among the workspace's own crates.
fn edges(metadata: &Value) -> Vec<Edge> {
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let mut edges = Vec::new();
    for (from, package) in packages(metadata) {
        let own = shipped(package).filter_map(|d| d["path"].as_str()?.strip_prefix(root));
        edges.extend(own.map(|to| Edge { from: from.clone(), to: to.trim_matches('/').to_string() }));
    }
    edges
}

fn height(folder: &str) -> Option<usize> {
    WINGS.iter().position(|wings| wings.contains(&folder))
}

fn is_allowed(Edge { from, to }: &Edge) -> bool {
    let is_contract = |folder: &str| folder.ends_with("/contract");
    match (from.as_str(), height(from)) {
        // The binary, its tests and the benchmarks see everything.
        ("" | "bench", _) => true,
        // No wing depends on one beside or above it, and the runtime knows no capability.
        (_, Some(from)) => height(to).is_some_and(|to| to < from),
        (from, None) if from.starts_with("supervisor/") => false,
        (from, None) if is_contract(from) => to == "supervisor/contract",
        // Capabilities, what they share, examples: contracts, what is shared and the library.
        (_, None) => is_contract(to) || matches!(to.as_str(), "supervisor" | "actors/gateway/http" | "actors/text"),
    }
}

fn refused(metadata: &Value) -> Vec<String> {
    let wrong = edges(metadata).into_iter().filter(|edge| !is_allowed(edge));
    let mut found: Vec<_> = wrong.map(|Edge { from, to }| format!("{from} depends on {to}")).collect();
    let core =
        packages(metadata).filter(|(folder, _)| height(folder).is_some() && height(folder) < height(ABOVE_THE_CORE));
    for (folder, package) in core.filter(|(folder, _)| !folder.starts_with("supervisor/bridges/")) {
        let unwanted = shipped(package).filter(|d| d["optional"] != true).filter_map(|d| d["name"].as_str());
        let unwanted = unwanted.filter(|name| NOT_IN_THE_CORE.contains(name));
        found.extend(unwanted.map(|name| format!("{folder} cannot do without {name}")));
    }
    found
}

#[test]
fn the_crates_of_the_workspace_point_one_way() {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: Value = serde_json::from_str(&output).expect("cargo prints JSON");
    assert!(edges(&metadata).len() > 20, "the workspace was not found: {output}");
    let refused = refused(&metadata);
    assert!(
        refused.is_empty(),
        "a wing depends on those below it alone, and a capability on contracts alone: only so can each be built, tested and \
         replaced without the others\n  {}",
        refused.join("\n  ")
    );
}

#[test]
fn a_binary_for_one_process_on_sqlite_builds_no_client_of_a_server() {
    let tree =
        ["tree", "--offline", "-p", "essaim-platform", "--no-default-features", "-e", "normal", "--prefix", "none"];
    let output = cargo(&tree);
    let crates: BTreeSet<&str> = output.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("sqlx-sqlite"), "the tree was not found: {output}");
    let unwanted = ["redis", "sqlx-postgres", "essaim-bridge-redis", "moka", "tonic", "hyper"]
        .into_iter()
        .filter(|name| crates.contains(name));
    assert_eq!(unwanted.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn an_edge_against_the_direction_is_found() {
    let package = |folder: &str, dependencies: &[(&str, &str)]| {
        let on = |(kind, to): &(&str, &str)| match to.split_once('/') {
            None if *kind == "crate" => json!({ "name": to, "kind": null, "optional": false }),
            _ => json!({ "name": "x", "kind": (*kind == "dev").then_some("dev"), "path": format!("/w/{to}") }),
        };
        let dependencies: Vec<_> = dependencies.iter().map(on).collect();
        json!({ "manifest_path": format!("/w/{folder}/Cargo.toml"), "dependencies": dependencies })
    };
    let metadata = json!({ "workspace_root": "/w", "packages": [
        package("supervisor/store", &[("", "supervisor/config"), ("", "supervisor/remote"), ("dev", "supervisor/core")]),
        package("supervisor/base", &[("", "supervisor/store")]),
        package("supervisor/core", &[("", "actors/users/contract"), ("crate", "redis")]),
        package("supervisor/bridges/redis", &[("", "supervisor/protocol"), ("crate", "redis")]),
        package("supervisor/operate", &[("", "supervisor/core"), ("", "supervisor/testing"), ("crate", "actix-web")]),
        package("supervisor/testing", &[("", "supervisor/operate"), ("", "supervisor")]),
        package("supervisor", &[("", "supervisor/core"), ("", "supervisor/operate"), ("", "supervisor/testing")]),
        package("supervisor/new", &[("", "supervisor/base")]),
        package("actors/users/contract", &[("", "supervisor/contract"), ("", "supervisor/base")]),
        package("actors/orders", &[("", "actors/users/contract"), ("", "actors/users"), ("", "supervisor/core")]),
        package("actors/cache", &[("", "supervisor"), ("", "supervisor/testing")]),
    ]});
    let expected = [
        "supervisor/store depends on supervisor/remote",
        "supervisor/base depends on supervisor/store",
        "supervisor/core depends on actors/users/contract",
        "supervisor/operate depends on supervisor/testing",
        "supervisor/testing depends on supervisor",
        "supervisor/new depends on supervisor/base",
        "actors/users/contract depends on supervisor/base",
        "actors/orders depends on actors/users",
        "actors/orders depends on supervisor/core",
        "actors/cache depends on supervisor/testing",
        "supervisor/core cannot do without redis",
    ];
    assert_eq!(refused(&metadata), expected);
}
