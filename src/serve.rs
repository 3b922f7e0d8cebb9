//! A node's life in this process: configuration, logs, data directory, node, and the way out.

use std::path::Path;
use std::time::Duration;

use essaim::config::{Config, ConfigError, LogFormat};
use essaim::exit::{self, Fatal};
use essaim::{Env, Node, Roster, run};

use crate::cli::signals::Signals;
use crate::cli::{Global, NodeArgs, data_dir, operator, print};
use crate::{descriptors, logging};

/// How long to wait for every capability before saying where the node is to be found.
const QUICK_START: Duration = Duration::from_secs(3);

/// The part of the roster that this process runs, and how.
pub struct Part {
    config: Config,
    hosts: Vec<String>,
    until_stdin_closes: bool,
}

impl Part {
    /// All capabilities, for `essaim run`.
    pub fn whole(roster: &Roster, global: &Global) -> Result<Self, Fatal> {
        let mut layers = global.layers(roster, None, None)?;
        let hosts: Vec<String> = roster.capabilities().map(String::from).collect();
        if hosts.iter().any(|h| h == "catalog") {
            layers.preset("essaim run", "catalog.demo", "true");
        }
        let console = global.layers(roster, None, None)?.resolve().map_err(wrong)?.value::<String>("console", "listen");
        // Where the system chooses the console's port nobody knows it yet.
        if let Some(console) = console.filter(|listen| !listen.ends_with(":0")) {
            layers.preset("essaim run", "gateway.home", &format!("http://{console}/"));
        }
        Ok(Self { config: layers.resolve().map_err(wrong)?, hosts, until_stdin_closes: false })
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// One node of a topology, for `essaim node`.
    pub fn of(roster: &Roster, global: &Global, node: &NodeArgs) -> Result<Self, Fatal> {
        let config = global.layers(roster, None, Some(&node.name))?.resolve().map_err(wrong)?;
        let hosts = config.settings.nodes.get(&node.name).map(|n| n.hosts.clone()).unwrap_or_default();
        if hosts.is_empty() {
            return Err(wrong(ConfigError::new(format!("`nodes.{}.hosts` names no capability", node.name))));
        }
        are_connected(config.settings.nodes.len(), &config)?;
        Ok(Self { config, hosts, until_stdin_closes: node.until_stdin_closes })
    }
}

/// Refuses a node of several that could not hear the others.
///
/// # Errors
/// If there is no bridge between them.
pub fn are_connected(nodes: usize, config: &Config) -> Result<(), Fatal> {
    match nodes > 1 && config.settings.bridge.url.is_empty() {
        true => {
            Err(Fatal::new(exit::CONFIG, "several nodes need a bridge: set bridge.url, such as redis://127.0.0.1:6379"))
        }
        false => Ok(()),
    }
}

/// A wrong configuration ends the process with a code of its own.
pub fn wrong(error: ConfigError) -> Fatal {
    Fatal::new(exit::CONFIG, error.to_string())
}

/// Runs the node until a signal or a fatal error ends it.
pub fn serve(roster: &Roster, part: Part) -> Result<(), Fatal> {
    let Part { config, hosts, until_stdin_closes } = part;
    logging::start(&config.settings.log, &config.settings.node.name)?;
    descriptors::raise(&config, &hosts);
    let mut places = print::Places::of(&config, &hosts);
    run(async {
        let mut signals = Signals::listen(until_stdin_closes)?;
        let env = Env::system();
        tokio::select! {
            claimed = data_dir::claim(roster, &config.settings, &hosts, &env) => claimed?,
            _ = signals.next() => return Ok(()),
        }
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let pretty = config.settings.log.format == LogFormat::Pretty;
        let socket = operator::socket(&config.settings.node);
        let node = tokio::select! {
            node = Node::start(roster, &hosts, config, env) => node.map_err(|e| e.into_fatal())?,
            _ = signals.next() => return Ok(()),
        };
        listen_for_operators(&node, &socket);
        let ended = tokio::select! {
            fatal = node.fatal() => Err(fatal),
            () = tell(&node, &mut places, pretty) => Ok(()),
            signal = signals.next() => {
                tracing::info!(signal, "draining: finishing what is under way; a second signal ends at once");
                Ok(())
            }
        };
        // Another process owns this node's name now, and there is nothing left to hand over; or a part of the node is gone
        // without which it would wait in vain.
        if !matches!(&ended, Err(fatal) if matches!(fatal.code, exit::SUPERSEDED | exit::TASK | exit::FILE)) {
            tokio::select! {
                () = node.drain() => {}
                signal = signals.next() => end_at_once(signal, &ended),
            }
        }
        ended
    })
}

/// Ends the process while it drains: by a second signal, or by a first one where the node was ending by itself.
fn end_at_once(signal: &str, ended: &Result<(), Fatal>) -> ! {
    let code = match ended {
        Ok(()) => {
            tracing::warn!(signal, "ended at once by a second signal");
            exit::SECOND_SIGNAL
        }
        Err(fatal) => {
            print::line(&format!("essaim: {fatal}"));
            fatal.code
        }
    };
    // Leaving by return would wait for computations that are still running.
    #[allow(clippy::disallowed_methods)]
    std::process::exit(code.into())
}

/// Serves the commands for operators on this machine. A node that keeps nothing here has no directory for a socket, and is
/// asked at its admin listener.
fn listen_for_operators(node: &Node, socket: &Path) {
    if !socket.parent().is_some_and(Path::is_dir) {
        return;
    }
    if let Err(error) = node.listen_at_socket(socket) {
        let socket = socket.display();
        tracing::warn!(%socket, %error, "commands for operators have to ask node.admin_listen: there can be no socket");
    }
}

/// Prints where the node listens, and that it is ready; never ends.
async fn tell(node: &Node, places: &mut print::Places, pretty: bool) {
    // With all capabilities up the addresses are known; a database that is away must not delay the announcement for
    // ever.
    let up = tokio::time::timeout(QUICK_START, node.up()).await.is_ok();
    if places.leaves_port_open() {
        places.found(&node.status().await);
    }
    places.announce(pretty);
    if !up {
        tracing::warn!("not every capability runs yet; those that do are reachable");
        node.up().await;
    }
    tracing::info!("ready: every capability of this node runs");
    std::future::pending().await
}
