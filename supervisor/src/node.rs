//! One process, hosting a set of capabilities.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::Env;
use crate::admin::{self, ServerHandle};
use crate::arbiters::Arbiters;
use crate::bridge::log::Log;
use crate::bridge::{ClaimError, Cluster, Embedded, EmbeddedLog, Redis, RedisLog, Wire};
use crate::bus::Bus;
use crate::client::Client;
use crate::config::{Config, ConfigError};
use crate::context::Blocking;
use crate::durable::{Durable, log_migration};
use crate::exit::{self, Fatal};
use crate::graph::cycle_in;
use crate::handler::HandlerKind;
use crate::host::Host;
use crate::hosting::NodeContext;
use crate::near::Near;
use crate::remote::ports::{AnswerThreads, Hosts, Inbound, Ports};
use crate::remote::{Remote, RemoteParts};
use crate::roster::Roster;
use crate::status::NodeStatus;
use crate::store::DatabaseError;
use crate::task::Tasks;
use crate::watchdog::Watchdog;

/// A running node.
pub struct Node {
    bus: Arc<Bus>,
    watchdog: Arc<Watchdog>,
    fatal: watch::Receiver<Option<Fatal>>,
    admin: Mutex<Vec<ServerHandle>>,
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
    /// The bridge does not answer, or another node has the name or a capability that must have one host.
    #[error(transparent)]
    Bridge(#[from] ClaimError),
    /// The embedded log cannot be used.
    #[error(transparent)]
    Log(#[from] DatabaseError),
    /// The admin listener has no address.
    #[error(
        "cannot listen at node.admin_listen = {address}: {error}; choose another address, or end who listens there"
    )]
    Admin {
        /// Where.
        address: String,
        /// What happened.
        error: std::io::Error,
    },
}

impl NodeError {
    /// How the process must end.
    pub fn into_fatal(self) -> Fatal {
        let code = match self {
            Self::Config(_) | Self::Cycle(_) | Self::Bridge(ClaimError::Unsupported { .. }) => exit::CONFIG,
            Self::Bridge(ClaimError::Unreachable { .. }) => exit::BRIDGE,
            Self::Bridge(ClaimError::Taken(_)) => exit::TAKEN,
            Self::Log(_) => exit::DATA_DIR,
            Self::Admin { .. } => exit::ADDRESS_IN_USE,
        };
        Fatal::new(code, self.to_string())
    }
}

impl Node {
    /// Starts a node that hosts these capabilities. Must be called inside a `LocalSet` (`essaim_supervisor::run` does
    /// that), whose thread becomes the node's control thread.
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
        let (fatal_tx, fatal) = watch::channel(None);
        let tasks = Tasks::new(env.clone(), settings.supervision.backoff(), fatal_tx.clone());
        let bus =
            Arc::new(Bus::new(env.clone(), settings.clone(), Near::new(&settings.near, env.clone()), tasks.clone()));
        let watchdog = bus.watchdog.clone();
        let limit = Duration::from_millis(settings.node.watchdog_ms);
        let turn_interval = (!limit.is_zero()).then_some(limit / 4);
        let (threads, control) = (count(settings.node.arbiters), settings.node.control_thread);
        let arbiters = Arc::new(Arbiters::start(threads, control, &watchdog, turn_interval, &tasks));
        if !limit.is_zero() {
            watchdog.watch(env, limit, &tasks);
        }
        let (join, joined) = watch::channel(false);
        let node = NodeContext {
            bus: bus.clone(),
            config: Arc::new(config),
            arbiters: arbiters.clone(),
            watchdog: watchdog.clone(),
            blocking: Blocking::at_most(count(settings.node.blocking_threads)),
            provided: Arc::new(roster.provided()),
            fatal: fatal_tx.clone(),
            joined,
        };
        let mut hosted = beside;
        for name in hosts {
            let unknown = || ConfigError::new(roster.no_such(name));
            hosted.push(roster.spec(name).ok_or_else(unknown)?.host(&node)?);
        }
        bus.open(hosted);
        let exclusive = bus.hosts().iter().filter(|h| h.is_exclusive()).map(|h| h.name.to_string()).collect();
        let address = || settings.node.admin_listen.clone();
        let admin = admin::listen(&bus).map_err(|error| NodeError::Admin { address: address(), error })?;
        let cluster = connect(&bus, &arbiters, exclusive).await?;
        let keeps = hosts.iter().any(|name| roster.schema(name).is_some())
            || bus.hosts().iter().any(|h| h.entries().iter().any(|e| matches!(e.kind(), HandlerKind::Durable(_))));
        open_log(&bus, cluster, keeps).await?;
        join.send_replace(true);
        let admin = Mutex::new(admin.into_iter().collect());
        Ok(Self { bus, watchdog, fatal, admin, _arbiters: arbiters })
    }

    /// This node's name and epoch on the wire; `None` without a bridge.
    pub fn epoch(&self) -> Option<u64> {
        self.bus.remote().map(|r| r.identity().epoch)
    }

    /// Leaves: tells the others, finishes what is under way, and goes. Ends after `drain.timeout_ms` at the latest.
    pub async fn drain(&self) {
        let limit = Duration::from_millis(self.bus.settings.drain.timeout_ms);
        if tokio::time::timeout(limit, self.leave()).await.is_err() {
            tracing::warn!(
                timeout_ms = limit.as_millis() as u64,
                "not everything was finished in time; ending all the same"
            );
        }
    }

    async fn leave(&self) {
        self.bus.set_draining();
        let hosts = self.bus.hosts();
        let announced = async {
            if let Some(remote) = self.bus.remote() {
                remote.announce_leave().await;
            }
        };
        // The hosts' own drains (the gateway's) still ask hosts of this node, which go on serving them.
        let drained = futures_util::future::join_all(hosts.iter().map(|h| h.drain()));
        futures_util::future::join(announced, drained).await;
        if let Some(durable) = self.bus.durable() {
            durable.leaving.leave().await;
        }
        for host in hosts {
            host.idle().await;
        }
        if let Some(durable) = self.bus.durable() {
            durable.flush().await;
        }
        if let Some(remote) = self.bus.remote() {
            remote.finish_answers().await;
            remote.close().await;
        }
        let listeners = std::mem::take(&mut *self.admin.lock().unwrap_or_else(PoisonError::into_inner));
        for listener in listeners {
            listener.stop(true).await;
        }
    }

    /// Serves operators at a socket of this path too, which only this process's user may open.
    ///
    /// # Errors
    /// If there can be no socket of that name.
    pub fn listen_at_socket(&self, path: &Path) -> std::io::Result<()> {
        let listener = admin::listen_at_socket(&self.bus, path)?;
        self.admin.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        Ok(())
    }

    /// How this node is.
    pub async fn status(&self) -> NodeStatus {
        NodeStatus::of(&self.bus).await
    }

    /// What the harness and the tests of the runtime look into.
    pub(crate) fn bus(&self) -> &Arc<Bus> {
        &self.bus
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

/// Connects the node to the bridge that the configuration names; the cluster that it joins there.
async fn connect(
    bus: &Arc<Bus>,
    arbiters: &Arc<Arbiters>,
    exclusive: Vec<String>,
) -> Result<Option<Arc<Cluster>>, NodeError> {
    let settings = &bus.settings;
    let (wire, me, events, cluster): (Arc<dyn Wire>, _, _, _) = if !settings.bridge.url.is_empty() {
        let (wire, me, events) = Redis::join(settings, exclusive, bus.env.clone(), &bus.tasks).await?;
        let cluster = wire.cluster();
        (Arc::new(wire), me, events, Some(cluster))
    } else if settings.parity.enabled {
        let (wire, me, events) = Embedded::new(&settings.node.name, settings.parity.clone());
        (Arc::new(wire), me, events, None)
    } else {
        return Ok(None);
    };
    let remote = Remote::start(RemoteParts {
        wire,
        me,
        events,
        ports: Ports {
            inbound: Arc::downgrade(bus) as Weak<dyn Inbound>,
            hosts: Arc::downgrade(bus) as Weak<dyn Hosts>,
            threads: Arc::downgrade(arbiters) as Weak<dyn AnswerThreads>,
        },
        env: bus.env.clone(),
        settings: settings.clone(),
        tasks: bus.tasks.clone(),
        cycle_fatal: |cycle| NodeError::Cycle(cycle).into_fatal(),
    });
    bus.connect(remote.clone());
    match remote.join().await {
        Some(cycle) => {
            remote.close().await;
            Err(NodeError::Cycle(cycle.join(" -> ")))
        }
        None => Ok(cluster),
    }
}

/// Opens the log of durable messages: the bridge's, or the embedded one where anything is kept at all.
async fn open_log(bus: &Arc<Bus>, cluster: Option<Arc<Cluster>>, keeps: bool) -> Result<(), NodeError> {
    let (settings, env) = (&bus.settings, bus.env.clone());
    let log: Arc<dyn Log> = if let Some(cluster) = cluster {
        Arc::new(RedisLog::connect(settings, cluster, env, &bus.tasks).await?)
    } else if keeps {
        Arc::new(EmbeddedLog::open(settings, env, &bus.tasks).await?)
    } else {
        return Ok(());
    };
    if let Some(weak) = log.weaker_than_configured().await {
        tracing::warn!("durable messages survive less than they should: {weak}");
    }
    let durable = Durable::start(log, settings, &bus.env, &bus.tasks);
    if !settings.bridge.url.is_empty() {
        log_migration::run(&durable, settings, &bus.env).await?;
    }
    bus.keep(durable);
    Ok(())
}

impl Drop for Node {
    fn drop(&mut self) {
        self.watchdog.stop();
    }
}
