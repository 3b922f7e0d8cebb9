//! `essaim status`: the cluster as a table, as one of its nodes sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use essaim_supervisor::Roster;
use essaim_supervisor::exit::{self, Fatal};
use serde::Deserialize;

use super::print::{columns, short, span};
use super::{Global, StatusArgs, print};
use crate::serve::wrong;

/// The longest wait for the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks a running node and prints its answer.
pub fn run(roster: &Roster, global: &Global, status: &StatusArgs) -> Result<(), Fatal> {
    let url = match &status.url {
        Some(url) => full(url),
        None => format!("http://{}/status", gateway(roster, global)?),
    };
    let text = fetch(&url)?;
    if status.json {
        print::page(&format!("{}\n", text.trim_end()));
        return Ok(());
    }
    let node: Node = serde_json::from_str(&text).map_err(|e| {
        Fatal::new(exit::UNAVAILABLE, format!("{url} is no status of Essaim ({e}); is the address right?"))
    })?;
    print::page(&table(&node));
    Ok(())
}

/// The address of this configuration's gateway, as somebody on this machine reaches it.
fn gateway(roster: &Roster, global: &Global) -> Result<String, Fatal> {
    let all = global.layers(roster, None, None)?.resolve().map_err(wrong)?;
    let host = all.settings.nodes.iter().find(|(_, node)| node.hosts.iter().any(|h| h == "gateway"));
    let config = match host {
        Some((name, _)) => global.layers(roster, None, Some(name))?.resolve().map_err(wrong)?,
        None => all,
    };
    let listen = config.text("gateway", "listen").unwrap_or_default();
    Ok(listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:"))
}

/// A host and port alone mean its `/status`.
fn full(url: &str) -> String {
    let url = if url.contains("://") { url.to_string() } else { format!("http://{url}") };
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
    if has_path { url } else { format!("{}/status", url.trim_end_matches('/')) }
}

fn fetch(url: &str) -> Result<String, Fatal> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).build().into();
    let answer = agent.get(url).call().and_then(|mut r| r.body_mut().read_to_string());
    answer.map_err(|error| {
        let what = format!("nothing to be had from {url}: {error}; is the node running? Give --url ADDRESS:PORT");
        Fatal::new(exit::UNAVAILABLE, what)
    })
}

/// What the table shows of the node that answers.
#[derive(Deserialize)]
struct Node {
    node: String,
    epoch: Option<u64>,
    version: String,
    uptime_ms: u64,
    draining: bool,
    capabilities: BTreeMap<String, Capability>,
    /// A node of an earlier version does not tell.
    #[serde(default)]
    tasks: Vec<Task>,
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Task {
    name: String,
    owner: String,
    state: String,
    restarts: u64,
    /// A gateway tells admins alone.
    #[serde(default)]
    last_panic: Option<String>,
}

#[derive(Deserialize)]
struct Capability {
    state: String,
    #[serde(default)]
    reason: String,
    instances: u64,
    up: u64,
    admitted: u64,
    limit: u64,
    restarts: u64,
    panics: u64,
    durable: Option<Durable>,
    /// A gateway tells admins alone.
    database: Option<Database>,
}

#[derive(Deserialize)]
struct Durable {
    waiting: u64,
    parked: u64,
    dead: u64,
    outbox: u64,
    /// A node of an earlier version does not tell.
    ledger: Option<Ledger>,
}

#[derive(Deserialize)]
struct Ledger {
    appended: u64,
    handled: u64,
    duplicates: u64,
    died: u64,
    expired: u64,
    in_flight: u64,
    difference: i64,
    balances: bool,
    approximate: bool,
}

#[derive(Deserialize)]
struct Database {
    place: String,
    problem: Option<String>,
}

/// What it shows of the others, which the node knows from their heartbeats.
#[derive(Deserialize)]
struct Member {
    node: String,
    epoch: u64,
    version: String,
    state: String,
    heard_ms_ago: u64,
    capabilities: BTreeMap<String, MemberCapability>,
}

#[derive(Deserialize)]
struct MemberCapability {
    running: bool,
    load: u64,
    limit: u64,
    instances: u64,
    up: u64,
    restarts: u64,
}

fn table(node: &Node) -> String {
    let state = match () {
        () if node.draining => "draining",
        () if node.tasks.iter().any(|task| task.state == "panicked") => "not ready",
        () if node.capabilities.values().all(|c| c.state == "running") => "ready",
        () => "not ready",
    };
    let epoch = node.epoch.map_or("-".into(), |e| e.to_string());
    let mut nodes = vec![["NODE", "EPOCH", "VERSION", "STATE", "SEEN"].map(String::from)];
    let seen = format!("up {}", span(node.uptime_ms));
    nodes.push([node.node.clone(), epoch, node.version.clone(), state.into(), seen]);
    let heading =
        ["CAPABILITY", "NODE", "STATE", "INSTANCES", "BUSY", "RESTARTS", "PANICS", "WAITING", "DEAD", "DATABASE"];
    let mut capabilities = Vec::new();
    for (name, c) in &node.capabilities {
        capabilities.push([
            name.clone(),
            node.node.clone(),
            if c.reason.is_empty() { c.state.clone() } else { format!("{}: {}", c.state, short(&c.reason)) },
            format!("{}/{}", c.up, c.instances),
            format!("{}/{}", c.admitted, c.limit),
            c.restarts.to_string(),
            c.panics.to_string(),
            c.durable.as_ref().map_or("-".into(), |d| (d.waiting + d.parked + d.outbox).to_string()),
            c.durable.as_ref().map_or("-".into(), |d| d.dead.to_string()),
            c.database.as_ref().map_or("-".into(), database),
        ]);
    }
    for member in &node.members {
        let seen = format!("heard {} ago", span(member.heard_ms_ago));
        let (name, epoch) = (member.node.clone(), member.epoch.to_string());
        nodes.push([name, epoch, member.version.clone(), member.state.clone(), seen]);
        for (name, c) in &member.capabilities {
            let state = if c.running { "running" } else { "not running" };
            let (instances, busy) = (format!("{}/{}", c.up, c.instances), format!("{}/{}", c.load, c.limit));
            let (node, restarts) = (member.node.clone(), c.restarts.to_string());
            // A heartbeat does not tell the rest; the node's own admin listener does.
            let untold = String::new;
            let [panics, waiting, dead, database] = [untold(), untold(), untold(), untold()];
            let state = state.into();
            capabilities.push([name.clone(), node, state, instances, busy, restarts, panics, waiting, dead, database]);
        }
    }
    nodes[1..].sort();
    capabilities.sort();
    capabilities.insert(0, heading.map(String::from));
    format!("{}\n{}{}{}", columns(&nodes), columns(&capabilities), messages(node), tasks(node))
}

/// The tasks of the runtime that have panicked, if any have.
fn tasks(node: &Node) -> String {
    let mut rows = vec![["TASK", "OF", "STATE", "RESTARTS", "LAST PANIC"].map(String::from)];
    for task in node.tasks.iter().filter(|task| task.restarts > 0 || task.state == "panicked") {
        let panic = task.last_panic.iter().flat_map(|panic| panic.lines()).next().map(short).unwrap_or_default();
        rows.push([task.name.clone(), task.owner.clone(), task.state.clone(), task.restarts.to_string(), panic]);
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
}

/// What became of durable messages, where any were ever sent; a table of its own, since one for all would be too wide.
fn messages(node: &Node) -> String {
    let heading = ["MESSAGES OF", "APPENDED", "HANDLED", "DUPLICATES", "DIED", "EXPIRED", "IN FLIGHT", "DIFFERENCE"];
    let mut rows = vec![heading.map(String::from)];
    for (name, capability) in &node.capabilities {
        let Some(ledger) = capability.durable.as_ref().and_then(|durable| durable.ledger.as_ref()) else { continue };
        if ledger.appended == 0 && ledger.balances {
            continue;
        }
        let difference = match (ledger.approximate, ledger.balances) {
            (true, _) => format!("about {}", ledger.difference),
            (false, false) if ledger.difference == 0 => "0, but not in each partition".into(),
            (false, _) => ledger.difference.to_string(),
        };
        rows.push([
            name.clone(),
            ledger.appended.to_string(),
            ledger.handled.to_string(),
            ledger.duplicates.to_string(),
            ledger.died.to_string(),
            ledger.expired.to_string(),
            ledger.in_flight.to_string(),
            difference,
        ]);
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
}

fn database(database: &Database) -> String {
    match &database.problem {
        Some(problem) => format!("{}: {}", database.place, short(problem)),
        None => database.place.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = r#"{"node":"front","epoch":3,"version":"0.1.0","uptime_ms":65000,"draining":false,
        "capabilities":{"gateway":{"state":"running","instances":2,"up":2,"admitted":1,"limit":1024,"restarts":0,
            "panics":0,"durable":null,"database":null,"figures":{}},
          "users":{"state":"starting","reason":"no database","instances":32,"up":0,"admitted":0,"limit":1024,
            "restarts":4,"panics":1,"durable":{"waiting":2,"parked":3,"dead":1,"outbox":4,"partitions":[0],"ledger":{"appended":31,
            "handled":20,"duplicates":2,"died":3,"expired":1,"in_flight":5,"difference":0,"balances":true,
            "approximate":true}},"database":{"place":"data/users.sqlite3","problem":null},"figures":null}},
        "members":[{"node":"back","epoch":2,"version":"0.1.0","state":"ready","heard_ms_ago":120,
          "capabilities":{"orders":{"running":true,"load":3,"limit":1024,"instances":32,"up":32,"restarts":0}}}]}"#;

    #[test]
    fn the_table_shows_this_node_and_those_it_hears() {
        let expected = "\
NODE   EPOCH  VERSION  STATE      SEEN
back   2      0.1.0    ready      heard 120 ms ago
front  3      0.1.0    not ready  up 1 min 5 s

CAPABILITY  NODE   STATE                  INSTANCES  BUSY    RESTARTS  PANICS  WAITING  DEAD  DATABASE
gateway     front  running                2/2        1/1024  0         0       -        -     -
orders      back   running                32/32      3/1024  0
users       front  starting: no database  0/32       0/1024  4         1       9        1     data/users.sqlite3

MESSAGES OF  APPENDED  HANDLED  DUPLICATES  DIED  EXPIRED  IN FLIGHT  DIFFERENCE
users        31        20       2           3     1        5          about 0
";
        assert_eq!(table(&serde_json::from_str(NODE).unwrap()), expected);
        let to_a_stranger = r#"{"node":"a","epoch":null,"version":"1","uptime_ms":0,"draining":false,"members":[],
            "capabilities":{"users":{"state":"failed","instances":1,"up":0,"admitted":0,"limit":8,"restarts":0,
            "panics":0}}}"#;
        let shown = table(&serde_json::from_str(to_a_stranger).unwrap());
        assert!(shown.contains("users       a     failed  0/1") && !shown.contains("MESSAGES"), "{shown}");
    }

    #[test]
    fn tasks_are_shown_that_have_panicked() {
        let tasks = r#""tasks":[{"name":"relay","owner":"users","state":"panicked","restarts":2,"last_panic":"no\nlane"},
            {"name":"sender","owner":"node","state":"running","restarts":0,"last_panic":null}],"members""#;
        let shown = table(&serde_json::from_str(&NODE.replace(r#""members""#, tasks)).unwrap());
        let expected = "\nTASK   OF     STATE     RESTARTS  LAST PANIC\nrelay  users  panicked  2         ";
        assert!(shown.contains(expected) && !shown.contains("sender"), "{shown}");
    }

    #[test]
    fn a_difference_is_told_as_exactly_as_it_is_known() {
        let shown = |old: &str, new: &str| table(&serde_json::from_str(&NODE.replace(old, new)).unwrap());
        let at_rest = shown(r#""approximate":true"#, r#""approximate":false"#);
        assert!(at_rest.ends_with(" 5          0\n"), "{at_rest}");
        let exact = r#""difference":-2,"balances":false,"approximate":false"#;
        let approximately = "\"difference\":0,\"balances\":true,\n            \"approximate\":true";
        let missing = shown(approximately, exact);
        assert!(missing.ends_with(" -2\n"), "{missing}");
        let crossed = shown(approximately, &exact.replace("-2", "0"));
        assert!(crossed.ends_with(" 0, but not in each partition\n"), "{crossed}");
        let of_an_earlier_version = shown(r#""ledger":"#, r#""unknown":"#);
        assert!(!of_an_earlier_version.contains("MESSAGES"), "{of_an_earlier_version}");
    }

    #[test]
    fn an_address_alone_means_its_status() {
        for (given, url) in [
            ("127.0.0.1:9101", "http://127.0.0.1:9101/status"),
            ("http://front:8080/", "http://front:8080/status"),
            ("https://shop.example/api/status", "https://shop.example/api/status"),
        ] {
            assert_eq!(full(given), url);
        }
    }
}
