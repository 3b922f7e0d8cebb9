//! A Redis Sentinel of one test.

use std::process::Command;

use super::{Process, Redis, Scratch, eventually, free_port};

/// What the sentinel calls the primary.
const NAME: &str = "shop";

/// One sentinel, which promotes a replica by itself once the primary is silent. It ends with the value.
pub struct Sentinel {
    _server: Process,
    port: u16,
    _directory: Scratch,
}

impl Sentinel {
    /// Starts a sentinel over a primary that has one replica, and waits until it knows both.
    ///
    /// # Panics
    /// If there is no `redis-server`, or it does not find the replica.
    pub fn over(primary: &Redis) -> Self {
        let (port, directory) = (free_port(), Scratch::new("sentinel"));
        // A replica whose link has been down for ten times `down-after-milliseconds` is not promoted.
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {NAME} 4000\nsentinel failover-timeout {NAME} 10000\n",
            directory.path().display(),
            primary.port(),
        );
        let mut command = Command::new("redis-server");
        command.arg(directory.write("sentinel.conf", &text)).arg("--sentinel");
        let server = Process::start("redis-sentinel", &mut command);
        server.wait_for_line("Sentinel ID is");
        let sentinel = Self { _server: server, port, _directory: directory };
        let knows_replica = || sentinel.asked("replicas").contains("link-status: ok").then_some(());
        eventually("the sentinel to know the replica", knows_replica);
        sentinel
    }

    /// The address for `bridge.url`: another sentinel is named before this one, and does not answer.
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{}/{NAME}", free_port(), self.port)
    }

    /// Waits until the server at that port is the primary.
    #[track_caller]
    pub fn wait_until_promoted(&self, replica: &Redis) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("the url is well formed");
        let mut connection = client.get_connection().expect("the sentinel takes connections");
        eventually("the replica to be promoted", || {
            let mut ask = redis::cmd("SENTINEL");
            let (_, port): (String, u16) =
                ask.arg("get-master-addr-by-name").arg(NAME).query(&mut connection).expect("it knows a primary");
            let is_primary = || replica.command::<String>("INFO replication").contains("role:master");
            (port == replica.port() && is_primary()).then_some(())
        });
    }

    /// What the sentinel says about the primary's replicas, as `name: value` for each field.
    fn asked(&self, what: &str) -> String {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("the url is well formed");
        let mut connection = client.get_connection().expect("the sentinel takes connections");
        let answer: Vec<Vec<String>> =
            redis::cmd("SENTINEL").arg(what).arg(NAME).query(&mut connection).expect("it knows the primary");
        let fields = answer.iter().flat_map(|one| one.chunks(2)).map(|pair| pair.join(": ").replace("master-", ""));
        fields.collect::<Vec<_>>().join("\n")
    }
}
