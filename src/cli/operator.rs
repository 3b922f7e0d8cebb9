//! How the commands for operators reach a running node: at the socket in its data directory, which only the node's own
//! user may open, or at an admin listener.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use essaim::Roster;
use essaim::api::{ApiRequest, Away};
use essaim::config::NodeConfig;
use essaim::exit::{self, Fatal};
use serde::de::DeserializeOwned;

use super::{Global, print};
use crate::serve::wrong;

/// The longest wait for an answer: the node may have to wait for several hosts, one after the other.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Which node is asked.
#[derive(Debug, Args)]
pub struct At {
    /// The admin listener of a node; by default a node of this configuration that runs on this machine is found by its
    /// data directory
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub url: Option<String>,
}

/// A node that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    Socket(PathBuf),
    /// An admin listener.
    Listener {
        /// Scheme, host and port.
        base: String,
        /// What it is to be shown where it does not answer everybody; empty: nothing.
        token: String,
    },
}

/// The socket of a node.
pub fn socket(node: &NodeConfig) -> PathBuf {
    node.data_dir.join(format!("{}.sock", node.name))
}

impl Operator {
    /// The node that a command is to ask.
    ///
    /// # Errors
    /// If the configuration is wrong, or no node of it runs here.
    pub fn find(roster: &Roster, global: &Global, at: &At) -> Result<Self, Fatal> {
        let all = global.layers(roster, None, None)?.resolve().map_err(wrong)?;
        if let Some(url) = &at.url {
            let url = url.trim_end_matches('/');
            let has_scheme = url.contains("://");
            let base = if has_scheme { url.into() } else { format!("http://{url}") };
            return Ok(Self::Listener { base, token: all.settings.node.operator_token });
        }
        let names: Vec<&String> = all.settings.nodes.keys().collect();
        let mut nodes = if names.is_empty() { vec![all.settings.node.clone()] } else { Vec::new() };
        for name in names {
            nodes.push(global.layers(roster, None, Some(name))?.resolve().map_err(wrong)?.settings.node);
        }
        let sockets: Vec<PathBuf> = nodes.iter().map(socket).collect();
        if let Some(live) = sockets.iter().find(|path| UnixStream::connect(path).is_ok()) {
            return Ok(Self::Socket(live.clone()));
        }
        if let Some(node) = nodes.iter().find(|node| !node.admin_listen.is_empty()) {
            let (base, token) = (format!("http://{}", node.admin_listen), node.operator_token.clone());
            return Ok(Self::Listener { base, token });
        }
        let tried: Vec<String> = sockets.iter().map(|path| path.display().to_string()).collect();
        let what =
            format!("no node answers at {}: is one running? Give its --data-dir or --config", tried.join(" or "));
        Err(Fatal::new(exit::UNAVAILABLE, format!("{what}, or --url ADDRESS:PORT of an admin listener")))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If the node does not answer, or not as it should.
    pub fn ask<Q: ApiRequest>(&self, request: &Q) -> Result<Q::Answer, Fatal> {
        let away = |why: String| Fatal::new(exit::UNAVAILABLE, format!("{} does not answer: {why}", self.name()));
        let body = serde_json::to_string(request).map_err(|e| away(e.to_string()))?;
        self.answer(Q::PATH, Some(&body))
    }

    /// What a node tells of itself, at a path such as `/status`.
    ///
    /// # Errors
    /// If the node does not answer, or not as it should.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fatal> {
        self.answer(path, None)
    }

    /// The answer to a POST of this body, or to a GET.
    fn answer<T: DeserializeOwned>(&self, path: &str, body: Option<&str>) -> Result<T, Fatal> {
        let away = |why: String| Fatal::new(exit::UNAVAILABLE, format!("{} does not answer: {why}", self.name()));
        let (status, text) = match self {
            Self::Socket(socket) => at_socket(socket, path, body).map_err(|e| away(e.to_string()))?,
            Self::Listener { base, token } => {
                at_listener((base, token), path, body).map_err(|e| away(e.to_string()))?
            }
        };
        if status == 200 {
            return serde_json::from_str(&text).map_err(|e| away(format!("its answer cannot be read: {e}")));
        }
        let told = serde_json::from_str(&text)
            .ok()
            .and_then(|value: serde_json::Value| value["error"].as_str().map(String::from));
        match (status, told) {
            (400 | 403, Some(why)) => Err(Fatal::new(exit::USAGE, why)),
            (_, Some(why)) => Err(Fatal::new(exit::UNAVAILABLE, why)),
            _ => Err(away(format!("it says {status}; is this an admin listener?"))),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Listener { base, .. } => base.clone(),
        }
    }
}

/// Prints which capabilities did not answer.
pub fn tell_away(away: &[Away]) {
    for Away { capability, why } in away {
        print::line(&format!("`{capability}` did not answer: {why}"));
    }
}

/// The error of a command whose result is incomplete, since capabilities did not answer.
pub fn not_known(what: &str) -> Fatal {
    Fatal::new(exit::UNAVAILABLE, format!("not every capability answered: {what} is not known"))
}

fn at_listener((base, token): (&str, &str), path: &str, body: Option<&str>) -> Result<(u16, String), ureq::Error> {
    let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let url = format!("{base}{path}");
    let Some(body) = body else { return read_answer(agent.get(url).call()?) };
    let mut request = agent.post(url).content_type("application/json");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    read_answer(request.send(body)?)
}

fn read_answer(mut answer: ureq::http::Response<ureq::Body>) -> Result<(u16, String), ureq::Error> {
    let text = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string()?;
    Ok((answer.status().as_u16(), text))
}

/// One request of HTTP/1.1 over a socket, which the node closes after its answer.
fn at_socket(path: &Path, request: &str, body: Option<&str>) -> std::io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let (method, body) = body.map_or(("GET", ""), |body| ("POST", body));
    let length = body.len();
    write!(
        stream,
        "{method} {request} HTTP/1.1\r\nHost: essaim\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    read(&answer).ok_or_else(|| std::io::Error::other("it is no answer of HTTP"))
}

/// The status and the body of an answer.
fn read(answer: &[u8]) -> Option<(u16, String)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.lines().next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(read(answer), Some((200, "{}".to_string())));
        assert_eq!(read(b"SSH-2.0"), None);
        assert_eq!(read(b"HTTP/1.1 2\r\n\r\n"), None);
    }

    #[test]
    fn a_host_and_port_alone_are_http() {
        let roster = Roster::new();
        let global = <super::super::Cli as clap::Parser>::parse_from(["essaim", "run"]).global;
        let at = |url: &str| Operator::find(&roster, &global, &At { url: Some(url.into()) }).unwrap();
        let listener = |base: &str| Operator::Listener { base: base.into(), token: String::new() };
        assert_eq!(at("127.0.0.1:9101"), listener("http://127.0.0.1:9101"));
        assert_eq!(at("https://ops.example/"), listener("https://ops.example"));
    }
}
