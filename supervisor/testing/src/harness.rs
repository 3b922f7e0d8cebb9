//! Test harness: one actor alone, with a database and a log of its own, stubs for the capabilities it asks, and access to
//! the durable messages that it sends.
//!
//! Everything runs on the test's own thread, so `#[tokio::test(start_paused = true)]` pauses the actor's time too.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::lock::Mutex;
use essaim_config::{Config, SupervisionConfig};
use essaim_contract::{Ask, AskError, Capability, Event, Principal, wire_name};
use essaim_core::api::actor::Actor;
use essaim_core::api::client::Client;
use essaim_core::local::admission::AskEnvelope;
use essaim_core::local::handler::AskEntry;
use essaim_core::local::host::Host;
use essaim_core::local::instance::InstanceHandle;
use essaim_core::local::mailbox::{EnvelopeContents, Mailbox, Stub};
use essaim_core::local::supervision::Supervision;
use essaim_core::node::bus::AskResultOf;
use essaim_core::node::roster::{Roster, name_of};
use essaim_core::node::{NodeParts, RunningNode};
use essaim_operate::operators;
use tokio::sync::watch;
use tokio::task::LocalSet;

mod durable;

/// Builder of a [`Stage`].
pub struct Harness<A: Actor> {
    roster: Roster,
    config: Config,
    seed: u64,
    stubs: Vec<Arc<Host>>,
    /// Events that are kept for the test to look at.
    witnessed: Vec<String>,
    directory: Directory,
    actor: std::marker::PhantomData<fn() -> A>,
}

/// One actor, running alone.
pub struct Stage<A: Actor> {
    local: LocalSet,
    node: RunningNode,
    _directory: Directory,
    actor: std::marker::PhantomData<fn() -> A>,
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl<A: Actor> Harness<A> {
    /// A stage for an actor without a database. What durable messages need is in a directory that goes with the test.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn bare() -> Self {
        let path = std::env::temp_dir().join(format!("essaim-harness-{}", Env::system().id()));
        std::fs::create_dir_all(&path).expect("a temporary directory can be made");
        let mut config = Config::default();
        config.settings.node.data_dir = path.clone();
        // All that is sent is in one order.
        config.settings.durable.partitions = 1;
        // On one thread, whose time can be paused.
        (config.settings.node.arbiters, config.settings.node.control_thread) = (1, false);
        config.settings.node.watchdog_ms = 0;
        config.settings.trace.store_bytes = 0;
        Self {
            roster: Roster::new().host::<A>(),
            config,
            seed: 1,
            stubs: Vec::new(),
            witnessed: Vec::new(),
            directory: Directory(path),
            actor: std::marker::PhantomData,
        }
    }

    /// A stage with a SQLite database of its own, in a directory that goes with the test.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn sqlite() -> Self {
        Self::bare()
    }

    /// The actor's settings; the defaults if it is not called.
    ///
    /// # Panics
    /// If the settings are not a table.
    pub fn settings(mut self, settings: A::Settings) -> Self {
        let section = toml::Value::try_from(settings).expect("settings are a table of plain values");
        self.config.set_section(name_of::<A>(), section);
        self
    }

    /// Changes the runtime's settings.
    pub fn runtime(mut self, change: impl FnOnce(&mut essaim_config::Settings)) -> Self {
        change(&mut self.config.settings);
        self
    }

    /// Seeds ids and randomness.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Provides a value, as [`Roster::provide`] does.
    pub fn provide<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.roster = self.roster.provide(value);
        self
    }

    /// Answers an ask of the actor in place of the capability that it asks.
    pub fn stub<M: Ask>(
        mut self,
        answer: impl FnMut(M) -> Result<M::Reply, AskError<M::Error>> + Send + 'static,
    ) -> Self {
        let name: Arc<str> = <M::To as Capability>::NAME.into();
        let supervision =
            Supervision::new(name.clone(), SupervisionConfig::default(), Env::system(), watch::channel(None).0);
        supervision.started();
        let entry = Arc::new(AskEntry::<M>::of_type());
        let instance = InstanceHandle::new(0, Arc::default(), Mailbox::stubbed(stub(answer)));
        let host = Host::new(name, supervision, &[], vec![entry], 0, std::iter::once(instance), u32::MAX);
        host.instances()[0].set_up(true);
        self.stubs.push(Arc::new(host));
        self
    }

    /// Keeps the events of this kind that the actor publishes, for [`Stage::published`]; those that nobody subscribes to
    /// are kept nowhere.
    pub fn witness<E: Event>(mut self) -> Self {
        self.witnessed.push(wire_name::<E>());
        self
    }

    /// Starts the actor and waits until it is up.
    ///
    /// # Panics
    /// If the configuration is wrong.
    pub async fn start(self) -> Stage<A> {
        let local = LocalSet::new();
        // An ordinary day, so that tokens and ids made in tests look as they do in life.
        let env = Env::simulated(self.seed, Duration::from_secs(1_800_000_000));
        let node = local
            .run_until(async {
                let hosts = [name_of::<A>()];
                let node = RunningNode::start(NodeParts {
                    roster: &self.roster,
                    hosts: &hosts,
                    config: self.config,
                    env,
                    beside: self.stubs,
                    operators: operators(),
                });
                let node = node.await.expect("the harness's configuration is right");
                durable::subscribe(&node, &self.witnessed).await;
                node.up().await;
                node
            })
            .await;
        Stage { local, node, _directory: self.directory, actor: std::marker::PhantomData }
    }
}

impl<A: Actor> Stage<A> {
    /// Asks the actor.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask<M: Ask<To = A::Capability>>(&self, message: M) -> AskResultOf<M> {
        self.local.run_until(self.node.client().ask(message)).await
    }

    /// Asks the actor on behalf of a principal.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_as<M: Ask<To = A::Capability>>(&self, principal: Principal, message: M) -> AskResultOf<M> {
        self.local.run_until(self.node.client().on_behalf_of(principal).ask(message)).await
    }

    /// Runs anything else that needs the actor to go on meanwhile.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        self.local.run_until(work).await
    }

    /// A client; what it returns must be awaited inside [`Stage::run`].
    pub fn client(&self) -> Client {
        self.node.client()
    }
}

/// Answers every ask of a stubbed capability.
fn stub<M: Ask>(answer: impl FnMut(M) -> Result<M::Reply, AskError<M::Error>> + Send + 'static) -> Stub {
    let answer = Mutex::new(answer);
    Box::new(move |queued| {
        let envelope: Arc<dyn Any + Send + Sync> = queued.envelope.clone();
        let Ok(envelope) = envelope.downcast::<AskEnvelope<M>>() else { return };
        if let Some(EnvelopeContents { message, .. }) = envelope.begin() {
            let answer = (answer.lock())(message);
            envelope.answer(answer);
        }
    })
}

#[cfg(test)]
mod tests;
