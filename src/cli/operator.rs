//! How the commands for operators reach a running node: at the socket in its data directory, which only the node's own
//! user may open, or at an admin listener.

mod trust;
mod unix;

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use essaim::Roster;
use essaim::api::{ApiRequest, Away, Followed};
use essaim::config::NodeConfig;
use essaim::exit::{self, Fatal};
use serde::de::DeserializeOwned;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, RequestBuilder};

pub use self::trust::{Ca, Trust, advised};
use self::unix::UnixConnector;
use super::mark::doubtful;
use super::{Global, print};
use crate::serve::wrong;

/// The longest wait for an answer: the node may have to wait for several hosts, one after the other.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;
const JSON: &str = "application/json";

type Answer = ureq::http::Response<Body>;

/// Which node is asked.
#[derive(Debug, Args)]
pub struct At {
    /// The admin listener of a node, as https://ADDRESS:PORT where it has a certificate; by default a node of this configuration
    /// that runs on this machine is found by its data directory
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub url: Option<String>,
    /// Whom to trust there.
    #[command(flatten)]
    pub ca: Ca,
}

/// A node that can be asked.
#[derive(Debug, Clone)]
pub enum Operator {
    Socket(PathBuf),
    /// An admin listener.
    Listener {
        /// Scheme, host and port.
        base: String,
        /// What it is to be shown where it does not answer everybody; empty: nothing.
        token: String,
        trust: Trust,
    },
}

/// The socket of a node.
pub fn socket(node: &NodeConfig) -> PathBuf {
    node.data_dir.join(format!("{}.sock", node.name))
}

/// The URL of a node's admin listener.
pub fn admin_url(node: &NodeConfig) -> String {
    format!("{}://{}", admin_scheme(node), node.admin_listen)
}

/// The scheme of that URL: the listener speaks TLS where it has a certificate.
pub fn admin_scheme(node: &NodeConfig) -> &'static str {
    if node.admin_cert.is_empty() { "http" } else { "https" }
}

impl Operator {
    /// The node that a command is to ask.
    ///
    /// # Errors
    /// If the configuration is wrong, or no node of it runs here.
    pub fn find(roster: &Roster, global: &Global, at: &At) -> Result<Self, Fatal> {
        Self::find_node(roster, global, at, None)
    }

    /// The node that a command is to ask, if it is to be this one of a topology and no other.
    ///
    /// # Errors
    /// If the configuration is wrong, or the node does not run here.
    pub fn find_node(roster: &Roster, global: &Global, at: &At, node: Option<&str>) -> Result<Self, Fatal> {
        let all = global.layers(roster, None, None)?.resolve().map_err(wrong)?;
        if let Some(url) = &at.url {
            let url = url.trim_end_matches('/');
            let has_scheme = url.contains("://");
            let base = if has_scheme { url.into() } else { format!("http://{url}") };
            let trust = Trust::of(&at.ca, &all.settings.node)?;
            return Ok(Self::Listener { base, token: all.settings.node.operator_token, trust });
        }
        let names: Vec<&str> = match node {
            Some(node) => vec![node],
            None => all.settings.nodes.keys().map(String::as_str).collect(),
        };
        let mut nodes = if names.is_empty() { vec![all.settings.node.clone()] } else { Vec::new() };
        for name in names {
            nodes.push(global.layers(roster, None, Some(name))?.resolve().map_err(wrong)?.settings.node);
        }
        let sockets: Vec<PathBuf> = nodes.iter().map(socket).collect();
        if let Some(live) = sockets.iter().find(|path| UnixStream::connect(path).is_ok()) {
            return Ok(Self::Socket(live.clone()));
        }
        if let Some(node) = nodes.iter().find(|node| !node.admin_listen.is_empty()) {
            let (base, token) = (admin_url(node), node.operator_token.clone());
            return Ok(Self::Listener { base, token, trust: Trust::of(&at.ca, node)? });
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
        self.read(self.post(request, JSON, Some(LIMIT))?)
    }

    /// As [`Operator::ask`], for what takes as long as it takes.
    ///
    /// # Errors
    /// As [`Operator::ask`].
    pub fn ask_for_long<Q: ApiRequest>(&self, request: &Q) -> Result<Q::Answer, Fatal> {
        self.read(self.post(request, JSON, None)?)
    }

    /// Asks for all that comes, and hands over each page until `take` has enough.
    ///
    /// # Errors
    /// If the node does not answer, not as it should, or not any more.
    pub fn follow<Q: Followed>(&self, request: &Q, mut take: impl FnMut(Q::Answer) -> bool) -> Result<(), Fatal> {
        let answer = self.post(request, "text/event-stream", None)?;
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            let line = line.map_err(|e| self.away(e))?;
            let Some(page) = line.strip_prefix("data: ") else { continue };
            let page = serde_json::from_str(page).map_err(|e| self.away(format!("its answer cannot be read: {e}")))?;
            if !take(page) {
                return Ok(());
            }
        }
        Err(self.away("it has ended"))
    }

    /// What a node tells of itself, at a path such as `/status`.
    ///
    /// # Errors
    /// If the node does not answer, or not as it should.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fatal> {
        let answer = self.identified(self.agent(Some(LIMIT)).get(self.url(path))).call();
        self.read(self.checked(answer)?)
    }

    fn post<Q: ApiRequest>(&self, request: &Q, accept: &str, limit: Option<Duration>) -> Result<Answer, Fatal> {
        let body = serde_json::to_string(request).map_err(|e| self.away(e))?;
        let post = self.agent(limit).post(self.url(Q::PATH)).content_type(JSON).header("accept", accept);
        self.checked(self.identified(post).send(body))
    }

    /// What asks; a whole answer may take so long.
    fn agent(&self, limit: Option<Duration>) -> Agent {
        match self {
            Self::Socket(path) => {
                let config = Agent::config_builder().timeout_global(limit).http_status_as_error(false).proxy(None);
                Agent::with_parts(config.build(), UnixConnector(path.clone()), DefaultResolver::default())
            }
            Self::Listener { trust, .. } => trust.agent(limit),
        }
    }

    fn url(&self, path: &str) -> String {
        match self {
            // Nothing is sent there: the socket is connected to.
            Self::Socket(_) => format!("http://127.0.0.1{path}"),
            Self::Listener { base, .. } => format!("{base}{path}"),
        }
    }

    /// A request that shows who asks.
    fn identified<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match self {
            Self::Listener { token, .. } if !token.is_empty() => {
                request.header("authorization", format!("Bearer {token}"))
            }
            _ => request,
        }
    }

    /// The answer if it is one; of anything else what it says.
    fn checked(&self, answer: Result<Answer, ureq::Error>) -> Result<Answer, Fatal> {
        let answer = answer.map_err(|e| self.away(e))?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(answer);
        }
        let told =
            self.read(answer).ok().and_then(|value: serde_json::Value| value["error"].as_str().map(String::from));
        match (status, told) {
            (422, Some(why)) => Err(Fatal::new(exit::DATA, why)),
            (400 | 403, Some(why)) => Err(Fatal::new(exit::USAGE, why)),
            (500, Some(why)) => Err(Fatal::new(exit::OUTPUT, why)),
            (_, Some(why)) => Err(Fatal::new(exit::UNAVAILABLE, why)),
            _ => Err(self.away(format!("it says {status}; is this an admin listener?"))),
        }
    }

    fn read<T: DeserializeOwned>(&self, mut answer: Answer) -> Result<T, Fatal> {
        let read = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_json();
        read.map_err(|e| self.away(format!("its answer cannot be read: {e}")))
    }

    fn away(&self, why: impl Display) -> Fatal {
        let name = match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Listener { base, .. } => base.clone(),
        };
        Fatal::new(exit::UNAVAILABLE, format!("{name} does not answer: {}", advised(&why.to_string())))
    }
}

/// Prints which capabilities did not answer.
pub fn tell_away(away: &[Away]) {
    for Away { capability, why } in away {
        print::line(&doubtful(&format!("`{capability}` did not answer: {why}")));
    }
}

/// The error of a command whose result is incomplete, since capabilities did not answer.
pub fn not_known(what: &str) -> Fatal {
    Fatal::new(exit::UNAVAILABLE, format!("not every capability answered: {what} is not known"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_alone_are_http() {
        let roster = Roster::new();
        let global = <super::super::Cli as clap::Parser>::parse_from(["essaim", "run"]).global;
        let base_of =
            |url: &str| match Operator::find(&roster, &global, &At { url: Some(url.into()), ca: Ca { ca: None } }) {
                Ok(Operator::Listener { base, .. }) => base,
                other => panic!("{other:?}"),
            };
        assert_eq!(base_of("127.0.0.1:9101"), "http://127.0.0.1:9101");
        assert_eq!(base_of("https://ops.example/"), "https://ops.example");
    }
}
