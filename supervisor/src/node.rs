//! One process, hosting a set of capabilities.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::Env;
use crate::arbiters::Arbiters;
use crate::bus::Bus;
use crate::client::Client;
use crate::config::{Config, ConfigError};
use crate::context::Blocking;
use crate::exit::Fatal;
use crate::host::Host;
use crate::hosting::Ground;
use crate::near::Near;
use crate::roster::{Roster, cycle_in};
use crate::watchdog::Watchdog;

/// A running node.
pub struct Node {
    bus: Arc<Bus>,
    watchdog: Arc<Watchdog>,
    fatal: watch::Receiver<Option<Fatal>>,
    _arbiters: Arc<Arbiters>,
}

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ask graph of the roster has a cycle.
    #[error("the capabilities ask each other in a circle: {0}; let one of them send a command or an event instead")]
    Cycle(String),
}

impl Node {
    /// Starts a node that hosts these capabilities. Must be called inside a `LocalSet` (`essaim_supervisor::run` does
    /// that), whose thread becomes the node's first arbiter.
    ///
    /// # Errors
    /// See [`NodeError`]. A capability that cannot start is no error: it is tried again.
    pub async fn start(roster: &Roster, hosts: &[&str], config: Config, env: Env) -> Result<Self, NodeError> {
        Self::start_beside(roster, hosts, config, env, Vec::new()).await
    }

    /// As [`Node::start`], with hosts that were made elsewhere beside the roster's.
    pub(crate) async fn start_beside(
        roster: &Roster,
        hosts: &[&str],
        config: Config,
        env: Env,
        beside: Vec<Arc<Host>>,
    ) -> Result<Self, NodeError> {
        if let Some(cycle) = cycle_in(&roster.ask_graph()) {
            return Err(NodeError::Cycle(cycle.join(" -> ")));
        }
        let settings = Arc::new(config.settings.clone());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = |configured| if configured == 0 { cores } else { configured };
        let bus = Arc::new(Bus::new(env.clone(), settings.clone(), Near::new(&settings.near, env.clone())));
        let watchdog = Arc::new(Watchdog::default());
        let limit = Duration::from_millis(settings.node.watchdog_ms);
        let pulse = (!limit.is_zero()).then_some(limit / 4);
        let arbiters = Arc::new(Arbiters::start(count(settings.node.arbiters), &watchdog, pulse));
        if !limit.is_zero() {
            watchdog.watch(env, limit);
        }
        let (fatal_tx, fatal) = watch::channel(None);
        let ground = Ground {
            bus: bus.clone(),
            config: Arc::new(config),
            arbiters: arbiters.clone(),
            watchdog: watchdog.clone(),
            blocking: Blocking::at_most(count(settings.node.blocking_threads)),
            provided: Arc::new(roster.provided()),
            fatal: fatal_tx,
        };
        let mut hosted = beside;
        for name in hosts {
            let unknown = || ConfigError::new(format!("no capability is called `{name}`"));
            hosted.push(roster.plan(name).ok_or_else(unknown)?.host(&ground)?);
        }
        bus.open(hosted);
        Ok(Self { bus, watchdog, fatal, _arbiters: arbiters })
    }

    /// A client of this node.
    pub fn client(&self) -> Client {
        Client::new(self.bus.clone())
    }

    /// Waits until every capability hosted here is up.
    pub async fn up(&self) {
        for host in self.bus.hosts() {
            host.supervision.running().await;
        }
    }

    /// Waits until the node must end by itself; how and why.
    pub async fn fatal(&self) -> Fatal {
        let mut fatal = self.fatal.clone();
        let fatal = fatal.wait_for(Option::is_some).await.ok().and_then(|f| f.clone());
        match fatal {
            Some(fatal) => fatal,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.watchdog.stop();
    }
}
