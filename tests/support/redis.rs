//! A Redis server of one test.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use redis::{Connection, FromRedisValue};

use super::{Process, Scratch, Signal, eventually, free_port};

/// Log line of a server once it has loaded its data.
const READY: &str = "Ready to accept connections";

/// How long each key takes to load at [`Redis::restart_loading`], in microseconds. It answers after every 1024 of them.
const LOAD_DELAY_US: u32 = 200;
/// The keys of [`Redis::fill`].
const FILLING: u32 = 150_000;

/// A real `redis-server` on a free port. It ends with the value.
pub struct Redis {
    server: Process,
    port: u16,
    address: String,
    directory: Scratch,
    keeps: bool,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server that keeps nothing when it ends, and waits until it takes connections.
    ///
    /// # Panics
    /// If there is no `redis-server`, or it does not start.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1")
    }

    /// Starts a server that has stored what it has answered (`appendfsync always`), and has it again after a restart.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn durable() -> Self {
        Self::of("127.0.0.1", true, &[])
    }

    /// Starts a server that keeps nothing, with these arguments.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn with(arguments: &[&str]) -> Self {
        Self::of("127.0.0.1", false, arguments)
    }

    /// Starts a server in cluster mode. Its second port is a free one, too: by itself it takes the one 10,000 higher.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn in_cluster_mode() -> Self {
        Self::with(&["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()])
    }

    /// Starts a server that can also be reached by TLS, with this certificate and key, by clients alone whose certificate that
    /// authority has signed.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn with_tls(authority: &Path, certificate: &Path, key: &Path) -> Self {
        let port = free_port().to_string();
        let paths = [authority, certificate, key].map(|path| path.display().to_string());
        let [authority, certificate, key] = &paths;
        Self::with(&[
            "--tls-port",
            &port,
            "--tls-ca-cert-file",
            authority,
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
        ])
    }

    /// The address by TLS.
    ///
    /// # Panics
    /// If it has none.
    pub fn tls_url(&self) -> String {
        let port =
            self.arguments.iter().position(|argument| argument == "--tls-port").map(|at| &self.arguments[at + 1]);
        format!("rediss://localhost:{}", port.expect("the server has a port for TLS"))
    }

    /// Starts a server that can also be reached at another address of this machine.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn start_at(address: &str) -> Self {
        Self::of(address, false, &[])
    }

    /// Starts a durable replica of this server, and waits until it follows.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn replica(&self) -> Self {
        let replica = Self::durable();
        replica.follow(self);
        replica
    }

    /// Cuts off the replicas of this server, and lets none follow it again.
    pub fn cut_replicas(&self) {
        self.command::<()>("ACL SETUSER default -psync -sync");
        self.command::<()>("CLIENT KILL TYPE replica");
    }

    fn of(address: &str, keeps: bool, arguments: &[&str]) -> Self {
        let (port, directory, address) = (free_port(), Scratch::new("redis"), address.to_string());
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string()).collect();
        let server = serve(port, &address, &directory, keeps, &arguments);
        server.wait_for_line(READY);
        Self { server, port, address, directory, keeps, arguments }
    }

    /// The address for `bridge.url`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The address for `bridge.url` of those who reach it at the other address.
    pub fn far_url(&self) -> String {
        format!("redis://{}:{}", self.address, self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> Connection {
        let client = redis::Client::open(self.url()).expect("the url is well formed");
        client.get_connection().expect("the server takes connections")
    }

    /// Runs one command, as `redis-cli` would: `redis.command("PUBSUB NUMSUB news")`.
    ///
    /// # Panics
    /// If the server answers with an error.
    #[track_caller]
    pub fn command<T: FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split_whitespace();
        let mut command = redis::cmd(words.next().expect("a command has a name"));
        for word in words {
            command.arg(word);
        }
        let answer: Result<T, _> = command.query(&mut self.connection());
        answer.unwrap_or_else(|e| panic!("redis refused: {e}"))
    }

    /// The channels that have subscribers.
    pub fn channels(&self) -> Vec<String> {
        self.command("PUBSUB CHANNELS *")
    }

    /// How many subscribers a channel has.
    pub fn subscribers(&self, channel: &str) -> u64 {
        let (_, count): (String, u64) = self.command(&format!("PUBSUB NUMSUB {channel}"));
        count
    }

    /// Waits until a channel whose name contains `part` has a subscriber; its name.
    #[track_caller]
    pub fn wait_for_channel(&self, part: &str) -> String {
        let look = || self.channels().into_iter().find(|c| c.contains(part));
        eventually(&format!("a subscriber of a channel like `{part}`"), look)
    }

    /// Cuts every connection but the one that says so; the server stays up. How many there were.
    pub fn cut_connections(&self) -> u64 {
        let normal: u64 = self.command("CLIENT KILL TYPE normal");
        let subscribed: u64 = self.command("CLIENT KILL TYPE pubsub");
        normal + subscribed
    }

    /// The connections that there are, by their numbers.
    pub fn connections(&self) -> BTreeSet<u64> {
        let list: String = self.command("CLIENT LIST");
        list.lines().filter_map(|l| l.strip_prefix("id=")?.split(' ').next()?.parse().ok()).collect()
    }

    /// Cuts every connection but these, and but the one that says so; how many there were.
    pub fn cut_all_but(&self, spared: &BTreeSet<u64>) -> u64 {
        let others = self.connections().difference(spared).copied().collect::<Vec<_>>();
        others.iter().map(|id| self.command::<u64>(&format!("CLIENT KILL ID {id}"))).sum()
    }

    /// Cuts off subscribers for whom more than these bytes wait.
    pub fn limit_subscribers(&self, bytes: usize) {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("client-output-buffer-limit").arg(format!("pubsub {bytes} 0 0"));
        let () = command.query(&mut self.connection()).expect("redis takes the limit");
    }

    /// Publishes to a channel until nobody subscribes to it any more.
    ///
    /// # Panics
    /// If its subscribers are never cut off.
    pub fn flood(&self, channel: &str) {
        let (mut connection, payload) = (self.connection(), vec![0xc1_u8; 1 << 20]);
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(payload);
        eventually("the subscribers to be cut off", || {
            let receivers: u64 = publish.query(&mut connection).expect("redis publishes");
            (receivers == 0).then_some(())
        });
    }

    /// The keys that begin so.
    pub fn keys(&self, prefix: &str) -> BTreeSet<String> {
        self.command::<Vec<String>>(&format!("KEYS {prefix}*")).into_iter().collect()
    }

    /// The server is gone at once, as after kill -9 or a lost machine.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts the server again on the same port: empty, unless it is durable.
    pub fn restart(&mut self) {
        self.server.kill();
        self.server = serve(self.port, &self.address, &self.directory, self.keeps, &self.arguments);
        self.server.wait_for_line(READY);
    }

    /// Ends a durable server, copies its files, and starts it again.
    pub fn copy(&mut self) -> Scratch {
        let copy = Scratch::new("redis-copy");
        self.server.kill();
        copy_all(self.directory.path(), copy.path());
        self.restart();
        copy
    }

    /// Has the server go on with the files of a copy.
    pub fn restore(&mut self, copy: &Scratch) {
        self.server.kill();
        self.directory = Scratch::new("redis");
        copy_all(copy.path(), self.directory.path());
        self.restart();
    }

    /// Starts a durable server again on the same port, so that it loads its data for as long as nobody says
    /// [`Redis::is_loaded`]; does not wait for that.
    pub fn restart_loading(&mut self) {
        self.server.kill();
        let mut arguments = self.arguments.clone();
        arguments.extend(["--key-load-delay".to_string(), LOAD_DELAY_US.to_string()]);
        self.server = serve(self.port, &self.address, &self.directory, self.keeps, &arguments);
    }

    /// Has it load what is left at once, and waits until it has.
    pub fn is_loaded(&self) {
        self.command::<()>("CONFIG SET key-load-delay 0");
        self.server.wait_for_line(READY);
    }

    /// Writes so many keys that [`Redis::restart_loading`] takes a minute or so.
    pub fn fill(&self) {
        let filling = format!("for i = 1, {FILLING} do redis.call('SET', 'filling:' .. i, i) end");
        let () = redis::cmd("EVAL").arg(filling).arg(0).query(&mut self.connection()).expect("there is room");
    }

    /// Makes it a replica of another server, and waits until it has all that is there.
    #[track_caller]
    pub fn follow(&self, primary: &Self) {
        self.command::<()>(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
        eventually("the replica to have all that its primary has", || {
            let offset = primary.replication("master_repl_offset")?;
            let linked = self.replication("master_link_status")? == "up";
            let (own, whole) = (self.replication("slave_repl_offset")?, offset.parse::<u64>().ok()?);
            (linked && own.parse::<u64>().ok()? >= whole).then_some(())
        });
    }

    /// Makes it a primary.
    pub fn lead(&self) {
        self.command::<()>("REPLICAOF NO ONE");
    }

    fn replication(&self, field: &str) -> Option<String> {
        let info: String = self.command("INFO replication");
        info.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_string()))
    }

    /// The server keeps its connections and answers nothing.
    pub fn pause(&mut self) {
        self.server.signal(Signal::Stop);
    }

    /// The server goes on.
    pub fn resume(&mut self) {
        self.server.signal(Signal::Continue);
    }
}

/// Copies what is in a directory, with the directories in it.
pub fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the directory can be read").filter_map(Result::ok) {
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            std::fs::create_dir_all(&place).expect("a directory can be made");
            copy_all(&path, &place);
        } else {
            // What is no file any more is no data.
            let _ = std::fs::copy(&path, &place);
        }
    }
}

fn serve(port: u16, address: &str, directory: &Scratch, keeps: bool, arguments: &[String]) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    if address != "127.0.0.1" {
        command.args([address, "--protected-mode", "no"]);
    }
    command.args(["--save", "", "--daemonize", "no", "--appendonly", if keeps { "yes" } else { "no" }]);
    command.args(["--appendfsync", "always", "--repl-diskless-sync-delay", "0"]);
    command.arg("--dir").arg(directory.path()).args(arguments);
    Process::start("redis-server", &mut command)
}

#[test]
fn a_redis_is_empty_after_a_restart_on_the_same_port() {
    let mut redis = Redis::start();
    let () = redis.command("SET key value");
    assert_eq!(redis.command::<u64>("EXISTS key"), 1);
    redis.restart();
    assert_eq!(redis.command::<u64>("EXISTS key"), 0);
}

#[test]
fn subscribers_are_counted_and_cut_off() {
    let redis = Redis::start();
    let mut connection = redis.connection();
    let mut subscription = connection.as_pubsub();
    subscription.subscribe("news").unwrap();
    assert_eq!((redis.wait_for_channel("new"), redis.subscribers("news")), ("news".to_string(), 1));
    assert!(redis.cut_connections() >= 1);
    assert!(subscription.get_message().is_err());
    assert_eq!(redis.subscribers("news"), 0);
}
