//! Durable messages: stored, handled in another process, acknowledged; and handed over from one process to another.

mod bare;
mod essaim;
mod handover;

use std::net::TcpStream;
use std::process::Command;

use crate::Error;
use crate::postgres::Postgres;
use crate::server::{REDIS, Scratch, Server, free_port, wait_until};

/// Messages of one measurement, and before it to warm up.
const MESSAGES: u64 = 200_000;
const WARM_UP: u64 = 20_000;
/// Messages of a handler with a transaction, which takes longer.
const TRANSACTIONS: u64 = 40_000;
/// Messages that are timed from sending to handling, one at a time.
const TIMED: usize = 4_000;
/// The bytes of a message of the bare client; those of ours are about as many.
const BYTES: usize = 128;

/// Thousands of messages a second, microseconds from sending to handling, or milliseconds of a handover.
pub fn run(system: &str, what: &str) -> Result<f64, Error> {
    let scratch = Scratch::new()?;
    match (system, what) {
        ("handover", what) => handover::run(what, &scratch),
        ("essaim", "embedded") => essaim::embedded(&scratch),
        ("bare", "embedded") => bare::embedded(&scratch),
        ("essaim", "p50" | "p99") => {
            let redis = Kept::start(&scratch, "everysec")?;
            essaim::latency(&redis.url(), &scratch, percentile(what))
        }
        ("bare", "p50" | "p99") => {
            let redis = Kept::start(&scratch, "everysec")?;
            bare::latency(&redis.url(), percentile(what))
        }
        (_, policy @ ("everysec" | "always")) => {
            let redis = Kept::start(&scratch, policy)?;
            throughput(system, "none", &redis, &scratch)
        }
        ("essaim", "sqlite") => throughput("essaim", "sqlite", &Kept::start(&scratch, "everysec")?, &scratch),
        ("essaim", "postgres") => {
            let postgres = Postgres::start(&scratch)?;
            throughput("essaim", postgres.url(), &Kept::start(&scratch, "everysec")?, &scratch)
        }
        _ => Err(format!("no durable case {system} {what}").into()),
    }
}

fn percentile(what: &str) -> usize {
    if what == "p50" { 50 } else { 99 }
}

fn throughput(system: &str, database: &str, redis: &Kept, scratch: &Scratch) -> Result<f64, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["work", system, database]).arg(scratch.path()).env(REDIS, redis.url());
    let _worker = Server::start(&mut command)?;
    match system {
        "essaim" => essaim::send(&redis.url(), scratch, if database == "none" { MESSAGES } else { TRANSACTIONS }),
        _ => bare::send(&redis.url()),
    }
}

/// The process that handles.
pub fn work(words: &[String]) -> Result<(), Error> {
    match words {
        [handover, name, port, scratch] if handover == "handover" => handover::host(name, port, scratch.as_ref()),
        [system, database, scratch] if system == "essaim" => essaim::work(database, scratch.as_ref()),
        [_, _, _] => bare::work(),
        _ => Err("work SYSTEM DATABASE DIRECTORY".into()),
    }
}

/// A Redis with an append-only file, under this fsync policy.
struct Kept {
    _server: Server,
    port: u16,
}

impl Kept {
    fn start(scratch: &Scratch, policy: &str) -> Result<Self, Error> {
        let port = free_port()?;
        let directory = scratch.path().join("redis");
        std::fs::create_dir_all(&directory)?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", policy]);
        let server = Server::start(command.args(["--port", &port.to_string(), "--dir"]).arg(directory))?;
        wait_until("redis-server", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { _server: server, port })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// The time below which so many percent of these are, in microseconds.
fn at_percentile(mut times: Vec<f64>, percentile: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * percentile / 100).min(times.len() - 1)]
}
