//! `essaim status`: the cluster as a table, as one of its nodes sees it.
//!
//! # Layout
//! - `table`: what is shown of a status, and how.

mod table;

use std::time::Duration;

use essaim::config::Config;
use essaim::exit::{self, Fatal};
use essaim::{NodeStatus, Roster};

use self::table::table;
use super::operator::{Trust, advised};
use super::{Global, StatusArgs, print};
use crate::serve::wrong;

/// The longest wait for the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks a running node and prints its answer.
pub fn run(roster: &Roster, global: &Global, status: &StatusArgs) -> Result<(), Fatal> {
    let all = global.layers(roster, None, None)?.resolve().map_err(wrong)?;
    let trust = Trust::of(&status.ca, &all.settings.node)?;
    let url = match &status.url {
        Some(url) => full(url),
        None => format!("http://{}/status", gateway(roster, global, all)?),
    };
    let text = fetch(&trust, &url)?;
    if status.json {
        print::page(&format!("{}\n", text.trim_end()));
        return Ok(());
    }
    print::page(&table(&read(&url, &text)?));
    Ok(())
}

fn read(url: &str, text: &str) -> Result<NodeStatus, Fatal> {
    let wrong = |why: &str| {
        Fatal::new(exit::UNAVAILABLE, format!("{url} is no status of Essaim ({why}); is the address right?"))
    };
    let node: NodeStatus = serde_json::from_str(text).map_err(|e| wrong(&e.to_string()))?;
    if node.node.is_empty() { Err(wrong("no node is named")) } else { Ok(node) }
}

/// The address of this configuration's gateway, as somebody on this machine reaches it.
fn gateway(roster: &Roster, global: &Global, all: Config) -> Result<String, Fatal> {
    let host = all.settings.nodes.iter().find(|(_, node)| node.hosts.iter().any(|h| h == "gateway"));
    let config = match host {
        Some((name, _)) => global.layers(roster, None, Some(name))?.resolve().map_err(wrong)?,
        None => all,
    };
    let listen = config.value::<String>("gateway", "listen").unwrap_or_default();
    Ok(listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:"))
}

/// A host and port alone mean its `/status`.
fn full(url: &str) -> String {
    let url = if url.contains("://") { url.to_string() } else { format!("http://{url}") };
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
    if has_path { url } else { format!("{}/status", url.trim_end_matches('/')) }
}

fn fetch(trust: &Trust, url: &str) -> Result<String, Fatal> {
    let answer = trust.agent(Some(LIMIT)).get(url).call();
    let answer = answer.and_then(|mut answer| Ok((answer.status(), answer.body_mut().read_to_string()?)));
    let why = match answer {
        Ok((status, text)) if status.is_success() => return Ok(text),
        Ok((status, text)) => {
            let told = serde_json::from_str(&text).ok();
            let told = told.as_ref().and_then(|told: &serde_json::Value| told["error"].as_str());
            told.map_or_else(|| format!("it says {status}"), String::from)
        }
        Err(error) => advised(&error.to_string()),
    };
    let what = format!("nothing to be had from {url}: {why}; is the node running? Give --url ADDRESS:PORT");
    Err(Fatal::new(exit::UNAVAILABLE, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_another_version_is_read_and_something_else_is_not() {
        let node = read("front", r#"{"node":"front","planet":"earth","capabilities":{"users":{"state":"failed"}}}"#);
        let node = node.expect("it is a status");
        assert!(
            (node.node == "front") && node.capabilities["users"].health == essaim::Health::Failed { reason: "".into() }
        );
        for other in ["{}", "[]", "<html>", r#"{"node":""}"#] {
            let error = read("front", other).expect_err(other);
            assert!(error.to_string().contains("front is no status of Essaim"), "{error}");
        }
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
