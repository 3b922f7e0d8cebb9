//! One process, hosting a set of capabilities.

pub mod bus;
pub mod connection;
pub mod context;
pub mod drain;
#[cfg_attr(not(feature = "otlp"), path = "export/without_otlp.rs")]
pub mod export;
pub mod hosting;
pub mod operators;
pub mod readiness;
pub mod roster;

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::exit::{self, Fatal};
use essaim_base::graph::cycle_in;
use essaim_base::lock::Mutex;
use essaim_base::task::Tasks;
use essaim_base::trace::TraceContext;
use essaim_bridge_embedded::EmbeddedLog;
use essaim_config::{Config, ConfigError, NearConfig};
use essaim_durable::trust::keys_of;
use essaim_durable::{Durable, DurableParts, log_migration};
use essaim_near::{Near, NearBounds};
use essaim_protocol::wire::ClaimError;
use essaim_remote::ports::{AnswerThreads, Hosts, Inbound, Ports};
use essaim_remote::{Remote, RemoteParts};
use essaim_store::{ConnectionBudget, Database, DatabaseError};
use essaim_trace::Recorder;
use tokio::sync::watch;

use crate::api::client::Client;
use crate::local::arbiters::Arbiters;
use crate::local::host::Host;
use crate::local::watchdog::Watchdog;
use crate::node::bus::{Bus, BusParts, LocalHandlers};
use crate::node::connection::{Connection, OpenLog, open_log};
use crate::node::context::Blocking;
use crate::node::export::{ExportError, Exporter};
use crate::node::hosting::NodeContext;
use crate::node::operators::{JoinedBus, Listener, Operators};
use crate::node::roster::Roster;

/// A running node.
pub struct RunningNode {
    bus: Arc<Bus>,
    fatal: watch::Receiver<Option<Fatal>>,
    listeners: Mutex<Vec<Box<dyn Listener>>>,
    joined: JoinedBus,
    operators: Operators,
    exporter: Option<Arc<Exporter>>,
    _arbiters: Arc<Arbiters>,
}

/// What a node is made of.
pub struct NodeParts<'a> {
    pub roster: &'a Roster,
    /// The capabilities that it hosts.
    pub hosts: &'a [&'a str],
    pub config: Config,
    pub env: Env,
    /// Hosts that were made elsewhere.
    pub beside: Vec<Arc<Host>>,
    pub operators: Operators,
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
    /// Message records cannot be exported as configured.
    #[error(transparent)]
    Export(#[from] ExportError),
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
            Self::Config(_) | Self::Cycle(_) | Self::Export(_) => exit::CONFIG,
            Self::Bridge(ClaimError::Unsupported { .. } | ClaimError::Malformed { .. }) => exit::CONFIG,
            Self::Bridge(ClaimError::Unreachable { .. }) => exit::BRIDGE,
            Self::Bridge(ClaimError::Taken(_)) => exit::TAKEN,
            Self::Log(_) => exit::DATA_DIR,
            Self::Admin { .. } => exit::ADDRESS_IN_USE,
        };
        Fatal::new(code, self.to_string())
    }
}

impl RunningNode {
    /// Starts a node. Must be called inside a `LocalSet`, whose thread becomes the node's control thread.
    ///
    /// # Errors
    /// See [`NodeError`]. A capability that cannot start is no error: it is tried again.
    pub async fn start(parts: NodeParts<'_>) -> Result<Self, NodeError> {
        let NodeParts { roster, hosts, config, env, beside, operators } = parts;
        if let Some(cycle) = cycle_in(&roster.ask_graph()) {
            return Err(NodeError::Cycle(cycle.join(" -> ")));
        }
        let settings = Arc::new(config.settings.clone());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = |configured| if configured == 0 { cores } else { configured };
        let (fatal_tx, fatal) = watch::channel(None);
        let tasks = Tasks::new(env.clone(), settings.supervision.backoff(), fatal_tx.clone());
        let watchdog = Arc::<Watchdog>::default();
        let limit = Duration::from_millis(settings.node.watchdog_ms);
        let turn_interval = (!limit.is_zero()).then_some(limit / 4);
        let (threads, control) = (count(settings.node.arbiters), settings.node.control_thread);
        let arbiters = Arc::new(Arbiters::start(threads, control, &watchdog, turn_interval, &tasks));
        if !limit.is_zero() {
            watchdog.watch(env.clone(), limit, &tasks);
        }
        let recorder = Recorder::new(&settings.node.name, &settings.trace, &env, arbiters.count() + 1);
        recorder.start(&tasks);
        let keeping = hosts.iter().copied().filter(|name| roster.schema(name).is_some());
        let connections = ConnectionBudget::of(&settings, keeping).map_err(|e| ConfigError::new(e.to_string()))?;
        let exporter = export::start(&settings.trace.otlp, &env, &recorder, &tasks)?;
        let context = NodeContext {
            env,
            recorder,
            settings: settings.clone(),
            config: Arc::new(config),
            tasks,
            arbiters,
            watchdog,
            blocking: Blocking::at_most(count(settings.node.blocking_threads)),
            connections,
            provided: Arc::new(roster.provided()),
            fatal: fatal_tx,
        };
        let mut prepared = Vec::with_capacity(hosts.len());
        for name in hosts {
            let unknown = || ConfigError::new(roster.no_such(name));
            prepared.push(roster.spec(name).ok_or_else(unknown)?.prepare(&context)?);
        }
        let hosted = beside.into_iter().chain(prepared.iter().map(|p| p.host().clone())).collect();
        let local = Arc::new(LocalHandlers::of(hosted, operators.asks.clone()));
        // Probes are answered from here on, while other nodes and the log are waited for.
        let (joining, joined) = watch::channel(None);
        let (listener, connection) = listen_and_connect(&operators, &context, &local, &joined).await?;
        let keeps = hosts.iter().any(|name| roster.schema(name).is_some())
            || local.hosts().iter().any(|host| host.applies_durable());
        let log = open_log(&context, connection.as_ref(), keeps).await?;
        let log_file = log.as_ref().and_then(|log| log.file.clone());
        let durable = log.map(|OpenLog { log, .. }| {
            let (env, tasks, migrated_kind) = (&context.env, &context.durable_tasks(), EmbeddedLog::KIND);
            let recorder = context.recorder.clone();
            Durable::start(DurableParts { log, settings: &settings, env, tasks, recorder, migrated_kind })
        });
        let bus = assemble(&context, local, connection, (durable, log_file));
        join(&bus).await?;
        joining.send_replace(Some(bus.clone()));
        operators.asks.begin(&bus);
        prepared.into_iter().for_each(|capability| capability.begin(&bus));
        let listeners = Mutex::new(listener.into_iter().collect());
        Ok(Self { bus, fatal, listeners, joined, operators, exporter, _arbiters: context.arbiters })
    }

    /// This node's name and epoch on the wire; `None` without a bridge.
    pub fn epoch(&self) -> Option<u64> {
        self.bus.remote().map(|r| r.identity().epoch)
    }

    /// Serves operators at a socket of this path too, which only this process's user may open.
    ///
    /// # Errors
    /// If there can be no socket of that name.
    pub fn listen_at_socket(&self, path: &Path) -> std::io::Result<()> {
        let listener = self.operators.listeners.listen_at_socket(&self.bus.tasks, &self.joined, path)?;
        self.listeners.lock().push(listener);
        Ok(())
    }

    /// What the harness and the tests of the runtime look into.
    pub fn bus(&self) -> &Arc<Bus> {
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

/// Begins to answer probes, and connects to the bridge. Where the address is in use and there is a bridge, a node of this name may be
/// ending: it has released the name once that is claimed, and closes its listener last.
async fn listen_and_connect(
    operators: &Operators,
    node: &NodeContext,
    local: &LocalHandlers,
    joined: &JoinedBus,
) -> Result<(Option<Box<dyn Listener>>, Option<Connection>), NodeError> {
    let settings = &node.settings;
    let listen = || operators.listeners.listen(settings, &node.tasks, joined);
    let no_address = |error| NodeError::Admin { address: settings.node.admin_listen.clone(), error };
    match listen() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !settings.bridge.url.is_empty() => {}
        listener => return Ok((listener.map_err(no_address)?, Connection::open(node, local).await?)),
    }
    let connection = Connection::open(node, local).await?;
    let listener = once_free(listen, Duration::from_millis(settings.members.lease_ms)).await;
    if let (Err(_), Some(connection)) = (&listener, &connection) {
        connection.wire.release().await;
    }
    Ok((listener.map_err(no_address)?, connection))
}

/// Listens as soon as the address is free, or at the latest after `patience`.
async fn once_free<T>(listen: impl Fn() -> io::Result<T>, patience: Duration) -> io::Result<T> {
    const TRIES: u32 = 40;
    for _ in 1..TRIES {
        match listen() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::time::sleep(patience / TRIES).await,
            listening => return listening,
        }
    }
    listen()
}

/// The bounds of the near cache that the configuration sets.
pub fn near_bounds(config: &NearConfig) -> NearBounds {
    NearBounds { ttl: Duration::from_millis(config.ttl_ms), max_bytes: config.max_bytes }
}

/// Puts the bus on top of what it routes to; what comes from other nodes reaches it through ports.
fn assemble(
    node: &NodeContext,
    local: Arc<LocalHandlers>,
    connection: Option<Connection>,
    (durable, log_file): (Option<Arc<Durable>>, Option<Database>),
) -> Arc<Bus> {
    Arc::new_cyclic(|bus: &Weak<Bus>| {
        let remote = connection.map(|Connection { wire, me, events, .. }| {
            Remote::start(RemoteParts {
                wire,
                me,
                events,
                ports: Ports {
                    inbound: bus.clone() as Weak<dyn Inbound>,
                    hosts: Arc::downgrade(&local) as Weak<dyn Hosts>,
                    threads: Arc::downgrade(&node.arbiters) as Weak<dyn AnswerThreads>,
                },
                env: node.env.clone(),
                settings: node.settings.clone(),
                tasks: node.tasks.clone(),
                recorder: node.recorder.clone(),
                keys: Arc::new(keys_of(&node.settings.bridge)),
                cycle_fatal: |cycle| NodeError::Cycle(cycle).into_fatal(),
            })
        });
        let mut near = Near::new(near_bounds(&node.settings.near), node.env.clone());
        if let Some(remote) = &remote {
            let (env, others) = (node.env.clone(), Arc::downgrade(remote));
            near = near.broadcasting(move |name, body| {
                if let Some(remote) = others.upgrade() {
                    remote.broadcast_own(name, &body, &TraceContext::root(&env));
                }
            });
        }
        let (env, settings, config) = (node.env.clone(), node.settings.clone(), node.config.clone());
        let (tasks, watchdog, recorder) = (node.tasks.clone(), node.watchdog.clone(), node.recorder.clone());
        Bus::new(BusParts { env, settings, config, near, watchdog, tasks, recorder, local, remote, durable, log_file })
    })
}

/// Joins the other nodes, and takes along what an embedded log still holds.
async fn join(bus: &Arc<Bus>) -> Result<(), NodeError> {
    if let Some(remote) = bus.remote()
        && let Some(cycle) = remote.join().await
    {
        remote.close().await;
        return Err(NodeError::Cycle(cycle.join(" -> ")));
    }
    if let Some(durable) = bus.durable().filter(|_| !bus.settings.bridge.url.is_empty())
        && let Some(left) = open_left_log(bus).await?
    {
        log_migration::run(durable, Arc::new(left)).await;
    }
    Ok(())
}

/// The embedded log that the data directory still has from the time when the node was the only process, if no other process of
/// this machine has it.
async fn open_left_log(bus: &Bus) -> Result<Option<EmbeddedLog>, NodeError> {
    if !EmbeddedLog::is_left_at(&bus.settings) {
        return Ok(None);
    }
    match EmbeddedLog::open(&bus.settings, bus.env.clone(), &bus.tasks).await {
        Ok(left) => Ok(Some(left)),
        // Of nodes with one data directory one moves it.
        Err(_) if !EmbeddedLog::is_left_at(&bus.settings) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        self.bus.watchdog.stop();
    }
}
