//! Start-up of a capability in this node: its settings, its database, the shared part, the instances.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::call::Call;
use essaim_base::exit::Fatal;
use essaim_base::lock::Mutex;
use essaim_base::panic::panic_text;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::{Config, ConfigError, Settings};
use essaim_durable::ports::Peers;
use essaim_durable::schedule::Timetable;
use essaim_durable::{Consumer, Hosted};
use essaim_store::{ConnectionBudget, Database, Schema};
use essaim_trace::Recorder;
use futures_util::FutureExt;
use tokio::sync::{oneshot, watch};

use crate::api::actor::Actor;
use crate::api::handles::Handles;
use crate::api::start::{Start, StartError};
use crate::local::arbiters::Arbiters;
use crate::local::cell;
use crate::local::handler::{Handler, HandlerEntry, HandlerKind, TICK, Tick};
use crate::local::host::{Host, StartedCapability};
use crate::local::instance::InstanceHandle;
use crate::local::mailbox::Mailbox;
use crate::local::run::InstanceState;
use crate::local::span::Observer;
use crate::local::supervision::Supervision;
use crate::local::watchdog::Watchdog;
use crate::node::bus::Bus;
use crate::node::context::{Blocking, CapabilityContext, ProvidedValues};
use crate::node::roster::{check_name, name_of};

const DEFAULT_INSTANCES_WITH_DATABASE: usize = 32;
const DEFAULT_MAILBOX: u32 = 1_024;
/// A tick may take as long as its period, and at least this long.
const SHORTEST_TICK_LIMIT: Duration = Duration::from_secs(30);

/// Context of a node: what its capabilities have in common.
#[derive(Clone)]
pub struct NodeContext {
    pub env: Env,
    pub settings: Arc<Settings>,
    /// The sections of the capabilities.
    pub config: Arc<Config>,
    pub tasks: Tasks,
    pub recorder: Arc<Recorder>,
    pub arbiters: Arc<Arbiters>,
    pub watchdog: Arc<Watchdog>,
    pub blocking: Blocking,
    /// Of connections to PostgreSQL.
    pub connections: Arc<ConnectionBudget>,
    pub provided: Arc<ProvidedValues>,
    pub fatal: watch::Sender<Option<Fatal>>,
}

impl NodeContext {
    /// The tasks that work on durable messages.
    pub fn durable_tasks(&self) -> Tasks {
        self.tasks.on(self.arbiters.durable())
    }
}

/// Specification of a capability in the roster: what can be known of it, and how it is started.
pub trait CapabilitySpec: Send + Sync {
    fn name(&self) -> &'static str;
    fn asks(&self) -> &'static [&'static str];
    fn schema(&self) -> Option<Schema>;
    /// The defaults of its settings.
    fn defaults(&self) -> Result<toml::Value, toml::ser::Error>;
    /// Whether the configuration has all it needs.
    fn check(&self, config: &Config) -> Result<(), ConfigError>;
    /// Makes the capability's host, whose start can begin once there is a bus.
    fn prepare(&self, node: &NodeContext) -> Result<Box<dyn PreparedCapability>, ConfigError>;
}

/// A capability that has its host and is not started.
pub trait PreparedCapability {
    fn host(&self) -> &Arc<Host>;

    /// Begins to start it; on the node's own thread, and not before the node has its name and its claims: until then another
    /// node may own the data.
    fn begin(self: Box<Self>, bus: &Arc<Bus>);
}

pub struct SpecOf<A>(PhantomData<fn() -> A>);

impl<A> SpecOf<A> {
    pub fn of_actor() -> Self {
        Self(PhantomData)
    }
}

impl<A: Actor> CapabilitySpec for SpecOf<A> {
    fn name(&self) -> &'static str {
        name_of::<A>()
    }

    fn asks(&self) -> &'static [&'static str] {
        A::ASKS
    }

    fn schema(&self) -> Option<Schema> {
        A::schema()
    }

    fn defaults(&self) -> Result<toml::Value, toml::ser::Error> {
        toml::Value::try_from(A::Settings::default())
    }

    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        check_name(self.name())?;
        let handles = Handles::<A>::of_actor();
        handles.timetables()?;
        handles.check_subscriptions()?;
        if A::schema().is_some() {
            let location = essaim_store::check_location(self.name(), &config.settings);
            location.map_err(|error| ConfigError::new(error.to_string()))?;
        }
        settings::<A>(config).map(drop)
    }

    fn prepare(&self, node: &NodeContext) -> Result<Box<dyn PreparedCapability>, ConfigError> {
        let name: Arc<str> = self.name().into();
        let settings = settings::<A>(&node.config)?;
        let runtime = node.settings.capabilities.get(&*name).cloned().unwrap_or_default();
        let handles = Handles::<A>::of_actor();
        let timetables: Arc<[Timetable]> = handles.timetables()?.into();
        let table: Arc<[_]> = handles.entries.into();
        let first_label = table.iter().map(|e| node.watchdog.label(e.name().clone())).min().unwrap_or(0);
        let arbiters = node.arbiters.count();
        let instances = match (runtime.instances, A::schema()) {
            (0, Some(_)) => DEFAULT_INSTANCES_WITH_DATABASE,
            (0, None) => arbiters,
            (n, _) => n,
        };
        let mailbox = if runtime.mailbox == 0 { DEFAULT_MAILBOX } else { runtime.mailbox };
        let supervision =
            Supervision::new(name.clone(), node.settings.supervision.clone(), node.env.clone(), node.fatal.clone());
        let instance_on = |arbiter| InstanceHandle::new(arbiter, node.arbiters.monitor(arbiter), Mailbox::default());
        let on_sqlite = A::schema().is_some() && !runtime.database.starts_with("postgres");
        let host = Host::new(
            name.clone(),
            supervision,
            A::ASKS,
            table.iter().map(|e| e.clone() as Arc<dyn Handler>).collect(),
            first_label,
            (0..instances).map(|i| i % arbiters).map(instance_on),
            mailbox,
        );
        let (started, starting) = watch::channel(None);
        let host = host.exclusive(on_sqlite).admitting_of_a_key(runtime.mailbox_per_key).starting(starting);
        let host = host.capturing(node.settings.trace.payload_bytes).scheduling(timetables);
        let host = Arc::new(host);
        Ok(Box::new(CapabilityStartup::<A> { host, started, table, settings, node: node.clone() }))
    }
}

/// The settings of an actor, which it has checked.
fn settings<A: Actor>(config: &Config) -> Result<A::Settings, ConfigError> {
    let settings = config.section(name_of::<A>())?;
    A::check(&settings)?;
    Ok(settings)
}

/// Start-up of one capability.
struct CapabilityStartup<A: Actor> {
    host: Arc<Host>,
    /// The host hears here that its capability has started.
    started: watch::Sender<Option<Arc<StartedCapability>>>,
    table: Arc<[Arc<dyn HandlerEntry<A>>]>,
    settings: A::Settings,
    node: NodeContext,
}

impl<A: Actor> PreparedCapability for CapabilityStartup<A> {
    fn host(&self) -> &Arc<Host> {
        &self.host
    }

    fn begin(self: Box<Self>, bus: &Arc<Bus>) {
        let task = TaskName::of("start", &self.host.name);
        bus.tasks.vital(task, self.run(bus.clone()).map(Ok));
    }
}

impl<A: Actor> CapabilityStartup<A> {
    async fn run(self, bus: Arc<Bus>) {
        let timers = Arc::new(Mutex::new(Vec::new()));
        let (mut context, mut tries) = (None, 0);
        let (shared, context) = loop {
            let tried = AssertUnwindSafe(self.try_share(&bus, &mut context, &timers)).catch_unwind().await;
            let error = match tried {
                Ok(Ok(started)) => break started,
                Ok(Err(error)) => error,
                Err(panic) => StartError::new(format_args!("it panicked: {}", panic_text(&*panic))),
            };
            tries += 1;
            tokio::time::sleep(self.host.supervision.start_failed(&error, tries, false)).await;
        };
        self.started.send_replace(Some(Arc::new(started::<A>(&shared, &context))));
        let start = start_maker(&context, &timers);
        for (index, instance) in self.host.instances().iter().enumerate() {
            let (table, shared, context) = (self.table.clone(), shared.clone(), context.clone());
            let (host, monitor, start) = (self.host.clone(), instance.monitor.clone(), start.clone());
            self.node.arbiters.run(instance.arbiter, move || {
                cell::start::<A>(InstanceState::new(table, shared, context, host, monitor, index), start);
            });
        }
        if let Some(durable) = bus.durable() {
            let store = context.database.clone().zip(context.outbox.clone());
            let (handlers, timetables) = (self.host.clone(), self.host.timetables().clone());
            let peers = Arc::downgrade(&bus) as Weak<dyn Peers>;
            Consumer::start(durable.clone(), Hosted { handlers, timetables, store, peers });
        }
        let timers = std::mem::take(&mut *timers.lock());
        for (timer, period) in timers {
            let (host, env, task) = (self.host.clone(), bus.env.clone(), TaskName::of("timer", &self.host.name));
            let recorder = bus.recorder.clone();
            let ticks = move || run_timer(host.clone(), (env.clone(), recorder.clone()), timer, period);
            bus.tasks.restarted(task.which(timer), ticks);
        }
    }

    /// Builds the shared part; what was opened for it is opened once.
    async fn try_share(
        &self,
        bus: &Arc<Bus>,
        opened: &mut Option<Arc<CapabilityContext>>,
        timers: &Timers,
    ) -> Result<(Arc<A::Shared>, Arc<CapabilityContext>), StartError> {
        let context = match opened {
            Some(context) => context.clone(),
            None => opened.insert(Arc::new(self.open_context(bus).await?)).clone(),
        };
        let mut start = start_maker(&context, timers)();
        let shared = A::share(self.settings.clone(), &mut start).await;
        Ok((Arc::new(start.certain(shared).await?), context))
    }

    /// The context of the capability, with its database and its outbox if it declares a schema.
    async fn open_context(&self, bus: &Arc<Bus>) -> Result<CapabilityContext, StartError> {
        let (mut database, mut outbox) = (None, None);
        if let Some(schema) = A::schema() {
            let opened = self.open_database(&schema, bus).await.map_err(StartError::new)?;
            if let Some(durable) = bus.durable() {
                outbox = Some(durable.outbox(&opened).await.map_err(StartError::new)?);
            }
            database = Some(opened);
        }
        let entries = self.host.entries();
        let observer = Observer {
            env: bus.env.clone(),
            node: bus.settings.node.name.as_str().into(),
            capability: self.host.name.clone(),
            slow_ms: bus.settings.log.slow_ms,
            recorder: bus.recorder.clone(),
        };
        Ok(CapabilityContext {
            capability: self.host.name.clone(),
            asks: A::ASKS,
            is_asked: entries.iter().any(|e| matches!(e.kind(), HandlerKind::Ask | HandlerKind::Durable(_))),
            bus: bus.clone(),
            observer,
            startup: self.host.startup.clone(),
            database,
            outbox,
            blocking: self.node.blocking.clone(),
            provided: self.node.provided.clone(),
        })
    }

    async fn open_database(&self, schema: &Schema, bus: &Bus) -> Result<Database, essaim_store::DatabaseError> {
        let budget = &self.node.connections;
        let database = Database::open(&self.host.name, &bus.settings, schema, &bus.env, &bus.tasks, budget).await?;
        database.watch_file(&bus.tasks, Duration::from_millis(bus.settings.store.file_check_ms));
        Ok(database)
    }
}

/// Timers that the shared part has asked for.
type Timers = Arc<Mutex<Vec<(&'static str, Duration)>>>;

fn start_maker(context: &Arc<CapabilityContext>, timers: &Timers) -> Arc<dyn Fn() -> Start + Send + Sync> {
    let (context, timers) = (context.clone(), timers.clone());
    Arc::new(move || Start::new(context.clone(), timers.clone()))
}

fn started<A: Actor>(shared: &Arc<A::Shared>, context: &CapabilityContext) -> StartedCapability {
    let (draining, figures) = (shared.clone(), shared.clone());
    StartedCapability {
        drain: Box::new(move || {
            let shared = draining.clone();
            Box::pin(async move { A::drain(&shared).await })
        }),
        status: Box::new(move || A::status(&figures)),
        database: context.database.clone(),
        outbox: context.outbox.clone(),
    }
}

/// Ticks now and then every `period`; a tick that takes longer is waited for.
async fn run_timer(host: Arc<Host>, (env, recorder): (Env, Arc<Recorder>), timer: &'static str, period: Duration) {
    loop {
        host.supervision.running().await;
        let due = env.now() + period;
        if let Ok(permit) = host.admit(None) {
            let (done, ended) = oneshot::channel();
            let call = Call::of_the_runtime(env.now() + period.max(SHORTEST_TICK_LIMIT), recorder.root());
            permit.deliver(TICK, Tick { timer, done }, call);
            let _ = ended.await;
        }
        tokio::time::sleep_until(due).await;
    }
}
