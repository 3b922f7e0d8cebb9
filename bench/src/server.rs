//! Child processes that a measurement needs; they end with their values.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;

/// Where a case finds the Redis of the run.
pub const REDIS: &str = "ESSAIM_BENCH_REDIS";
const PATIENCE: Duration = Duration::from_secs(30);

/// A child process that is ended with the value.
pub struct Server(Child);

impl Server {
    /// Starts a program and discards its output.
    pub fn start(command: &mut Command) -> Result<Self, Error> {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let spawned = spawned.map_err(|e| format!("{} does not start: {e}", command.get_program().display()))?;
        Ok(Self(spawned))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) -> Result<(), Error> {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status()?;
        asked.success().then_some(()).ok_or_else(|| "kill failed".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Redis without persistence.
pub struct Redis {
    _server: Server,
    port: u16,
}

impl Redis {
    pub fn start() -> Result<Self, Error> {
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
        let server = Server::start(command.current_dir(std::env::temp_dir()))?;
        wait_until("redis-server", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { _server: server, port })
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// The URL of the run's Redis, in a case.
pub fn redis_url() -> Result<String, Error> {
    std::env::var(REDIS).map_err(|_| format!("{REDIS} must name a Redis: redis://127.0.0.1:6379").into())
}

/// A port that is free now.
pub fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Polls a condition until it holds.
pub fn wait_until(what: &str, so: impl Fn() -> bool) -> Result<(), Error> {
    let began = Instant::now();
    while !so() {
        if began.elapsed() > PATIENCE {
            return Err(format!("{what} was not ready in {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A program that was built beside this one.
pub fn beside(name: &str) -> Result<PathBuf, Error> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(format!("{} is missing; `make bench` builds it", path.display()).into()) }
}

/// A directory that is removed with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("essaim-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
