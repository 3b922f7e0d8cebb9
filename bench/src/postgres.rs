//! A PostgreSQL with the settings that it comes with.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;
use crate::server::{Scratch, Server, free_port, wait_until};

/// A server on a free port; it ends with the value.
pub struct Postgres {
    _server: Server,
    url: String,
}

impl Postgres {
    pub fn start(scratch: &Scratch) -> Result<Self, Error> {
        let directory = scratch.path().join("postgres");
        std::fs::create_dir_all(&directory)?;
        let root = is_root();
        if root {
            let status = Command::new("chown").arg("postgres").arg(&directory).status()?;
            status.success().then_some(()).ok_or("chown postgres failed")?;
        }
        let mut initdb = program("initdb", root);
        initdb.args(["--auth=trust", "--no-locale", "--encoding=UTF8", "--username=essaim", "--pgdata"]);
        let made = initdb.arg(directory.join("data")).stdout(Stdio::null()).status();
        made.is_ok_and(|s| s.success()).then_some(()).ok_or("initdb failed: is PostgreSQL installed?")?;
        let port = free_port()?;
        let mut postgres = program("postgres", root);
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-p", &port.to_string(), "-k"]).arg(&directory);
        let server = Server::start(postgres.arg("-D").arg(directory.join("data")))?;
        wait_until("PostgreSQL", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { _server: server, url: format!("postgres://essaim@127.0.0.1:{port}/postgres") })
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A program of the newest PostgreSQL that is installed; root runs it as `postgres`, since it refuses root.
fn program(name: &str, root: bool) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> = versions.map(|v| v.path().join("bin").join(name)).filter(|p| p.exists()).collect();
    found.sort();
    let path = found.pop().unwrap_or_else(|| PathBuf::from(name));
    let mut command = if root { Command::new("setpriv") } else { Command::new(&path) };
    if root {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
    }
    command.current_dir(Path::new("/"));
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
