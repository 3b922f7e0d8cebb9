//! `essaim status`: the cluster as a table.

use std::time::Duration;

use essaim_supervisor::Roster;
use essaim_supervisor::exit::{self, Fatal};
use serde_json::Value;

use super::{Global, StatusArgs};
use crate::serve::wrong;

/// The longest wait for the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks a gateway, or a node's admin listener, and prints what it says.
pub fn run(roster: &Roster, global: &Global, status: &StatusArgs) -> Result<(), Fatal> {
    let url = match &status.url {
        Some(url) => url.clone(),
        None => default_url(roster, global)?,
    };
    let answer = fetch(&url).map_err(|why| {
        let hint = "is it running, and is this the address of a gateway or of a node's admin listener?";
        Fatal::new(exit::BRIDGE, format!("{url} does not answer: {why}; {hint}"))
    })?;
    if status.json {
        println!("{answer:#}");
    } else {
        print!("{}", table(&rows(&answer)));
    }
    Ok(())
}

fn default_url(roster: &Roster, global: &Global) -> Result<String, Fatal> {
    let config = global.layers(roster, None, None)?.resolve().map_err(wrong)?;
    let listen = config.text("gateway", "listen").unwrap_or_else(|| "127.0.0.1:8080".into());
    Ok(format!("http://{listen}/status"))
}

fn fetch(url: &str) -> Result<Value, String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).build();
    let mut answer = ureq::Agent::new_with_config(config).get(url).call().map_err(|e| e.to_string())?;
    answer.body_mut().read_json().map_err(|e| e.to_string())
}

/// A line for each capability of each node; the first is the heading.
fn rows(answer: &Value) -> Vec<[String; 8]> {
    let heading = ["NODE", "EPOCH", "NODE STATE", "CAPABILITY", "STATE", "UP", "LOAD", "RESTARTS"];
    let mut rows = vec![heading.map(String::from)];
    // A gateway's answer holds its node's; an admin listener's is the node's.
    let node = if answer["node"].is_object() { &answer["node"] } else { answer };
    let state = if node["draining"] == true { "draining" } else { "ready" };
    rows.extend(node_rows(&node["node"], &node["epoch"], state, &node["capabilities"]));
    for member in node["members"].as_array().into_iter().flatten() {
        let state = text(&member["state"]);
        rows.extend(node_rows(&member["node"], &member["epoch"], &state, &member["capabilities"]));
    }
    rows
}

fn node_rows(node: &Value, epoch: &Value, state: &str, capabilities: &Value) -> Vec<[String; 8]> {
    let row = |(name, c): (&String, &Value)| {
        // Of another node it is only known whether a capability takes asks.
        let health = match (&c["state"], c["running"].as_bool()) {
            (Value::String(state), _) => state.clone(),
            (_, Some(true)) => "running".into(),
            _ => "not running".into(),
        };
        let load = if c["admitted"].is_null() { &c["load"] } else { &c["admitted"] };
        [
            text(node),
            text(epoch),
            state.to_string(),
            name.clone(),
            health,
            format!("{}/{}", text(&c["up"]), text(&c["instances"])),
            format!("{}/{}", text(load), text(&c["limit"])),
            text(&c["restarts"]),
        ]
    };
    capabilities.as_object().into_iter().flatten().map(row).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}

/// The rows in columns as wide as their widest field.
fn table(rows: &[[String; 8]]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let line = |row: &[String; 8]| {
        let fields = row.iter().zip(&widths).map(|(field, width)| format!("{field:width$}"));
        let line = fields.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_capability_of_each_node_is_a_line() {
        let own = json!({ "orders": { "state": "running", "instances": 32, "up": 32, "admitted": 3, "limit": 1024, "restarts": 1 } });
        let other =
            json!({ "auth": { "running": false, "instances": 4, "up": 0, "load": 0, "limit": 8, "restarts": 0 } });
        let members = json!([{ "node": "b", "epoch": 9, "state": "draining", "capabilities": other }]);
        let node = json!({ "node": "a", "epoch": null, "draining": false, "capabilities": own, "members": members });
        let expected = "\
NODE  EPOCH  NODE STATE  CAPABILITY  STATE        UP     LOAD    RESTARTS
a     -      ready       orders      running      32/32  3/1024  1
b     9      draining    auth        not running  0/4    0/8     0
";
        assert_eq!(table(&rows(&json!({ "gateway": {}, "node": node }))), expected);
        assert_eq!(table(&rows(&node)), expected);
    }
}
