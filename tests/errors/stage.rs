//! The probes in one node, or in two with a real Redis between them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use essaim::config::Config;
use essaim::{Client, Env, Node, NodeError, Roster};
use essaim_contract::{Ask, AskError};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};

use super::probe::{Deed, Do, ProbeActor, RelayActor, Waiting};
use crate::support::{PATIENCE, Redis, eventually};

/// How much sooner than the asker the probe's node ends an ask that came over the wire, in milliseconds.
const MARGIN_MS: u64 = 400;

/// The bounds of the probe.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub instances: usize,
    pub mailbox: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { instances: 2, mailbox: 16 }
    }
}

/// The asker's node, the probe's node (the same one when local), and the Redis between them.
pub struct Stage {
    asker: Client,
    waiting: Waiting,
    runtime: Runtime,
    _nodes: Vec<TestNode>,
    _redis: Option<Redis>,
}

impl Stage {
    /// Both capabilities in the asker's own node.
    pub fn local(bounds: Bounds) -> Self {
        let waiting = Waiting(Arc::new(Semaphore::new(0)));
        let node = TestNode::start("all", &["relay", "probe"], bounds, None, &waiting);
        Self::ask_from(node.client.clone(), vec![node], None, waiting)
    }

    /// The relay with the asker, the probe in a node behind a real Redis.
    pub fn over_redis(bounds: Bounds) -> Self {
        let (redis, waiting) = (Redis::start(), Waiting(Arc::new(Semaphore::new(0))));
        let url = redis.url();
        let near = TestNode::start("near", &["relay"], bounds, Some(&url), &waiting);
        let far = TestNode::start("far", &["probe"], bounds, Some(&url), &waiting);
        Self::ask_from(near.client.clone(), vec![near, far], Some(redis), waiting)
    }

    fn ask_from(asker: Client, nodes: Vec<TestNode>, redis: Option<Redis>, waiting: Waiting) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let stage = Self { asker, waiting, runtime, _nodes: nodes, _redis: redis };
        // The nodes have seen each other once an ask arrives.
        eventually("the probe to be reachable", || stage.ask(PATIENCE, Do(Deed::Answer)).ok());
        stage
    }

    /// Asks within a time limit and waits for the end.
    pub fn ask<M: Ask + Sync>(&self, limit: Duration, message: M) -> Result<M::Reply, AskError<M::Error>> {
        self.runtime.block_on(self.asker.clone().within(limit).ask(message))
    }

    /// Asks and lets the ask go on while the test waits for others; it ends with the returned value.
    pub fn ask_aside(&self, message: Do) -> impl Drop + use<> {
        let asker = self.asker.clone().within(PATIENCE);
        let task = self.runtime.spawn(async move { asker.ask(message).await });
        Aside(task.abort_handle())
    }

    /// Waits until that many handlers run.
    pub fn wait_until_running(&self, count: u32) {
        let running = self.waiting.0.acquire_many(count);
        let running = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, running).await });
        running.expect("the handlers begin in time").expect("the semaphore is open").forget();
    }
}

struct Aside(tokio::task::AbortHandle);

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A node that hosts the probe, and the Redis through which it is reached.
pub struct FarNode {
    _node: TestNode,
    redis: Redis,
}

impl FarNode {
    pub fn start() -> Self {
        let (redis, waiting) = (Redis::start(), Waiting(Arc::new(Semaphore::new(0))));
        let node = TestNode::start("far", &["probe"], Bounds::default(), Some(&redis.url()), &waiting);
        Self { _node: node, redis }
    }

    pub fn redis(&self) -> &Redis {
        &self.redis
    }
}

/// A node on a thread of its own.
pub struct TestNode {
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestNode {
    fn start(name: &str, hosts: &'static [&'static str], bounds: Bounds, url: Option<&str>, waiting: &Waiting) -> Self {
        let mut config = config(name, url);
        let probe = config.settings.capabilities.entry("probe".into()).or_default();
        (probe.instances, probe.mailbox) = (bounds.instances, bounds.mailbox);
        let roster = Roster::new().host::<RelayActor>().host::<ProbeActor>().provide(waiting.clone());
        Self::try_start(roster, hosts, config).expect("the node starts")
    }

    /// Starts a node and waits until its capabilities are up.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn try_start(roster: Roster, hosts: &'static [&'static str], config: Config) -> Result<Self, NodeError> {
        Self::run(roster, hosts, config, true)
    }

    /// As [`TestNode::try_start`], without waiting for the capabilities.
    pub fn try_start_without_waiting(
        roster: Roster,
        hosts: &'static [&'static str],
        config: Config,
    ) -> Result<Self, NodeError> {
        Self::run(roster, hosts, config, false)
    }

    fn run(roster: Roster, hosts: &'static [&'static str], config: Config, wait: bool) -> Result<Self, NodeError> {
        let (started, client) = std::sync::mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            essaim::run(async {
                match Node::start(&roster, hosts, config, Env::system()).await {
                    Ok(node) => {
                        if wait {
                            node.up().await;
                        }
                        started.send(Ok(node.client())).expect("the test waits for it");
                        let _ = stopped.await;
                    }
                    Err(error) => started.send(Err(error)).expect("the test waits for it"),
                }
            });
        });
        let client = client.recv_timeout(PATIENCE).expect("the node starts, or says why not")?;
        Ok(Self { client, stop: Some(stop), thread: Some(thread) })
    }

    /// A client of the node.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// The configuration of a node with one arbiter.
pub fn config(name: &str, url: Option<&str>) -> Config {
    let mut config = Config::default();
    config.settings.node.name = name.into();
    // A node that keeps nothing.
    config.settings.node.data_dir = "/nowhere".into();
    config.settings.trace.store_bytes = 0;
    config.settings.node.arbiters = 1;
    config.settings.bridge.url = url.unwrap_or_default().into();
    // On a busy machine the probe's node needs a while to say that the deadline has passed.
    config.settings.wire.deadline_margin_ms = MARGIN_MS;
    config
}

impl Drop for TestNode {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
