//! The platform in one process or in several: real `essaim` processes of one test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::{
    Api, Clock, ClusterNode, Database, Namespace, Process, Redis, Scratch, Signal, eventually, free_port, repository,
};

/// The e-mail address of the first administrator of every cluster.
pub const ADMIN_EMAIL: &str = "admin@example.com";
/// Their password.
pub const ADMIN_PASSWORD: &str = "correct horse battery";

/// The binary under test.
pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_essaim");

/// Log line of a node when all that it hosts is up.
pub(super) const READY: &str = "ready: every capability of this node runs";

/// A command of the binary under test, without what the environment of the tests might tell it.
pub fn essaim() -> Command {
    clean(Command::new(BINARY))
}

pub(super) fn clean(mut command: Command) -> Command {
    command.current_dir(repository()).env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("ESSAIM__")) {
        command.env_remove(name);
    }
    // Several run at a time.
    command.env("ESSAIM__CONSOLE__LISTEN", "127.0.0.1:0");
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

    /// The address of the first node's admin listener, as `--url` takes it.
    pub fn first_admin(&self) -> String {
        let node = self.nodes.first().expect("a cluster has nodes");
        format!("{}:{}", node.address, node.admin_port)
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
        let console_port = hosts("console").then(free_port);
        let data = Scratch::new(name);
        let far = self.far.as_ref().filter(|far| far.node == name);
        let address = far.map_or("127.0.0.1", |far| &far.address).to_string();
        let mut settings = vec![
            format!("node.admin_listen={address}:{admin_port}"),
            format!("auth.first_admin.email={ADMIN_EMAIL}"),
            format!("auth.first_admin.password={ADMIN_PASSWORD}"),
        ];
        settings.extend(gateway_port.map(|port| format!("gateway.listen=127.0.0.1:{port}")));
        settings.extend(console_port.map(|port| format!("console.listen=127.0.0.1:{port}")));
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
            console_port,
            namespace,
            process: None,
            environment: self.environment.clone(),
            data,
            planned: None,
            clock: self.clock.clone(),
        }
    }
}
