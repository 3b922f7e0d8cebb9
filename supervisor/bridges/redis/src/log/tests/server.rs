//! A Redis server of one test.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use essaim_store::testing::Directory;
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

use super::{AOF, LONG};

/// A `redis-server` that ends with the value.
pub struct Server {
    port: u16,
    directory: Directory,
    process: Child,
}

impl Server {
    /// A server with these arguments, where servers are wanted.
    pub async fn start(arguments: &[&str]) -> Option<Self> {
        std::env::var("ESSAIM_TEST_REDIS").ok()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = Directory::new();
        let process = serve(port, &directory, arguments);
        let server = Self { port, directory, process };
        server.ready().await;
        Some(server)
    }

    /// A replica of it, once it follows.
    pub async fn replica(&self) -> Self {
        let mut arguments = AOF.to_vec();
        let port = self.port.to_string();
        arguments.extend(["--replicaof", "127.0.0.1", &port]);
        let replica = Self::start(&arguments).await.expect("servers are wanted");
        self.followed_by(1).await;
        replica
    }

    /// Waits until so many replicas follow.
    pub async fn followed_by(&self, count: usize) {
        let followed = async {
            while self.command::<String>("INFO replication").await.matches("state=online").count() != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, followed).await.expect("replicas follow");
    }

    /// Whom a replica may follow; from nobody on it is a primary itself.
    pub async fn follows(&self, primary: Option<&Self>) {
        let whom = primary.map_or("NO ONE".into(), |primary| format!("127.0.0.1 {}", primary.port));
        let () = self.command(&format!("REPLICAOF {whom}")).await;
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As after kill -9.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts again over what was written, if anything was.
    pub async fn start_again(&mut self, arguments: &[&str]) {
        self.kill();
        self.process = serve(self.port, &self.directory, arguments);
        self.ready().await;
    }

    pub async fn connection(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await
    }

    async fn ready(&self) {
        let ready = async {
            loop {
                if let Ok(mut connection) = self.connection().await
                    && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, ready).await.expect("the server starts");
    }

    /// Runs one command, as `redis-cli` would.
    pub async fn command<T: FromRedisValue>(&self, message: &str) -> T {
        let mut message = message.split_whitespace();
        let mut command = redis::cmd(message.next().unwrap());
        message.for_each(|word| {
            command.arg(word.replace('_', " ").trim());
        });
        command.query_async(&mut self.connection().await.unwrap()).await.unwrap()
    }

    /// How many connections there are beside the one that asks.
    pub async fn connections(&self) -> usize {
        self.command::<String>("CLIENT LIST").await.lines().count() - 1
    }

    /// Cuts all connections.
    pub async fn cut(&self) {
        let _: u64 = self.command("CLIENT KILL TYPE normal").await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn serve(port: u16, directory: &Directory, arguments: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
    // A replica follows without waiting for others to come.
    command.arg(directory.path()).args(["--repl-diskless-sync-delay", "0"]).args(arguments).stdout(Stdio::null());
    command.spawn().expect("there is a redis-server")
}
