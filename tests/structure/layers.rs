//! Which files may use which crate, and what routes and contracts may reach.

use std::collections::BTreeSet;

use super::source::{File, Files, names_in};
use super::{Breach, finds, keep};

/// A crate that only some files may use.
struct Guarded {
    name: &'static str,
    may: fn(&str) -> bool,
}

const GUARDED: &[Guarded] = &[
    // The generic actor and the threads that it runs on.
    Guarded {
        name: "actix",
        may: |p| {
            matches!(p, "supervisor/core/src/local/cell.rs" | "supervisor/core/src/local/arbiters.rs")
                || is_benchmark(p)
        },
    },
    // What speaks HTTP: the gateway with its shared crate, the console, operators' requests, each capability's routes.
    Guarded {
        name: "actix_web",
        may: |p| {
            p.starts_with("actors/gateway/")
                || p.starts_with("actors/console/")
                || ["admin", "access", "askers", "https", "routes"]
                    .iter()
                    .any(|file| p == format!("supervisor/operate/src/{file}.rs"))
                || is_routes(p)
                || is_benchmark(p)
        },
    },
    // What writes the text of metrics; everything else counts with atomics of its own.
    Guarded { name: "prometheus_client", may: |p| p.starts_with("supervisor/operate/src/metrics/") },
    // What speaks OTLP, and the receivers of tests.
    Guarded {
        name: "opentelemetry_proto",
        may: |p| p.starts_with("supervisor/otlp/") || p.starts_with("tests/records/"),
    },
    Guarded { name: "tonic", may: |p| p.starts_with("supervisor/otlp/") || p.starts_with("tests/records/") },
    Guarded { name: "actix_http", may: |p| p.starts_with("actors/gateway/") || p == "supervisor/operate/src/https.rs" },
    Guarded {
        name: "redis",
        may: |p| p.starts_with("supervisor/bridges/redis/") || p.starts_with("tests/") || is_benchmark(p),
    },
];

/// Whether a file measures: what the runtime is built on is measured bare too.
fn is_benchmark(path: &str) -> bool {
    path.starts_with("bench/")
}

/// Whether a file holds a capability's routes.
fn is_routes(path: &str) -> bool {
    path.ends_with("/http.rs") || path.contains("/src/http/")
}

fn crates_stay_behind_their_file(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in files.rust() {
        for guarded in GUARDED.iter().filter(|g| !(g.may)(&file.path)) {
            // A module of that name in the same file is what the name means there.
            let module = format!("mod {};", guarded.name);
            let lines = file.code().filter(|(_, line)| uses_crate(line, guarded.name) && !file.text.contains(&module));
            breaches.extend(lines.map(|(line, _)| file.breach(line, format!("uses `{}`", guarded.name))));
        }
    }
    breaches
}

/// Whether a line of code reaches into a crate: `use actix;`, `use actix::…`, `actix::Addr`, `#[actix::main]`.
fn uses_crate(line: &str, name: &str) -> bool {
    names_in(line, name).any(|at| {
        let (before, after) = (line[..at].trim_end(), line[at + name.len()..].trim_start());
        // `crate::connection::redis::…` would be a module of ours.
        let own = before.ends_with("::") && !before.ends_with("use ::") && before != "::";
        let imported = (before.ends_with("use") || before.ends_with("extern crate")) && !after.starts_with("::");
        !own && (after.starts_with("::") || imported)
    })
}

#[test]
fn actix_actix_web_redis_and_prometheus_stay_where_they_belong() {
    keep(
        crates_stay_behind_their_file,
        "capabilities must not know what runs or carries them: actix stays in the cell and the arbiters, actix-web in \
         the gateway, the console, operators' requests and the http.rs files, redis in the bridge, and prometheus-client where the metrics \
         are written",
    );
}

#[test]
fn a_crate_used_outside_its_files_is_found() {
    let samples = [
        ("supervisor/core/src/node/bus.rs", "use crate::connection::redis::Wire; // actix::Addr\nuse actix::Addr;"),
        ("supervisor/core/src/local/cell.rs", "use actix::Addr;"),
        ("actors/shop/src/lib.rs", "fn f(a: &actix_web::App) {}\nuse redis;"),
        ("actors/shop/src/http.rs", "use actix_web::web;"),
        ("supervisor/bridges/redis/src/wire.rs", "use redis::Client;"),
        ("supervisor/core/src/node/connection.rs", "mod redis;\nuse redis::Wire;"),
        ("supervisor/operate/src/status.rs", "use prometheus_client::registry::Registry;"),
    ];
    let expected = [
        "supervisor/core/src/node/bus.rs:2",
        "actors/shop/src/lib.rs:1",
        "actors/shop/src/lib.rs:2",
        "supervisor/operate/src/status.rs:1",
    ];
    finds(crates_stay_behind_their_file, &samples, &expected);
}

/// One line of a manifest's dependency tables.
struct Dependency<'a> {
    line: usize,
    name: &'a str,
    /// The rest of the line.
    how: &'a str,
    /// Only its tests use it.
    for_tests: bool,
}

fn dependencies(manifest: &File) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut table = "";
    for (number, line) in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_end_matches(']');
        } else if let Some((name, how)) = line.split_once(['=', '.'])
            && matches!(table, "dependencies" | "dev-dependencies" | "build-dependencies")
        {
            let for_tests = table == "dev-dependencies";
            found.push(Dependency { line: number, name: name.trim(), how, for_tests });
        }
    }
    found
}

fn contracts_are_plain(files: &Files) -> Vec<Breach> {
    let contracts = files.manifests().filter(|m| m.path.ends_with("contract/Cargo.toml"));
    let refused = contracts.flat_map(|manifest| {
        let fine = |d: &Dependency<'_>| match d.name {
            "essaim-contract" | "serde" => true,
            "utoipa" | "serde_json" => d.how.contains("optional = true"),
            _ => d.for_tests,
        };
        let found = dependencies(manifest).into_iter().filter(move |d| !fine(d));
        found.map(|d| manifest.breach(d.line, format!("depends on `{}`", d.name))).collect::<Vec<_>>()
    });
    refused.collect()
}

#[test]
fn contracts_depend_on_serde_and_optional_schemas_alone() {
    keep(
        contracts_are_plain,
        "a contract is what every caller compiles: serde and, behind a feature, schema derives; no runtime",
    );
}

#[test]
fn a_contract_with_a_runtime_is_found() {
    let good = "[dependencies]\nserde.workspace = true\nutoipa = { workspace = true, optional = true }\n";
    let bad = "[package]\nname = \"x\"\n[dependencies]\nutoipa.workspace = true\ntokio = \"1\"\n[dev-dependencies]\nrmp-serde = \"1\"";
    let samples = [("actors/a/contract/Cargo.toml", good), ("actors/b/contract/Cargo.toml", bad)];
    let expected = ["actors/b/contract/Cargo.toml:4", "actors/b/contract/Cargo.toml:5"];
    finds(contracts_are_plain, &samples, &expected);
}

fn routes_know_contracts_and_a_client(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let capabilities = |f: &&File| is_routes(&f.path) && !f.path.starts_with("actors/gateway/");
    for file in files.rust().filter(capabilities) {
        for (number, line) in file.shipped() {
            for reach in ["sea_orm", "store", "Cx", "Tx", "Harness"] {
                if names_in(line, reach).next().is_some() {
                    breaches.push(file.breach(number, format!("uses `{reach}`")));
                }
            }
            let inside = |at: usize, from: &str| !line[at + from.len()..].trim_start_matches("::").starts_with("http");
            for from in ["crate", "super"] {
                // Where the routes are a folder its files see each other.
                let among_routes = from == "super" && file.path.contains("/src/http/");
                if names_in(line, from).any(|at| inside(at, from) && line[at + from.len()..].starts_with("::"))
                    && !among_routes
                {
                    breaches.push(file.breach(number, format!("reaches into the implementation through `{from}::`")));
                }
            }
        }
    }
    breaches
}

#[test]
fn routes_use_contracts_and_a_client_only() {
    keep(
        routes_know_contracts_and_a_client,
        "routes run in the gateway's process, where the capability's actor and database may not be: they know its \
         contract and a Client",
    );
}

#[test]
fn routes_that_reach_into_the_implementation_are_found() {
    let bad = "use crate::store::find;\nuse crate::http::page;\nlet x = super::Actor;\nfn f(cx: &mut Cx) {}\n";
    let samples = [("actors/a/src/http.rs", bad), ("actors/a/src/lib.rs", bad)];
    let expected =
        ["actors/a/src/http.rs:1", "actors/a/src/http.rs:1", "actors/a/src/http.rs:3", "actors/a/src/http.rs:4"];
    finds(routes_know_contracts_and_a_client, &samples, &expected);
}

fn only_the_roster_names_implementations(files: &Files) -> Vec<Breach> {
    let names = files.all().filter_map(|f| f.path.strip_prefix("actors/")?.split('/').next());
    let implementations: BTreeSet<String> = names.map(|n| format!("essaim_{}", n.replace('-', "_"))).collect();
    let mut breaches = Vec::new();
    for file in files.rust().filter(|f| f.path.starts_with("src/") && f.path != "src/roster.rs") {
        for (number, line) in file.shipped() {
            let named = implementations.iter().filter(|name| names_in(line, name).next().is_some());
            breaches.extend(named.map(|name| file.breach(number, format!("names `{name}`"))));
        }
    }
    breaches
}

#[test]
fn src_roster_rs_is_the_only_file_that_names_implementations() {
    keep(
        only_the_roster_names_implementations,
        "one line in one file hosts a capability; whatever else knew their names would have to be found and changed too",
    );
}

#[test]
fn an_implementation_named_elsewhere_is_found() {
    let samples = [
        ("actors/users/src/lib.rs", ""),
        ("src/roster.rs", "use essaim_users::UsersActor;"),
        ("src/main.rs", "fn main() {}\nuse essaim_users::UsersActor;\nuse essaim_users_contract::Users;"),
    ];
    finds(only_the_roster_names_implementations, &samples, &["src/main.rs:2"]);
}

fn tables_belong_to_one_capability(files: &Files) -> Vec<Breach> {
    let mut owners: Vec<(String, String)> = Vec::new();
    let mut breaches = Vec::new();
    for file in files.rust().filter(|f| !f.is_test()) {
        let Some(capability) = file.path.strip_prefix("actors/").and_then(|p| p.split('/').next()) else { continue };
        for (number, line) in file.lines() {
            let Some(table) = table_in(line) else { continue };
            match owners.iter().find(|(name, _)| name == table) {
                Some((_, owner)) if owner != capability => {
                    breaches.push(file.breach(number, format!("`{table}` is a table of `{owner}`")));
                }
                Some(_) => {}
                None => owners.push((table.to_string(), capability.to_string())),
            }
        }
    }
    breaches
}

/// The table that a line declares or reads by name.
fn table_in(line: &str) -> Option<&str> {
    let starts = ["table_name = \"", "CREATE TABLE IF NOT EXISTS ", "CREATE TABLE ", "INSERT INTO ", " FROM "];
    let at = starts.iter().find_map(|start| line.find(start).map(|at| at + start.len()))?;
    let name = line[at..].trim_start_matches(['"', '\\', '`']);
    let name = &name[..name.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(name.len())];
    (!name.is_empty()).then_some(name)
}

#[test]
fn no_capability_touches_anothers_tables() {
    keep(tables_belong_to_one_capability, "a capability owns its data; others ask it");
}

#[test]
fn a_table_of_two_capabilities_is_found() {
    let samples = [
        ("actors/users/src/store.rs", "#[sea_orm(table_name = \"users\")]"),
        ("actors/auth/src/store.rs", "let q = \"SELECT id FROM users WHERE x\";\nlet t = \"CREATE TABLE keys (id)\";"),
    ];
    finds(tables_belong_to_one_capability, &samples, &["actors/auth/src/store.rs:1"]);
}
