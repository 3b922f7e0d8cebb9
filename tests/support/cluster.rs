//! The platform in one process or in several: real `essaim` processes of one test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::{Api, Clock, Database, Namespace, Process, Redis, Scratch, Signal, eventually, free_port, repository};

/// The e-mail address of the first administrator of every cluster.
pub const ADMIN_EMAIL: &str = "admin@example.com";
/// Their password.
pub const ADMIN_PASSWORD: &str = "correct horse battery";

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_essaim");

/// Log line of a node when all that it hosts is up.
const READY: &str = "ready: every capability of this node runs";

/// A command of the binary under test, without what the environment of the tests might tell it.
pub fn essaim() -> Command {
    clean(Command::new(BINARY))
}

fn clean(mut command: Command) -> Command {
    command.current_dir(repository()).env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("ESSAIM__")) {
        command.env_remove(name);
    }
    command
}

/// A cluster, being described.
pub struct ClusterBuilder {
    topology: Option<String>,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    absent: Vec<String>,
    far: Option<Far>,
    clock: Option<Arc<Clock>>,
}

/// The one node that is in a network namespace.
struct Far {
    node: String,
    namespace: String,
    /// Where it is reached.
    address: String,
    /// Where Redis is reached from there.
    bridge_url: String,
}

/// Running nodes, each with free ports and a data directory of its own. They end with the value.
pub struct Cluster {
    nodes: Vec<ClusterNode>,
}

/// One process of a cluster.
pub struct ClusterNode {
    name: String,
    arguments: Vec<String>,
    address: String,
    admin_port: u16,
    gateway_port: Option<u16>,
    namespace: Option<String>,
    process: Option<Process>,
    /// More variables of its environment.
    environment: Vec<(String, String)>,
    data: Scratch,
    /// Where its next process dies: a variable of that process's environment, which `crash.rs` of the runtime reads.
    planned: Option<(&'static str, String)>,
    /// The wall clock of its processes, if it is not the machine's.
    clock: Option<Arc<Clock>>,
}

impl Cluster {
    /// The cluster of a topology file, such as `config/split.toml`.
    pub fn of(topology: &str) -> ClusterBuilder {
        ClusterBuilder::new(Some(topology.to_string()))
    }

    /// All capabilities in one process.
    pub fn single() -> ClusterBuilder {
        // Without the demo catalogue, which only `essaim run` has, every shape begins empty.
        ClusterBuilder::new(None).set("catalog.demo", false)
    }

    /// A client of the first gateway.
    pub fn api(&self) -> Api {
        self.apis().into_iter().next().expect("a node of the cluster hosts the gateway")
    }

    /// A client of every gateway.
    pub fn apis(&self) -> Vec<Api> {
        self.nodes.iter().filter_map(|n| n.gateway_port).map(Api::at).collect()
    }

    /// A client of the first gateway, logged in as the first administrator.
    #[track_caller]
    pub fn admin(&self) -> Api {
        self.api().logged_in(ADMIN_EMAIL, ADMIN_PASSWORD)
    }

    #[track_caller]
    pub fn node(&mut self, name: &str) -> &mut ClusterNode {
        let node = self.nodes.iter_mut().find(|n| n.name == name);
        node.unwrap_or_else(|| panic!("no node is called `{name}`"))
    }

    pub fn nodes(&mut self) -> impl Iterator<Item = &mut ClusterNode> {
        self.nodes.iter_mut()
    }

    /// The nodes that were started and have not ended.
    pub fn running(&mut self) -> impl Iterator<Item = &mut ClusterNode> {
        self.nodes.iter_mut().filter_map(|node| node.is_running().then_some(node))
    }

    /// Ends every node that was started in order, and asserts that each exits with 0.
    #[track_caller]
    pub fn stop(mut self) {
        self.nodes.iter_mut().for_each(|n| n.signal(Signal::Term));
        for node in self.nodes.iter_mut().filter(|n| n.process.is_some()) {
            assert_eq!(node.exit_code(), Some(0), "the exit code of `{}`", node.name);
        }
    }
}

impl ClusterBuilder {
    fn new(topology: Option<String>) -> Self {
        let (settings, environment, absent) = (Vec::new(), Vec::new(), Vec::new());
        Self { topology, settings, environment, absent, far: None, clock: None }
    }

    /// Sets a key in every node: `.set("ask.timeout_ms", 500)`.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push(format!("{key}={}", value.to_string()));
        self
    }

    /// Connects the nodes through that Redis.
    pub fn over(self, redis: &Redis) -> Self {
        self.set("bridge.url", redis.url())
    }

    /// Connects the nodes through a numbered database of that Redis.
    pub fn over_database(self, redis: &Redis, number: u32) -> Self {
        self.set("bridge.url", format!("{}/{number}", redis.url()))
    }

    /// Keeps the data of every capability in that PostgreSQL database.
    pub fn on(self, database: &Database) -> Self {
        let capabilities = ["users", "auth", "catalog", "orders"];
        capabilities.iter().fold(self, |c, name| c.set(&format!("capabilities.{name}.database"), database.url()))
    }

    /// Puts a node behind the link of a network namespace. A gateway in it cannot be reached from here.
    pub fn inside(mut self, node: &str, namespace: &Namespace, redis: &Redis) -> Self {
        self.far = Some(Far {
            node: node.to_string(),
            namespace: namespace.name().to_string(),
            address: namespace.inner_address().to_string(),
            bridge_url: redis.far_url(),
        });
        self
    }

    /// Sets a variable of the environment of all nodes.
    pub fn environment(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.into(), value.to_string()));
        self
    }

    /// Has all nodes read that clock.
    pub fn by(mut self, clock: &Arc<Clock>) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Does not start that node; [`ClusterNode::start`] does later.
    pub fn without(mut self, node: &str) -> Self {
        self.absent.push(node.to_string());
        self
    }

    /// Starts the nodes and waits until they are ready.
    ///
    /// # Panics
    /// If one of them ends, or is not ready in time.
    #[track_caller]
    pub fn start(self) -> Cluster {
        let mut nodes = match &self.topology {
            None => vec![self.node("main", vec!["run".into()], |_| true)],
            Some(topology) => self.nodes_of(topology),
        };
        let present = |node: &&mut ClusterNode| !self.absent.contains(&node.name);
        nodes.iter_mut().filter(present).for_each(ClusterNode::start);
        nodes.iter_mut().filter(present).for_each(|n| n.wait_until_ready());
        Cluster { nodes }
    }

    fn nodes_of(&self, topology: &str) -> Vec<ClusterNode> {
        let path = repository().join(topology);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{topology}: {e}"));
        let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{topology}: {e}"));
        let nodes = table["nodes"].as_table().expect("[nodes.NAME] are tables");
        let start = |name: &str| ["node", name, "--config", topology].map(String::from).to_vec();
        let hosts = |node: &toml::Value, what: &str| node["hosts"].as_array().is_some_and(|h| h.contains(&what.into()));
        nodes.iter().map(|(name, node)| self.node(name, start(name), |what| hosts(node, what))).collect()
    }

    fn node(&self, name: &str, mut arguments: Vec<String>, hosts: impl Fn(&str) -> bool) -> ClusterNode {
        let (admin_port, gateway_port) = (free_port(), hosts("gateway").then(free_port));
        let data = Scratch::new(name);
        let far = self.far.as_ref().filter(|far| far.node == name);
        let address = far.map_or("127.0.0.1", |far| &far.address).to_string();
        let mut settings = vec![
            format!("node.admin_listen={address}:{admin_port}"),
            format!("auth.first_admin.email={ADMIN_EMAIL}"),
            format!("auth.first_admin.password={ADMIN_PASSWORD}"),
        ];
        settings.extend(gateway_port.map(|port| format!("gateway.listen=127.0.0.1:{port}")));
        settings.extend(self.settings.iter().cloned());
        settings.extend(far.map(|far| format!("bridge.url={}", far.bridge_url)));
        let namespace = far.map(|far| far.namespace.clone());
        arguments.extend(["--data-dir".to_string(), data.path().display().to_string()]);
        arguments.extend(settings.into_iter().flat_map(|s| ["--set".to_string(), s]));
        let name = name.to_string();
        ClusterNode {
            name,
            arguments,
            address,
            admin_port,
            gateway_port,
            namespace,
            process: None,
            environment: self.environment.clone(),
            data,
            planned: None,
            clock: self.clock.clone(),
        }
    }
}

impl ClusterNode {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A client of its gateway.
    #[track_caller]
    pub fn api(&self) -> Api {
        Api::at(self.gateway_port.unwrap_or_else(|| panic!("`{}` hosts no gateway", self.name)))
    }

    /// A client of its admin listener.
    pub fn admin(&self) -> Api {
        Api::of(&self.address, self.admin_port)
    }

    /// Where its databases are.
    pub fn data(&self) -> PathBuf {
        self.data.path().to_path_buf()
    }

    /// The process, which is running or has ended.
    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap_or_else(|| panic!("`{}` was never started", self.name))
    }

    pub fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }

    /// Ends it at once, as kill -9 does.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// The node keeps its sockets and answers nothing.
    pub fn pause(&mut self) {
        self.signal(Signal::Stop);
    }

    /// The node goes on.
    pub fn resume(&mut self) {
        self.signal(Signal::Continue);
    }

    /// Ends it in order and asserts that it exits with 0.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::Term);
        assert_eq!(self.exit_code(), Some(0), "the exit code of `{}`", self.name);
    }

    /// Waits until it has ended; its exit code, or `None` if a signal ended it.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.process().exit_code()
    }

    /// Sets a key from its next start on.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.arguments.extend(["--set".to_string(), format!("{key}={}", value.to_string())]);
    }

    /// Has its next process die at that point, a fail point of the runtime's `crash.rs`: `apply.after-commit@3`.
    pub fn crash_at(&mut self, point: &str) {
        self.planned = Some(("ESSAIM_CRASH_AT", point.into()));
    }

    /// Has a task of its next process panic at that point, once: `task.relay@3`.
    pub fn panic_at(&mut self, point: &str) {
        self.planned = Some(("ESSAIM_PANIC_AT", point.into()));
    }

    /// Has a handler of its next process block its thread at that point, once: `apply.before-commit@3`.
    pub fn block_at(&mut self, point: &str) {
        self.planned = Some(("ESSAIM_BLOCK_AT", point.into()));
    }

    /// Starts it (again), with the same name, ports and data; does not wait.
    pub fn start(&mut self) {
        let mut command = match &self.namespace {
            None => essaim(),
            Some(namespace) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", namespace, BINARY]);
                clean(inside)
            }
        };
        if let Some((variable, point)) = self.planned.take() {
            command.env(variable, point);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(clock) = &self.clock {
            clock.rule(&mut command);
        }
        self.process = Some(Process::start(&self.name, command.args(&self.arguments)));
    }

    /// Another process under the same name, with a port and a data directory of its own; not started yet. For nodes
    /// without a gateway.
    pub fn twin(&self) -> Self {
        let (admin_port, data) = (free_port(), Scratch::new(&self.name));
        let listen = |port: u16| format!("node.admin_listen={}:{port}", self.address);
        let (old_listen, old_data) = (listen(self.admin_port), self.data.path().display().to_string());
        let own = |argument: &String| match argument {
            a if *a == old_listen => listen(admin_port),
            a if *a == old_data => data.path().display().to_string(),
            a => a.clone(),
        };
        let arguments = self.arguments.iter().map(own).collect();
        let (name, address, namespace) = (self.name.clone(), self.address.clone(), self.namespace.clone());
        Self {
            name,
            arguments,
            address,
            admin_port,
            data,
            namespace,
            process: None,
            environment: self.environment.clone(),
            planned: None,
            clock: self.clock.clone(),
            ..*self
        }
    }

    /// Its epoch, as it says at its admin listener.
    #[track_caller]
    pub fn epoch(&self) -> u64 {
        self.admin().get("/status").is(200)["epoch"].as_u64().expect("a node on a bridge has an epoch")
    }

    /// The port of its gateway.
    pub fn gateway_port(&self) -> Option<u16> {
        self.gateway_port
    }

    /// Whether it was started and has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Starts it again and waits until it is ready.
    #[track_caller]
    pub fn restart(&mut self) {
        self.start();
        self.wait_until_ready();
    }

    /// Waits until all that it hosts is up and, for a gateway, all that it routes to.
    ///
    /// # Panics
    /// If it ends first.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let (gateway, name) = (self.gateway_port.map(Api::at), self.name.clone());
        let process = self.process();
        process.wait_for_line(READY);
        if let Some(gateway) = gateway {
            let ready = |answer: super::Answer| (answer.status == 200).then_some(());
            eventually(&format!("the gateway of `{name}` to be ready"), || {
                assert!(process.is_running(), "`{name}` ended");
                ready(gateway.try_send("GET", "/readyz", None).ok()?)
            });
        }
    }
}
